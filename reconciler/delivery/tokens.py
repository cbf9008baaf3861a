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
            token, lifetime = answer["access_token"], float(answer["expires_in"])
            if not (isinstance(token, str) and token and math.isfinite(lifetime)):
                raise ValueError(lifetime)  # noqa: TRY301  # as the other ways in which it is no token
        except (ValueError, KeyError, TypeError):
            raise NoToken(Rejected("the token endpoint answered 200 without a token; check token_url")) from None
        return _checked(token), lifetime

    def _explain(self, response: Response) -> str:
        return f"no token: {explain(response.status, response.body)}"


def _checked(token: str) -> str:
    if _TOKEN.fullmatch(token):
        return token
    raise NoToken(Rejected("no token: the access token holds white space or characters that no token has"))
