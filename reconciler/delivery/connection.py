"""One HTTP call at a time over a kept connection, bounded as a whole; what exceptions of httpx prove."""

from __future__ import annotations

import contextlib
import queue
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from reconciler import __version__
from reconciler.config.urls import is_loopback
from reconciler.delivery.answers import Answer, NotProcessed, Unknown
from reconciler.errors import ConfigError

_LARGEST_ANSWER: Final = 10_000_000

NEVER_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
"""Raised before a byte of the request is on its way: DNS, TCP, TLS, proxy.

Not among them, though it may be so: LocalProtocolError and InvalidURL (httpx raises both at other times as well), a
failure while a proxy's tunnel is dug, and a stale connection that the server closed. In doubt, it is unknown.
"""


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer, read whole; `retry_after` is the header as it came."""

    status: int
    retry_after: str | None
    body: bytes


class ConnectionPool:
    """The lines that are free; a call takes one, and a new one is made where none is free."""

    def __init__(self, urls: tuple[str, ...], timeout: float) -> None:
        self._timeout = timeout
        self._watchdog = _Watchdog(timeout)
        # What goes to this machine goes there directly: through a proxy, credentials would leave it in clear text.
        self._direct = {f"all://{urlsplit(url).netloc}": None for url in urls if is_loopback(url)}
        self._tls = _trust(urls)
        self._free: queue.LifoQueue[Connection] = queue.LifoQueue()
        self._free.put(self._new())

    def _new(self) -> Connection:
        try:
            http = httpx.Client(
                verify=self._tls,
                timeout=self._timeout,
                follow_redirects=False,
                headers={"User-Agent": f"reconciler/{__version__}"},
                mounts=self._direct,
                # Without a Location, httpx does not even build the request that would follow a redirect.
                event_hooks={"response": [lambda response: response.headers.pop("Location", None)]},
            )
        except ImportError as error:
            raise ConfigError(
                "a SOCKS proxy needs one more package", hint="pip install 'httpx[socks]', or use another proxy."
            ) from error
        except (ValueError, httpx.InvalidURL):
            # What they say may hold the proxy's password.
            raise ConfigError(
                "the address of a proxy can't be understood",
                hint="Look at HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.",
            ) from None
        return Connection(http, self._watchdog)

    @contextlib.contextmanager
    def taken(self) -> Iterator[Connection]:
        """Give a free connection, or a new one."""
        try:
            line = self._free.get_nowait()
        except queue.Empty:
            line = self._new()
        try:
            yield line
        finally:
            self._free.put(line)

    def close(self) -> None:
        """Close what is free."""
        self._watchdog.close()
        with contextlib.suppress(queue.Empty):
            while True:
                self._free.get_nowait().close()


def _trust(urls: tuple[str, ...]) -> ssl.SSLContext:
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


class _Call:
    """A call on its way: `due` in monotonic seconds, how to `cut` it, whether it is `over` or was cut as too `late`."""

    def __init__(self, due: float, cut: Callable[[], None]) -> None:
        self.due = due
        self.cut = cut
        self.over = False
        self.late = False


class _Watchdog:
    """Cuts calls that take too long as a whole; one thread for all, for starting a timer takes as long as a call.

    Every call has the same time, so they are due in the order in which they began. The thread starts with the first of
    them, and sleeps until it is due: calls that end in time do not wake it.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._calls: deque[_Call] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    @contextlib.contextmanager
    def watching(self, cut: Callable[[], None]) -> Iterator[_Call]:
        call = _Call(time.monotonic() + self._seconds, cut)
        with self._changed:
            if self._thread is None:
                thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
                thread.start()
                self._thread = thread  # only now: a system that is short of threads may have one for the next call
            self._calls.append(call)
            if len(self._calls) == 1:
                self._changed.notify()
        try:
            yield call
        finally:
            with self._changed:
                # Once it is over, it is not cut: the next call on the same line would go with it.
                call.over = True

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                while self._calls and self._calls[0].over:
                    self._calls.popleft()
                left = self._calls[0].due - time.monotonic() if self._calls else None
                if left is None or left > 0:
                    self._changed.wait(left)
                else:
                    late = self._calls.popleft()
                    late.late = True
                    late.cut()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()


class Connection:
    """One call at a time, bounded as a whole: httpx bounds each read, so an answer that trickles would never end."""

    def __init__(self, http: httpx.Client, watchdog: _Watchdog) -> None:
        self._http = http
        self._watchdog = watchdog
        self._sockets: tuple[socket.socket, ...] = ()

    def post(self, url: str, headers: dict[str, str], body: bytes) -> Response:
        """Send a POST and return its answer; raises what httpx raises."""
        with self._watchdog.watching(self._cut) as call:
            try:
                trace = {"trace": partial(self._trace, call)}
                with self._http.stream("POST", url, headers=headers, content=body, extensions=trace) as response:
                    return _read_response(response)
            except Exception as error:
                if call.late and not isinstance(error, NEVER_SENT):
                    raise httpx.ReadTimeout("the call as a whole took too long") from error
                raise

    def _trace(self, call: _Call, event: str, info: dict[str, Any]) -> None:
        """Keep the sockets that httpx connects, through its `trace` extension."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            stream = info["return_value"]
            self._sockets = tuple(
                each for each in (*self._sockets, stream.get_extra_info("socket")) if each.fileno() >= 0
            )
            if call.late:
                stream.close()
                raise httpx.ConnectTimeout("connecting took too long")

    def _cut(self) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                # socket's own: SSLSocket.shutdown would take the session from under the thread that reads.
                socket.socket.shutdown(each, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it."""
        self._http.close()


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


def read_exception(error: Exception) -> Answer:
    """Return what an exception from sending proves: not processed before a connection stood, else nothing at all."""
    if isinstance(error, NEVER_SENT):
        return NotProcessed(f"the API could not be reached: {said(error)}")
    if isinstance(error, httpx.TimeoutException):
        return Unknown("the API did not answer in time")
    return Unknown(f"the connection failed before an answer came: {said(error)}")


def said(error: Exception) -> str:
    """Return an exception's words in one line, or its kind where it has none."""
    return " ".join(str(error).split()) or type(error).__name__
