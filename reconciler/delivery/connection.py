"""Calls over HTTP, each on a connection of its own and bounded as a whole; the only user of httpx.

An answer carries no id of its request. On a connection that serves two requests, one that comes twice, or late, would
be taken for the answer to the second. Redirects are never followed, TLS is always verified.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from reconciler import __version__
from reconciler.delivery.answers import NotProcessed, Unknown
from reconciler.delivery.workers import started
from reconciler.errors import ConfigError
from reconciler.loopback import is_loopback

_LARGEST_ANSWER: Final = 10_000_000

NEVER_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
"""Raised before a byte of the request is on its way: DNS, TCP, TLS, proxy.

Not among them, though it may be so: LocalProtocolError and InvalidURL (httpx raises both at other times as well), and
a failure while a proxy's tunnel is dug. In doubt, it is unknown.
"""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer, read whole; `retry_after` is the header as it came."""

    status: int
    retry_after: str | None
    body: bytes


class Connector:
    """Posts to the URLs; may be used from several threads at once. `timeout` in seconds, for each call as a whole."""

    def __init__(self, urls: Collection[str], timeout: float) -> None:
        tls = _trust(urls)
        self._timeout = timeout
        self._ways = {url: _way(url, tls) for url in urls}
        self._watchdog = _Watchdog(timeout)

    def post(self, url: str, headers: dict[str, str], body: bytes) -> Response | NotProcessed | Unknown:
        """Send a POST and return its answer, or what is proved by there being none."""
        way = self._ways[url]
        try:
            with self._watchdog.watching() as call:
                request = httpx.Request(
                    "POST",
                    url,
                    headers={"User-Agent": f"reconciler/{__version__}", "Connection": "close", **headers},
                    content=body,
                    extensions={"timeout": httpx.Timeout(self._timeout).as_dict(), "trace": call.trace},
                )
                with contextlib.closing(way.transport.handle_request(request)) as response:
                    return _read_response(response)
        except Exception as error:  # noqa: BLE001  # the seam: whatever it is, it proves this much and no more
            return read_exception(error, way.name)

    def close(self) -> None:
        """Close it."""
        self._watchdog.close()
        for way in self._ways.values():
            way.transport.close()


# -- the way to a host -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Way:
    """How a host is reached; `name` is for people, without the credentials of a proxy."""

    name: str
    transport: httpx.HTTPTransport


def _way(url: str, tls: ssl.SSLContext) -> _Way:
    host, proxy = urlsplit(url).netloc, _proxy(url)
    if proxy is None:
        return _Way(host, httpx.HTTPTransport(verify=tls))
    try:
        through = httpx.URL(proxy).netloc.decode()
        return _Way(f"{host} (through the proxy {through})", httpx.HTTPTransport(verify=tls, proxy=proxy))
    except ImportError as error:
        raise ConfigError(
            "a SOCKS proxy needs one more package", hint="pip install 'httpx[socks]', or use another proxy."
        ) from error
    except (ValueError, httpx.InvalidURL):
        # What they say may hold the proxy's password.
        raise ConfigError(
            "the address of a proxy can't be understood", hint="Look at HTTPS_PROXY, ALL_PROXY and NO_PROXY."
        ) from None


def _proxy(url: str) -> str | None:
    """Return the address of the proxy that the environment names for the URL.

    None for this machine, whatever the environment says: credentials would leave it in clear text.
    """
    target = urlsplit(url)
    if is_loopback(url) or proxy_bypass(target.netloc):
        return None
    named = getproxies()
    address = named.get(target.scheme) or named.get("all")
    return address if not address or "://" in address else f"http://{address}"


def _trust(urls: Collection[str]) -> ssl.SSLContext:
    if all(urlsplit(url).scheme == "http" for url in urls):
        # It trusts nobody, and is not needed: loading certificates would take longer than a plan.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise ConfigError(
            f"the certificates to trust can't be read: {error.strerror or type(error).__name__}",
            hint="Look at SSL_CERT_FILE and SSL_CERT_DIR.",
        ) from error


# -- the time of a call ------------------------------------------------------------------------------------------------


class _Call:
    """A call on its way, to be cut at `due` (monotonic seconds); `late` once it was."""

    def __init__(self, due: float) -> None:
        self.due = due
        self.late = False
        self._sockets: list[socket.socket] = []

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Keep the sockets that are connected, as httpx's `trace` extension tells of them."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            stream = info["return_value"]
            self._sockets.append(stream.get_extra_info("socket"))
            if self.late:
                stream.close()
                raise httpx.ConnectTimeout("connecting took too long")

    def check(self, error: Exception | None = None) -> None:
        """Raise ReadTimeout if it was cut; `error` is what the cut looks like."""
        if self.late:
            raise httpx.ReadTimeout("the call as a whole took too long") from error

    def cut(self) -> None:
        """End the call: whoever reads or writes in it gets an error or an end."""
        self.late = True
        for each in self._sockets:
            with contextlib.suppress(OSError):
                # socket's own: SSLSocket.shutdown would take the session from under the thread that reads.
                socket.socket.shutdown(each, socket.SHUT_RDWR)


class _Watchdog:
    """Cuts calls that take too long as a whole: httpx bounds each read, so an answer that trickles would never end.

    One thread for all, for starting a timer takes as long as a call; it looks twenty times in the time a call has.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._calls: set[_Call] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        started(self._watch, "watchdog", daemon=True)

    @contextlib.contextmanager
    def watching(self) -> Iterator[_Call]:
        """Give a call, to be cut if it takes too long; raises ReadTimeout if it was, unless nothing was sent."""
        call = _Call(time.monotonic() + self._seconds)
        with self._lock:
            self._calls.add(call)
        try:
            yield call
        except NEVER_SENT:
            raise
        except Exception as error:
            call.check(error)
            raise
        else:
            # The end of an answer without a length may be where it was cut.
            call.check()
        finally:
            with self._lock:
                self._calls.discard(call)

    def _watch(self) -> None:
        while not self._closed.wait(self._seconds / 20):
            with self._lock:
                late = {call for call in self._calls if call.due <= time.monotonic()}
                self._calls -= late
            for call in late:
                call.cut()

    def close(self) -> None:
        self._closed.set()


# -- what came of it ---------------------------------------------------------------------------------------------------


def _read_response(response: httpx.Response) -> Response:
    received = bytearray()
    try:
        for chunk in response.iter_bytes():
            received += chunk
            if len(received) > _LARGEST_ANSWER:
                raise httpx.DecodingError("the answer is too large")
    except NEVER_SENT as error:
        # Whatever its class says elsewhere: here, the request has been sent.
        raise httpx.ReadError(str(error)) from error
    return Response(response.status_code, response.headers.get("Retry-After"), bytes(received))


def read_exception(error: Exception, name: str) -> NotProcessed | Unknown:
    """Return what an exception from sending to a host proves: not processed before a connection stood, else nothing."""
    said = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, NEVER_SENT):
        return NotProcessed(f"{name} could not be reached: {said}")
    if isinstance(error, httpx.TimeoutException):
        return Unknown(f"{name} did not answer in time")
    return Unknown(f"the connection to {name} failed before an answer came: {said}")
