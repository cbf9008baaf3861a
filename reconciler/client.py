"""The API over HTTP: the only user of httpx, and the one seam where its exceptions become answers.

Calls, headers and hosts are the API's documented ones [S] [D]; redirects are never followed, TLS is always verified.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self

import httpx
import orjson

from reconciler import __version__
from reconciler.answers import Answer, NotProcessed, Rejected, Unknown, explain, read_answer, seconds
from reconciler.batch import Invocation

ACCEPT: Final = "application/vnd.newvoicemedia.v1+json"
SCOPE: Final = "interactions:write"
_EXPIRY_MARGIN: Final = 120.0
_LARGEST_ANSWER: Final = 10_000_000

NEVER_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
"""Raised before a byte of the request is on its way: DNS, TCP, TLS, proxy."""


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

    def __init__(  # noqa: PLR0913  # each is independent, and named by its callers
        self,
        base_url: str,
        token_url: str | None,
        credentials: Credentials,
        *,
        timeout: float = 30.0,
        parallelism: int = 4,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._invoke_url = f"{base_url}/interactions/invoke"
        self._tokens = _Tokens(token_url, credentials, self._post, monotonic)
        self._timeout = timeout
        self._monotonic = monotonic
        self._http = httpx.Client(
            timeout=timeout,
            follow_redirects=False,
            headers={"User-Agent": f"reconciler/{__version__}"},
            limits=httpx.Limits(max_connections=parallelism + 1),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def invoke(self, invocation: Invocation) -> Answer:
        """Send the Invocation, with a new token once if the one used is refused, and return what the answer proves."""
        try:
            token = self._tokens.current()
            answer, status = self._invoke(invocation, token)
            if status == httpx.codes.UNAUTHORIZED and self._tokens.renewable:
                self._tokens.discard(token)
                answer, _ = self._invoke(invocation, self._tokens.current())
        except _NoToken as no_token:
            return no_token.answer
        return answer

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
        deadline = self._monotonic() + self._timeout
        with self._http.stream("POST", url, headers=headers, content=body) as response:
            received = bytearray()
            for chunk in response.iter_bytes():
                received += chunk
                if self._monotonic() > deadline:
                    raise httpx.ReadTimeout("the answer as a whole took too long", request=response.request)
                if len(received) > _LARGEST_ANSWER:
                    raise httpx.DecodingError("the answer is too large", request=response.request)
            return _Response(response.status_code, response.headers.get("Retry-After"), bytes(received))


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    retry_after: str | None
    body: bytes


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
            return self._credentials.token
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
            token, lifetime = str(answer["access_token"]), float(answer["expires_in"])
        except (ValueError, KeyError, TypeError):
            raise _NoToken(Rejected("the token endpoint answered 200 without a token; check token_url")) from None
        return token, lifetime

    def _explain(self, response: _Response) -> str:
        said = f"no token: {explain(response.status, response.body)}"
        for secret in (getattr(self._credentials, name, "") for name in ("client_secret", "client_id")):
            said = said.replace(secret, "(hidden)") if secret else said
        return said
