"""Credentials, and the token made of them."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode

import orjson

from reconciler.delivery.answers import Answer, NotProcessed, Rejected, Unknown, explain, seconds
from reconciler.delivery.connection import Response

SCOPE: Final = "interactions:write"
_EXPIRY_MARGIN: Final = 120.0
_ASSUMED_LIFETIME: Final = 3600.0  # half of what is documented [D], where the answer doesn't tell
_TOKEN: Final = re.compile(r"[!-~]+")


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


class NoToken(Exception):
    """There is no token to send with; `answer` says what that proves about the Invocation."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.answer = answer


class Tokens:
    """The token in use; fetched by one thread while the others wait for it."""

    def __init__(
        self,
        url: str | None,
        credentials: Credentials,
        post: Callable[[str, dict[str, str], bytes], Response | NotProcessed | Unknown],
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
        """Whether a new token can be fetched."""
        return isinstance(self._credentials, ClientCredentials)

    def current(self) -> str:
        """Return the token to send with, fetched where there is none that is valid; raises NoToken."""
        if isinstance(self._credentials, AccessToken):
            return _checked(self._credentials.token)
        with self._lock:
            if self._token is None or self._monotonic() >= self._expires:
                self._token, lifetime = self._fetch(self._credentials)
                self._expires = self._monotonic() + max(lifetime - _EXPIRY_MARGIN, lifetime / 2)
            return self._token

    def discard(self, token: str) -> None:
        """Use this token no more."""
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
        response = self._post(str(self._url), headers, urlencode(form).encode())
        if not isinstance(response, Response):
            # Whatever became of this call, no Invocation was sent.
            raise NoToken(NotProcessed(f"no token: {response.reason}"))
        return self._read(response)

    def _read(self, response: Response) -> tuple[str, float]:
        if response.status in {408, 429} or response.status >= 500:  # noqa: PLR2004
            wait = seconds(response.retry_after, datetime.now(UTC))
            throttled = response.status == HTTPStatus.TOO_MANY_REQUESTS
            raise NoToken(NotProcessed(self._explain(response), wait, throttled=throttled))
        if response.status != HTTPStatus.OK:
            raise NoToken(Rejected(f"{self._explain(response)}; check the client id and secret, and the region"))
        try:
            answer = orjson.loads(response.body)
        except orjson.JSONDecodeError:
            answer = None
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not (isinstance(token, str) and token):
            raise NoToken(Rejected("the token endpoint answered 200 without a token; check token_url"))
        if str(answer.get("token_type") or "bearer").lower() != "bearer":
            # Whoever doesn't know a token's type must not use it (RFC 6749, 7.1).
            raise NoToken(Rejected("the token endpoint gave a token of a type other than Bearer; check token_url"))
        return _checked(token), _lifetime(answer.get("expires_in"))

    def _explain(self, response: Response) -> str:
        return f"no token: {explain(response.status, response.body)}"


def _lifetime(told: object) -> float:
    """Return the seconds that a token is good for: RFC 6749 only recommends to tell, and a 401 has the last word."""
    try:
        lifetime = float(told)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return _ASSUMED_LIFETIME
    return lifetime if math.isfinite(lifetime) else _ASSUMED_LIFETIME


def _checked(token: str) -> str:
    if _TOKEN.fullmatch(token):
        return token
    raise NoToken(Rejected("no token: the access token holds white space or characters that no token has"))
