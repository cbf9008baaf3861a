"""The documented API as rules over memory. Pure: no sockets, no files, no clock (`now` is passed in, in seconds).

Sources as in the API's description: [S] the API page, [D] the vendor's documentation; "assumed" where both are silent:
what is assumed stands in methods of its own, so that a test can assume otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from itertools import count
from typing import Final
from urllib.parse import parse_qs

import orjson

from reconciler.sandbox.call import INVOKE_PATH, TOKEN_PATH, Call
from reconciler.sandbox.invocation import ReceivedInvocation, ReceivedRequest
from reconciler.sandbox.memory import Memory, OpenInteraction, Remembered
from reconciler.sandbox.reply import Reply, json_answer, message_answer

ACCEPT: Final = "application/vnd.newvoicemedia.v1+json"
SCOPE: Final = "interactions:write"
_FORM: Final = "application/x-www-form-urlencoded"

Fails = Callable[[ReceivedRequest], bool]


class Handling(StrEnum):
    """What came of one request."""

    DISPATCHED = "dispatched"
    RELEASED = "released"
    FAILED = "failed"
    IGNORED = "ignored"
    COMPLETED = "completed"


class Emulator:
    """The API; not thread-safe. `memory` is what it remembers, `tokens` until when each token is valid.

    `new_token` makes access tokens; the default counts them, so that tests are repeatable.
    """

    expires_in: int = 7200
    """Seconds that a token is valid [D]."""
    body_limit: int = 102_400
    """Bytes of the largest body [D: 100 KB]."""
    too_large: int = 413
    """What a larger one is answered [D: 413 or 417]."""

    def __init__(self, new_token: Callable[[], str] | None = None) -> None:
        self.memory = Memory()
        self.tokens: dict[str, float] = {}
        numbers = count(1)
        self._new_token = new_token or (lambda: f"token-{next(numbers)}")

    @property
    def open(self) -> dict[str, OpenInteraction]:
        """The open interactions by externalid."""
        return self.memory.open

    def answer(self, call: Call, now: float, fails: Fails = lambda _request: False) -> Reply:
        """Serve a call as the API would; `fails` says which requests are not carried out."""
        if call.kind == "token":
            return self.token(call, now)
        if call.kind == "invoke":
            return self.invoke(call, now, fails)
        if call.path in (INVOKE_PATH, TOKEN_PATH):
            return message_answer(405, headers=(("Allow", "POST"),))
        return message_answer(404)

    def token(self, call: Call, now: float) -> Reply:
        """Issue a token [D]: form-encoded client credentials. Errors are those of OAuth 2 (RFC 6749, 5.2; assumed)."""
        if call.media_type != _FORM:
            return json_answer({"error": "invalid_request"}, 400)
        fields = {name: values[-1] for name, values in parse_qs(call.form.decode("utf-8", "replace")).items()}
        if fields.get("grant_type") != "client_credentials":
            return json_answer({"error": "unsupported_grant_type"}, 400)
        if not self.knows_client(fields.get("client_id", ""), fields.get("client_secret", "")):
            return json_answer({"error": "invalid_client"}, 400)
        if SCOPE not in fields.get("scope", "").split():
            return json_answer({"error": "invalid_scope"}, 400)
        token = self._new_token()
        self.tokens[token] = now + self.expires_in
        call.processed = True
        return json_answer({"access_token": token, "expires_in": self.expires_in, "token_type": "Bearer"})

    def knows_client(self, client_id: str, secret: str) -> bool:
        """Whether these are credentials: any that are not empty."""
        return bool(client_id and secret)

    def knows_token(self, token: str, now: float) -> bool:
        """Whether the token was issued and is still valid."""
        return now < self.tokens.get(token, now)

    def invoke(self, call: Call, now: float, fails: Fails) -> Reply:
        """Serve an invoke call: 401, 413 or 417 [D], 400 [D], 415 (assumed), or 200 with the failed requestids [S]."""
        scheme, _, token = (call.authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token or not self.knows_token(token, now):
            return message_answer(401, headers=(("WWW-Authenticate", "Bearer"),))
        if len(call.body) > self.body_limit:
            return message_answer(self.too_large)
        if ACCEPT not in [part.partition(";")[0].strip() for part in call.headers.get("accept", "").split(",")]:
            return message_answer(400, f"Accept must name the version: {ACCEPT}")
        if call.media_type != "application/json":
            return message_answer(415, "Content-Type must be application/json")
        return self.process(call, now, fails)

    def process(self, call: Call, now: float, fails: Fails) -> Reply:
        """Process a body whatever its headers: 400 if it is not an Invocation, else 200 with the failed requestids."""
        if call.invocation is None:
            return message_answer(400, call.malformed)
        call.processed = True
        failed = [
            request.requestid
            for request in self._first_of_each_id(call, call.invocation)
            if self._serve(call, call.invocation.provider, request, now, fails) and request.requestid is not None
        ]
        return Reply(200, orjson.dumps(failed))

    def _first_of_each_id(self, call: Call, invocation: ReceivedInvocation) -> list[ReceivedRequest]:
        """Return the requests that count: of two with one requestid in a body only the first is processed [D]."""
        seen: set[str] = set()
        kept: list[ReceivedRequest] = []
        for request in invocation.requests:
            if request.requestid is None or request.requestid not in seen:
                kept.append(request)
                seen |= {request.requestid} if request.requestid else set()
            else:
                self.note(call, invocation.provider, request, Handling.IGNORED, "duplicate")
        return self.ordered(kept)

    def ordered(self, requests: list[ReceivedRequest]) -> list[ReceivedRequest]:
        """Return the requests of a body in the order in which they are processed (assumed: as they stand)."""
        return requests

    def _serve(self, call: Call, provider: str | None, request: ReceivedRequest, now: float, fails: Fails) -> bool:
        """Carry out one request; returns whether it is listed as failed."""
        known = self.memory.ids.get(request.requestid) if request.requestid is not None else None
        if known is not None and (listed := self.duplicate(known)) is not None:
            self.note(call, provider, request, Handling.IGNORED, "duplicate")
            return listed
        reason = "fault" if fails(request) else self._act(call, provider, request)
        done = Handling.RELEASED if request.action == "release" else Handling.DISPATCHED
        self.note(call, provider, request, Handling.FAILED if reason else done, reason)
        self.memory.take(request.requestid, failed=bool(reason), now=now)
        return bool(reason)

    def duplicate(self, known: Remembered) -> bool | None:
        """Return whether a request under a known requestid is listed as failed (assumed); None processes it again."""
        return known.failed

    def _act(self, call: Call, provider: str | None, request: ReceivedRequest) -> str:
        """Return why the request failed; "" if it did not."""
        if request.action == "release":
            return self._release(provider, request.externalid)
        if request.route is None:
            return "no route"
        if request.externalid is None:
            return ""
        return self.dispatch(call, request.externalid, OpenInteraction(provider, request.content, request.requestid))

    def dispatch(self, _call: Call, externalid: str, opened: OpenInteraction) -> str:
        """Open an interaction; dispatching one that is open fails (assumed). Returns why it failed, or ""."""
        if externalid in self.open:
            return "still open"
        self.memory.put(externalid, opened)
        return ""

    def _release(self, provider: str | None, externalid: str | None) -> str:
        if externalid is None:
            return "no externalid"
        was = self.open.get(externalid)
        if was is None:
            return "not open"
        if was.provider != provider:
            return "another provider"
        self.close(externalid)
        return ""

    def close(self, externalid: str) -> None:
        """Note that an open interaction has ended."""
        self.memory.close(externalid)

    def complete(self, externalid: str) -> bool:
        """End an open interaction as an agent does, without a request; returns whether it was open."""
        was = self.open.get(externalid)
        if was is None:
            return False
        self.close(externalid)
        body = orjson.dumps({"action": "release", "externalid": externalid})
        self.note(None, was.provider, ReceivedRequest("release", None, externalid, None, body), Handling.COMPLETED, "")
        return True

    def note(
        self, call: Call | None, provider: str | None, request: ReceivedRequest, outcome: Handling, reason: str
    ) -> None:
        """Take note of what came of a request; `call` is None where no call asked for it."""
