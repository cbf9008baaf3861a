"""Where requests may go: no trick of spelling gets the credentials to anybody else."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.config.urls import (
    REGIONS,
    VENDOR_DOMAINS,
    UrlRefused,
    base_url_of,
    check_url,
    token_url_of,
)
from reconciler.loopback import is_loopback


def allowed(url: str, *, from_file: bool = True) -> bool:
    """Whether the URL is taken."""
    try:
        check_url(url, from_file=from_file)
    except UrlRefused:
        return False
    return True


def test_a_refusal_does_not_repeat_the_url() -> None:
    """It may hold a password."""
    with pytest.raises(UrlRefused) as error:
        check_url("https://user:hush@vonage.com", from_file=True)
    assert "hush" not in str(error.value) + error.value.hint


@pytest.mark.parametrize("region", REGIONS)
def test_the_documented_urls_are_allowed(region: str) -> None:
    """Each region's URLs pass the check that a file's do."""
    assert allowed(base_url_of(region))
    assert allowed(token_url_of(region))


def test_the_documented_urls() -> None:
    """They are the ones of the API's description."""
    assert base_url_of("emea") == "https://emea.api.newvoicemedia.com"
    assert token_url_of("nam") == "https://nam.cc.vonage.com/Auth/connect/token"


@pytest.mark.parametrize(
    "url",
    [
        "https://vonage.com",
        "https://emea.cc.vonage.com:8443/a/b-c.d_e~f",
        "HTTPS://EMEA.API.NEWVOICEMEDIA.COM/",
        "http://localhost",
        "http://LOCALHOST:8000/x",
        "http://127.0.0.1:8000",
        "http://127.1.2.3",
        "http://[::1]:8000",
        "https://[::1]",
    ],
)
def test_the_vendor_and_this_machine(url: str) -> None:
    """The vendor's hosts over https, and loopback over either, may stand in a file."""
    assert allowed(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example",
        "https://evil-vonage.com",
        "https://evilvonage.com",
        "https://vonage.com.evil.example",
        "https://vonage.community",
        "https://api.newvoicemedia.com.evil.example/vonage.com",
        "https://1.2.3.4",
        "https://[2001:db8::1]",
        "https://[::ffff:127.0.0.1]",
        "https://0.0.0.0",
        "https://127.0.0.1.evil.example",
        "https://localhost.evil.example",
    ],
)
def test_other_hosts_by_environment_only(url: str) -> None:
    """Another host is refused in a file; the environment may name one that is plainly written."""
    assert not allowed(url)
    assert allowed(url, from_file=False)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "vonage.com",
        "//vonage.com",
        "https:vonage.com",
        "https:/vonage.com",
        "https://",
        "https:///vonage.com",
        "ftp://vonage.com",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://vonage.com",
        "http://evil.example",
        "http://localhost.",
        "http://localhost.vonage.com",
        "http://127.1",
        "http://2130706433",
        "http://0x7f.0.0.1",
        "http://0.0.0.0",
        "http://[::ffff:127.0.0.1]",
        "http://[::1",
        "http://[::1]evil.example",
        "http://[::1]@evil.example",
        "http://[::1%25lo]",
        "https://user@vonage.com",
        "https://vonage.com@evil.example",
        "https://vonage.com:443@evil.example",
        "https://evil.example@vonage.com",
        "https://@vonage.com",
        "https://evil.example\\@vonage.com",
        "https://evil.example\\.vonage.com",
        "https://evil.example/\\vonage.com",
        "https://evil.example%2f.vonage.com",
        "https://evil.example%00.vonage.com",
        "https://vonage%2ecom",
        "https://vonage.com.",
        "https://.vonage.com",
        "https://-.vonage.com",
        "https://vonage.com-",
        "https://evil.example;.vonage.com",
        "https://evil.example,.vonage.com",
        "https://evil.example?.vonage.com",
        "https://evil.example#.vonage.com",
        "https://vonage.com?x",
        "https://vonage.com#x",
        "https://vonage.com/a b",
        "https://vonage.com/%2e%2e",
        "https://vonage.com/a;b",
        "https://vonage。com",
        "https://vоnage.com",
        "https://xn--vnage-jye.com/ä",
        "https://vonage.com:port",
        "https://vonage.com:",
        "https://vonage.com:99999",
        "https://vonage.com:-1",
        "https://vonage.com:٤٤٣",
        " https://vonage.com",
        "https://vonage.com ",
        "https://vonage.com\n",
        "https://von\nage.com",
        "https://vonage.com\t.evil.example",
        "https://vonage.com\r\nHost: evil.example",
        "https://vonage.com\0.evil.example",
        "\x1fhttps://vonage.com",
    ],
)
def test_tricks_are_refused_wherever_they_stand(url: str) -> None:
    """What could be read in two ways is taken neither from a file nor from the environment."""
    assert not allowed(url)
    assert not allowed(url, from_file=False)


PARTS = [
    "https://",
    "http://",
    "vonage.com",
    ".",
    "evil",
    "@",
    "\\",
    "/",
    ":",
    "443",
    "[::1]",
    "%2e",
    "?",
    "#",
    "\n",
    " ",
]


@given(st.lists(st.sampled_from(PARTS), max_size=8).map("".join) | st.text(max_size=20).map("https://{}".format))
def test_the_client_goes_where_the_check_looked(url: str) -> None:
    """Whatever is taken from a file is, as the HTTP client reads it, the vendor's or this machine."""
    if not allowed(url):
        return
    parsed = httpx.URL(url)
    vendor = any(parsed.host == domain or parsed.host.endswith("." + domain) for domain in VENDOR_DOMAINS)
    assert (vendor and parsed.scheme == "https") or parsed.host in {"localhost", "127.0.0.1", "::1"}
    assert not parsed.userinfo


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost", "127.0.0.1", "127.1.2.3", "127.255.255.254", "[::1]", "[0:0::0:1]"],
)
def test_this_machine(host: str) -> None:
    """It is known by its plain addresses, and by the one name that no name server decides: plain http may go there."""
    for port in ("", ":80", ":8000"):
        assert is_loopback(f"http://{host}{port}/x")
        assert allowed(f"http://{host}{port}/x")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost.",
        "localhost.example",
        "localhost6",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "127.0.0.01",
        "127.0.0.1.example",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "0.0.0.0",  # noqa: S104
        "0",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[::1%25lo]",
        "[fe80::1]",
        "128.0.0.1",
        "10.0.0.1",
    ],
)
def test_other_spellings_are_not_this_machine(host: str) -> None:
    """What resolvers, libraries and proxies may read in different ways gets no plain http, whoever asks for it."""
    for port in ("", ":80", ":8000"):
        assert not is_loopback(f"http://{host}{port}/x")
        assert not allowed(f"http://{host}{port}/x", from_file=False)


@given(st.lists(st.sampled_from([*PARTS, "127.0.0.1", "localhost", "0"]), max_size=8).map("".join))
def test_plain_http_goes_to_this_machine_only(url: str) -> None:
    """Wherever it is written, a URL of plain http that is taken is loopback's, as the HTTP client reads it too."""
    if allowed(url, from_file=False) and httpx.URL(url).scheme == "http":
        assert is_loopback(url)
        assert httpx.URL(url).host in {"localhost", "127.0.0.1", "::1"}
