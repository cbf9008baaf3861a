"""Where requests may go. Pure.

A merged line of a configuration file must not be able to send the credentials elsewhere: in the file only the
vendor's hosts and loopback are taken; other hosts come from the environment. Plain http goes to loopback only.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from reconciler.errors import ConfigError

REGIONS: Final = ("emea", "nam", "apac")
VENDOR_DOMAINS: Final = ("newvoicemedia.com", "vonage.com")
_NETLOC: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9.-]*[a-z0-9])?)(:[0-9]{1,5})?", re.IGNORECASE)
_PATH: Final = re.compile(r"[A-Za-z0-9/._~-]*")


def base_url_of(region: str) -> str:
    """Return the API's base URL in a region [S]."""
    return f"https://{region}.api.newvoicemedia.com"


def token_url_of(region: str) -> str:
    """Return the token endpoint of a region [D]."""
    return f"https://{region}.cc.vonage.com/Auth/connect/token"


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine, whatever a name server says."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_url(url: str, source: str, *, from_file: bool) -> None:
    """Raise ConfigError, starting with `source`, unless requests may be sent to the URL."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ConfigError(f"{source}: it is not a URL") from None
    if not url.isascii() or not url.isprintable() or " " in url:
        # urlsplit drops some of these without a word; what is checked must be what is used.
        raise ConfigError(f"{source}: it holds white space, or characters that no URL has")
    _check_shape(parts, source)
    if is_loopback(url):
        return
    host = parts.hostname or ""
    if parts.scheme != "https":
        raise ConfigError(f"{source}: plain http goes to this machine only", hint="Use https.")
    if from_file and not any(host == domain or host.endswith("." + domain) for domain in VENDOR_DOMAINS):
        raise ConfigError(
            f"{source}: in a file, only hosts under {' and '.join(VENDOR_DOMAINS)} and this machine are taken",
            hint="A merged line must not be able to send the credentials elsewhere. Set another host by environment.",
        )


def _check_shape(parts: SplitResult, source: str) -> None:
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ConfigError(f"{source}: it must start with https:// and a host")
    if "@" in parts.netloc or parts.query or parts.fragment or not _PATH.fullmatch(parts.path):
        raise ConfigError(f"{source}: it must be scheme, host and plain path: no user, query or fragment")
    if not _NETLOC.fullmatch(parts.netloc):
        raise ConfigError(f"{source}: it has no plain host name")
