"""The API: its calls and headers, as documented [S] [D], and what their answers prove.

What is said of a call holds no credentials, whatever the API or a library says.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

from reconciler.delivery.answers import Accepted, Answer, read_answer
from reconciler.delivery.batch import Invocation
from reconciler.delivery.connection import Connector, Response
from reconciler.delivery.redaction import hide
from reconciler.delivery.tokens import Credentials, NoToken, Tokens

ACCEPT: Final = "application/vnd.newvoicemedia.v1+json"


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
        timeout: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._invoke_url = f"{base_url}/interactions/invoke"
        self._credentials = credentials
        self._connector = Connector([url for url in (self._invoke_url, token_url) if url], timeout)
        self._tokens = Tokens(token_url, credentials, self._connector.post, monotonic)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connector.close()

    def invoke(self, invocation: Invocation) -> Answer:
        """Send the Invocation, with a new token once if the one used is refused, and return what the answer proves."""
        token = ""
        try:
            token = self._tokens.current()
            answer, status = self._invoke(invocation, token)
            if status == HTTPStatus.UNAUTHORIZED and self._tokens.renewable:
                self._tokens.discard(token)
                token = self._tokens.current()
                answer, _ = self._invoke(invocation, token)
        except NoToken as no_token:
            answer = no_token.answer
        return self._without_credentials(answer, token)

    def _without_credentials(self, answer: Answer, token: str) -> Answer:
        if isinstance(answer, Accepted):
            return answer
        known = (getattr(self._credentials, name, "") for name in ("client_id", "client_secret"))
        return replace(answer, reason=hide(answer.reason, filter(None, (token, *known))))

    def _invoke(self, invocation: Invocation, token: str) -> tuple[Answer, int]:
        headers = {"Authorization": f"Bearer {token}", "Accept": ACCEPT, "Content-Type": "application/json"}
        response = self._connector.post(self._invoke_url, headers, invocation.body)
        if not isinstance(response, Response):
            return response, 0
        answer = read_answer(
            response.status, response.retry_after, response.body, invocation.requestids, datetime.now(UTC)
        )
        return replace(answer, status=response.status), response.status
