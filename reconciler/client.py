"""The API over HTTP: the only user of httpx, and the one seam where its exceptions become answers.

Calls, headers and hosts are the API's documented ones [S] [D]; redirects are never followed, TLS is always verified.
What is said of a call holds no credentials, whatever the API or the library says.
"""

from __future__ import annotations

import contextlib
import math
import queue
import re
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx
import orjson

from reconciler import __version__
from reconciler.answers import Accepted, Answer, NotProcessed, Rejected, Unknown, explain, read_answer, seconds
from reconciler.batch import Invocation
from reconciler.errors import ConfigError
from reconciler.hosts import is_loopback
from reconciler.secrecy import hide

ACCEPT: Final = "application/vnd.newvoicemedia.v1+json"
SCOPE: Final = "interactions:write"
_EXPIRY_MARGIN: Final = 120.0
_LARGEST_ANSWER: Final = 10_000_000
_TOKEN: Final = re.compile(r"[!-~]+")

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
class ClientCredentials:
    """OAuth client credentials."""

    client_id: str
    client_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token made elsewhere; it can't be renewed here."""

    token: str = field(repr=False)


Credentials = ClientCredentials | AccessToken


class _NoToken(Exception):
    """There is no token to send with; `answer` says what that proves about the Invocation."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class Client:
    """Sends Invocations; may be used from several threads at once.

    `timeout` is in seconds, for each call as a whole. The token is kept until shortly before it expires.
    """

    def __init__(  # each is independent, and named by its callers
        self,
        base_url: str,
        token_url: str | None,
        credentials: Credentials,
        *,
        timeout: float = 30.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._invoke_url = f"{base_url}/interactions/invoke"
        self._credentials = credentials
        self._tokens = _Tokens(token_url, credentials, self._post, monotonic)
        self._lines = _Lines((base_url, token_url or base_url), timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lines.close()

    def invoke(self, invocation: Invocation) -> Answer:
        """Send the Invocation, with a new token once if the one used is refused, and return what the answer proves."""
        token = ""
        try:
            token = self._tokens.current()
            answer, status = self._invoke(invocation, token)
            if status == httpx.codes.UNAUTHORIZED and self._tokens.renewable:
                self._tokens.discard(token)
                token = self._tokens.current()
                answer, _ = self._invoke(invocation, token)
        except _NoToken as no_token:
            answer = no_token.answer
        return self._without_credentials(answer, token)

    def _without_credentials(self, answer: Answer, token: str) -> Answer:
        if isinstance(answer, Accepted):
            return answer
        known = (getattr(self._credentials, name, "") for name in ("client_id", "client_secret"))
        return replace(answer, reason=hide(answer.reason, filter(None, (token, *known))))

    def _invoke(self, invocation: Invocation, token: str) -> tuple[Answer, int]:
        headers = {"Authorization": f"Bearer {token}", "Accept": ACCEPT, "Content-Type": "application/json"}
        try:
            response = self._post(self._invoke_url, headers, invocation.body)
        except Exception as error:  # noqa: BLE001  # the seam: whatever it is, it proves this much and no more
            return read_exception(error), 0
        answer = read_answer(
            response.status, response.retry_after, response.body, invocation.requestids, datetime.now(UTC)
        )
        return answer, response.status

    def _post(self, url: str, headers: dict[str, str], body: bytes) -> _Response:
        with self._lines.taken() as line:
            return line.post(url, headers, body)


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    retry_after: str | None
    body: bytes


class _Lines:
    """The lines that are free; a call takes one, and a new one is made where none is free."""

    def __init__(self, urls: tuple[str, ...], timeout: float) -> None:
        self._timeout = timeout
        self._watchdog = _Watchdog(timeout)
        # What goes to this machine goes there directly: through a proxy, credentials would leave it in clear text.
        self._direct = {f"all://{urlsplit(url).netloc}": None for url in urls if is_loopback(url)}
        self._tls = _trust(urls)
        self._free: queue.LifoQueue[_Line] = queue.LifoQueue()
        self._free.put(self._new())

    def _new(self) -> _Line:
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
        return _Line(http, self._watchdog)

    @contextlib.contextmanager
    def taken(self) -> Iterator[_Line]:
        try:
            line = self._free.get_nowait()
        except queue.Empty:
            line = self._new()
        try:
            yield line
        finally:
            self._free.put(line)

    def close(self) -> None:
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


class _Line:
    """One call at a time, bounded as a whole: httpx bounds each read, so an answer that trickles would never end."""

    def __init__(self, http: httpx.Client, watchdog: _Watchdog) -> None:
        self._http = http
        self._watchdog = watchdog
        self._sockets: tuple[socket.socket, ...] = ()

    def post(self, url: str, headers: dict[str, str], body: bytes) -> _Response:
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
        self._http.close()


def _read_response(response: httpx.Response) -> _Response:
    received = bytearray()
    try:
        for chunk in response.iter_bytes():
            received += chunk
            if len(received) > _LARGEST_ANSWER:
                raise httpx.DecodingError("the answer is too large")
    except NEVER_SENT as error:
        # Whatever its class says elsewhere: here, the request has been sent.
        raise httpx.ReadError(str(error)) from error
    return _Response(response.status_code, response.headers.get("Retry-After"), bytes(received))


def read_exception(error: Exception) -> Answer:
    """Return what an exception from sending proves: not processed before a connection stood, else nothing at all."""
    if isinstance(error, NEVER_SENT):
        return NotProcessed(f"the API could not be reached: {_said(error)}")
    if isinstance(error, httpx.TimeoutException):
        return Unknown("the API did not answer in time")
    return Unknown(f"the connection failed before an answer came: {_said(error)}")


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class _Tokens:
    """The token in use; fetched by one thread while the others wait for it."""

    def __init__(
        self,
        url: str | None,
        credentials: Credentials,
        post: Callable[[str, dict[str, str], bytes], _Response],
        monotonic: Callable[[], float],
    ) -> None:
        self._url = url
        self._credentials = credentials
        self._post = post
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._token: str | None = None
        self._expires = 0.0

    @property
    def renewable(self) -> bool:
        return isinstance(self._credentials, ClientCredentials)

    def current(self) -> str:
        if isinstance(self._credentials, AccessToken):
            return _checked(self._credentials.token)
        with self._lock:
            if self._token is None or self._monotonic() >= self._expires:
                self._token, lifetime = self._fetch(self._credentials)
                self._expires = self._monotonic() + max(lifetime - _EXPIRY_MARGIN, lifetime / 2)
            return self._token

    def discard(self, token: str) -> None:
        with self._lock:
            if self._token == token:
                self._token = None

    def _fetch(self, credentials: ClientCredentials) -> tuple[str, float]:
        form = {
            "grant_type": "client_credentials",
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
            "scope": SCOPE,
        }
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        try:
            response = self._post(str(self._url), headers, str(httpx.QueryParams(form)).encode())
        except Exception as error:  # the seam, as in _invoke; nothing was sent to be processed
            raise _NoToken(NotProcessed(f"no token could be fetched: {_said(error)}")) from error
        return self._read(response)

    def _read(self, response: _Response) -> tuple[str, float]:
        if response.status in {408, 429} or response.status >= 500:  # noqa: PLR2004
            wait = seconds(response.retry_after, datetime.now(UTC))
            throttled = response.status == httpx.codes.TOO_MANY_REQUESTS
            raise _NoToken(NotProcessed(self._explain(response), wait, throttled=throttled))
        if response.status != httpx.codes.OK:
            raise _NoToken(Rejected(f"{self._explain(response)}; check the client id and secret, and the region"))
        try:
            answer = orjson.loads(response.body)
            token, lifetime = answer["access_token"], float(answer["expires_in"])
            if not (isinstance(token, str) and token and math.isfinite(lifetime)):
                raise ValueError(lifetime)  # noqa: TRY301  # as the other ways in which it is no token
        except (ValueError, KeyError, TypeError):
            raise _NoToken(Rejected("the token endpoint answered 200 without a token; check token_url")) from None
        return _checked(token), lifetime

    def _explain(self, response: _Response) -> str:
        return f"no token: {explain(response.status, response.body)}"


def _checked(token: str) -> str:
    if _TOKEN.fullmatch(token):
        return token
    raise _NoToken(Rejected("no token: the access token holds white space or characters that no token has"))
