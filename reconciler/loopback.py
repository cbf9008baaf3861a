"""Which URLs lead to this machine: plain http goes there only, a proxy never. Pure."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

_LOOPBACK: Final = ipaddress.IPv4Network("127.0.0.0/8")


def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine, whatever a name server says.

    `localhost`, 127.0.0.0/8 in four plain numbers, and ::1. What resolvers and libraries read in different ways (127.1,
    2130706433, 0x7f.0.0.1, 0.0.0.0, ::ffff:127.0.0.1, `localhost.`) is not.
    """
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address in _LOOPBACK or address == ipaddress.IPv6Address("::1")
