"""Proxies: used where the environment names one for the target, and never for this machine."""

from __future__ import annotations

import socket
from unittest import mock

import pytest

from reconciler.delivery.batch import Invocation, Request
from reconciler.delivery.client import Client
from reconciler.delivery.tokens import ClientCredentials
from reconciler.state.model import Kind
from tests.api import SandboxServer
from tests.command import Workplace
from tests.faults.harness import (
    FOUR,
    HOST,
    NAMED,
    SHORT,
    TLS,
    apply,
    certified,
    check_done,
    check_unsent,
    free_port,
    point_to,
    unresolved,
)
from tests.faults.wire import Script, answer, read_request, tunnel


class Proxy:
    """An HTTP proxy that notes what it is asked for; `refuse` is the answer to a CONNECT in place of a tunnel."""

    def __init__(self, port: int, refuse: bytes = b"") -> None:
        self.asked: list[bytes] = []
        self._port = port
        self._refuse = refuse

    def talk(self, client: socket.socket) -> None:
        """Serve one connection."""
        request = read_request(client)
        self.asked.append(request)
        if self._refuse:
            client.sendall(self._refuse)
        elif request:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            tunnel(client, self._port)


def proxied(place: Workplace, port: int) -> None:
    """Let the folder point to a host that is reached through a proxy only."""
    base = f"https://{HOST}"
    place.env = {
        "RECONCILER_BASE_URL": base,
        "RECONCILER_TOKEN_URL": f"{base}/Auth/connect/token",
        "RECONCILER_CLIENT_ID": "tester",
        "RECONCILER_CLIENT_SECRET": "planted-secret",
        "HTTPS_PROXY": f"http://planted-user:planted-password@127.0.0.1:{port}",
        "SSL_CERT_FILE": str(NAMED / "cert.pem"),
    }


def test_a_proxy_is_used(folder: Workplace) -> None:
    """HTTPS_PROXY is asked for a tunnel, TLS is end to end, and the proxy sees no credentials of ours."""
    with SandboxServer(tls=certified(NAMED)) as server:
        proxy = Proxy(int(server.base_url.rpartition(":")[2]))
        with Script(proxy.talk) as listening:
            proxied(folder, listening.port)
            assert apply(folder).code == 0
            check_done(folder, server)
    assert [request.partition(b"\r\n")[0] for request in proxy.asked] == [
        b"CONNECT api.reconciler.test:443 HTTP/1.1"  # one for the token, one for the Invocation
    ] * 2
    assert b"planted-secret" not in b"".join(proxy.asked)


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required", "502 Bad Gateway"])
def test_a_proxy_that_refuses(folder: Workplace, status: str) -> None:
    """A proxy that digs no tunnel has passed nothing on: unsent, exit 1 with what it said."""
    proxy = Proxy(0, answer(b"", status))
    with Script(proxy.talk) as listening:
        proxied(folder, listening.port)
        ran = apply(folder)
    check_unsent(folder, ran, status)
    assert "planted-password" not in ran.out + ran.err


def test_a_proxy_that_is_not_there(folder: Workplace) -> None:
    """A proxy that can't be reached is as a server that can't be: unsent, exit 1."""
    proxied(folder, free_port())
    port = int(folder.env["HTTPS_PROXY"].rpartition(":")[2])
    check_unsent(folder, apply(folder), f"no token: {HOST} (through the proxy 127.0.0.1:{port}) could not be reached: ")


def test_no_proxy_is_honoured(folder: Workplace) -> None:
    """A host in NO_PROXY is reached directly."""
    proxy = Proxy(0)
    with Script(proxy.talk) as listening, mock.patch("socket.getaddrinfo", unresolved):
        proxied(folder, listening.port)
        folder.env |= {"NO_PROXY": HOST, "RECONCILER_TIMEOUT": SHORT}
        ran = apply(folder)
    assert (ran.code, proxy.asked) == (1, [])


# -- this machine ------------------------------------------------------------------------------------------------------

VARIABLES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
LOOPBACK = (
    "127.0.0.1",
    "127.1.2.3",
    "127.255.255.254",
    "localhost",
    "LOCALHOST",
    "LocalHost",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
)
ONE = Invocation.of(None, (Request("id-1", "A", Kind.DISPATCH, None, b'{"action":"dispatch","externalid":"A"}'),))


@pytest.mark.parametrize("variables", [*((name,) for name in VARIABLES), VARIABLES, (*VARIABLES, "NO_PROXY")])
def test_no_spelling_of_this_machine_meets_a_proxy(monkeypatch: pytest.MonkeyPatch, variables: tuple[str, ...]) -> None:
    """Neither the client secret nor a token goes to a proxy, however loopback, port and proxy variable are written."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "cert.pem"))
    proxy = Proxy(0, answer(b"", "502 Bad Gateway"))
    with Script(proxy.talk) as listening:
        for name in variables:
            monkeypatch.setenv(name, "" if name == "NO_PROXY" else f"http://127.0.0.1:{listening.port}")
        for scheme in ("http", "https"):
            for port in ("", ":80", ":443", f":{free_port()}"):
                for host in LOOPBACK:
                    url = f"{scheme}://{host}{port}"
                    with Client(url, f"{url}/token", ClientCredentials("planted", "planted"), timeout=0.2) as client:
                        client.invoke(ONE)
    assert proxy.asked == []


@pytest.mark.parametrize("address", ["http://127.0.0.1:{port}", "socks5://127.0.0.1:{port}", "ftp://nobody", "["])
def test_a_run_against_this_machine_needs_no_proxy(place: Workplace, server: SandboxServer, address: str) -> None:
    """Calls to loopback, the sandbox's included, go there directly, whatever stands in the proxy variables."""
    place.declare(FOUR)
    proxy = Proxy(0, answer(b"", "502 Bad Gateway"))
    with Script(proxy.talk) as listening:
        place.env |= dict.fromkeys(VARIABLES, address.format(port=listening.port))
        assert apply(place).code == 0
        assert place.run("apply", "--auto-approve", "--sandbox").code == 0
    assert proxy.asked == []
    check_done(place, server)


# -- proxies that can't be used ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "env",
    [
        {"HTTP_PROXY": "socks5://127.0.0.1:1080"},
        {"ALL_PROXY": "socks5://127.0.0.1:1080", "NO_PROXY": HOST},
        {"HTTPS_PROXY": "ftp://nobody", "NO_PROXY": f"elsewhere.test, {HOST}:443"},
        {"HTTPS_PROXY": "socks5://127.0.0.1:1080", "no_proxy": "*"},
    ],
)
def test_a_proxy_that_is_not_used_may_be_wrong(folder: Workplace, env: dict[str, str]) -> None:
    """Only a proxy that a target goes through has to be one that can be used."""
    point_to(folder, 443, "https", HOST)
    folder.env |= env
    with mock.patch("socket.getaddrinfo", unresolved):
        check_unsent(folder, apply(folder), f"Problem: {HOST}:443 could not be reached: ")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("socks5://127.0.0.1:1080", "Error: a SOCKS proxy needs one more package"),
        ("socks5h://user:planted-password@127.0.0.1", "Error: a SOCKS proxy needs one more package"),
        ("ftp://user:planted-password@127.0.0.1", "Error: the address of a proxy can't be understood"),
        ("http://user:planted/password@[", "Error: the address of a proxy can't be understood"),
    ],
)
def test_a_proxy_that_can_not_be_used(folder: Workplace, address: str, said: str) -> None:
    """A wrong proxy variable is said at once, without its password, and nothing becomes pending."""
    point_to(folder, 443, "https", HOST)
    folder.env["HTTPS_PROXY"] = address
    ran = apply(folder)
    assert (ran.code, folder.state["pending"]) == (1, {})
    assert said in ran.err
    assert "planted" not in ran.out + ran.err
    assert "Traceback" not in ran.err
