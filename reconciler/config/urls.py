"""Where requests may go. Pure.

A merged line of a configuration file must not be able to send the credentials elsewhere: in the file only the
vendor's hosts and loopback are taken; other hosts come from the environment. Plain http goes to loopback only.
"""

from __future__ import annotations

import re
from typing import Final, Literal, get_args
from urllib.parse import SplitResult, urlsplit

from reconciler.loopback import is_loopback

Region = Literal["emea", "nam", "apac"]
REGIONS: Final[tuple[str, ...]] = get_args(Region)
VENDOR_DOMAINS: Final = ("newvoicemedia.com", "vonage.com")
_NETLOC: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9.-]*[a-z0-9])?)(:[0-9]{1,5})?", re.IGNORECASE)
_PATH: Final = re.compile(r"[A-Za-z0-9/._~-]*")


class UrlRefused(ValueError):
    """Requests may not go to a URL: why, and what to do about it. The URL itself isn't said: it may hold a password."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.hint = hint


def base_url_of(region: str) -> str:
    """Return the API's base URL in a region [S]."""
    return f"https://{region}.api.newvoicemedia.com"


def token_url_of(region: str) -> str:
    """Return the token endpoint of a region [D]."""
    return f"https://{region}.cc.vonage.com/Auth/connect/token"


def check_url(url: str, *, from_file: bool) -> None:
    """Raise UrlRefused unless requests may be sent to the URL."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise UrlRefused("it is not a URL") from None
    if not url.isascii() or not url.isprintable() or " " in url:
        # urlsplit drops some of these without a word; what is checked must be what is used.
        raise UrlRefused("it holds white space, or characters that no URL has")
    _check_shape(parts)
    if is_loopback(url):
        return
    host = parts.hostname or ""
    if parts.scheme != "https":
        raise UrlRefused("plain http goes to this machine only", "use https")
    if from_file and not any(host == domain or host.endswith("." + domain) for domain in VENDOR_DOMAINS):
        raise UrlRefused(
            f"in a file, only hosts under {' and '.join(VENDOR_DOMAINS)} and this machine are taken",
            "set another host by environment: a merged line must not be able to send the credentials elsewhere",
        )


def _check_shape(parts: SplitResult) -> None:
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise UrlRefused("it must start with https:// and a host")
    if "@" in parts.netloc or parts.query or parts.fragment or not _PATH.fullmatch(parts.path):
        raise UrlRefused("it must be scheme, host and plain path: no user, query or fragment")
    if not _NETLOC.fullmatch(parts.netloc):
        raise UrlRefused("it has no plain host name")
