"""The documented API as rules over memory. Pure: no sockets, no files, no clock (`now` is passed in, in seconds).

Sources as in the API's description: [S] the API page, [D] the vendor's documentation; "assumed" where both are silent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Final
from urllib.parse import parse_qs

import orjson

from reconciler.sandbox.answer import Answer, json_answer, message_answer
from reconciler.sandbox.config import ACCEPT, INVOKE_PATH, SCOPE, TOKEN_PATH, FailedDuplicate, Redispatch, SandboxConfig
from reconciler.sandbox.invocation import Invocation, Request
from reconciler.sandbox.memory import Memory, Open
from reconciler.sandbox.record import Call, Double, Outcome, Processed, Record

_FORM: Final = "application/x-www-form-urlencoded"

Fails = Callable[[Request], bool]


def never(_request: Request) -> bool:
    """Fail no request."""
    return False


class Emulator:
    """The API. `record` is what happened, `memory` what it remembers; not thread-safe.

    `new_token` makes access tokens; the default counts them, so that tests are repeatable.
    """

    def __init__(self, config: SandboxConfig | None = None, *, new_token: Callable[[], str] | None = None) -> None:
        self.config = config or SandboxConfig()
        self.record = Record(self.config.keep)
        self.memory = Memory()
        self._tokens: dict[str, float] = {}
        numbers = count(1)
        self._new_token = new_token or (lambda: f"token-{next(numbers)}")

    @property
    def open(self) -> dict[str, Open]:
        """The open interactions by externalid."""
        return self.memory.open

    @property
    def doubles(self) -> list[Double]:
        """The dispatches of externalids that were still open: violations."""
        return self.record.doubles

    def answer(
        self, call: Call, authorization: str | None, now: float, fails: Fails = never, *, form: bytes = b""
    ) -> Answer:
        """Serve a call as the API would. `authorization` is its header; `form` a token call's body with its secret."""
        if call.kind == "token":
            return self.token(call, form, now)
        if call.kind == "invoke":
            return self.invoke(call, authorization, now, fails)
        if call.path in (INVOKE_PATH, TOKEN_PATH):
            return message_answer(405, headers=(("Allow", "POST"),))
        return message_answer(404)

    def token(self, call: Call, form: bytes, now: float) -> Answer:
        """Issue a token [D]: form-encoded client credentials. Errors are those of OAuth 2 (RFC 6749, 5.2; assumed)."""
        if _media_type(call) != _FORM:
            return json_answer({"error": "invalid_request"}, 400)
        fields = {name: values[-1] for name, values in parse_qs(form.decode("utf-8", "replace")).items()}
        if fields.get("grant_type") != "client_credentials":
            return json_answer({"error": "unsupported_grant_type"}, 400)
        if not self._known_client(fields.get("client_id", ""), fields.get("client_secret", "")):
            return json_answer({"error": "invalid_client"}, 400)
        if SCOPE not in fields.get("scope", "").split():
            return json_answer({"error": "invalid_scope"}, 400)
        token = self._new_token()
        self._tokens[token] = now + self.config.expires_in
        call.processed = True
        return json_answer({"access_token": token, "expires_in": self.config.expires_in, "token_type": "Bearer"})

    def _known_client(self, client_id: str, secret: str) -> bool:
        clients = self.config.clients
        if clients is None:
            return bool(client_id and secret)
        return bool(secret) and clients.get(client_id) == secret

    def expire_tokens(self) -> None:
        """Make every token issued so far invalid; the configured one stays."""
        self._tokens.clear()

    def invoke(self, call: Call, authorization: str | None, now: float, fails: Fails = never) -> Answer:
        """Serve an invoke call: 401, 413 or 417 [D], 400 [D], 415 (assumed), or 200 with the failed requestids [S]."""
        if not self._authorised(authorization, now):
            return message_answer(401, headers=(("WWW-Authenticate", "Bearer"),))
        if len(call.body) > self.config.body_limit:
            return message_answer(self.config.too_large_status)
        if ACCEPT not in [part.partition(";")[0].strip() for part in call.headers.get("accept", "").split(",")]:
            return message_answer(400, f"Accept must name the version: {ACCEPT}")
        if _media_type(call) != "application/json":
            return message_answer(415, "Content-Type must be application/json")
        return self.process(call, now, fails)

    def _authorised(self, authorization: str | None, now: float) -> bool:
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return False
        return token == self.config.access_token or now < self._tokens.get(token, now)

    def process(self, call: Call, now: float, fails: Fails = never) -> Answer:
        """Process a body whatever its headers: 400 if it is not an Invocation, else 200 with the failed requestids."""
        if call.invocation is None:
            return message_answer(400, call.malformed)
        call.processed = True
        self.memory.forget(self.config, now)
        self._note_mixed(call)
        requests = self._first_of_each_id(call, call.invocation)
        if self.config.reverse:
            requests.reverse()
        failed = [
            request.requestid
            for request in requests
            if self._serve(call, call.invocation.provider, request, now, fails) and request.requestid is not None
        ]
        self.memory.forget(self.config, now)
        return Answer(200, orjson.dumps(failed))

    def _first_of_each_id(self, call: Call, invocation: Invocation) -> list[Request]:
        # Of two requests with one requestid in a body only the first is processed [D].
        seen: set[str] = set()
        kept: list[Request] = []
        for request in invocation.requests:
            if request.requestid in seen:
                self._ignore(call, invocation.provider, request)
                continue
            if request.requestid is not None:
                seen.add(request.requestid)
            kept.append(request)
        return kept

    def _ignore(self, call: Call, provider: str | None, request: Request) -> None:
        self.record.add_processed(Processed(call.n, provider, request, Outcome.IGNORED, "duplicate"))

    def _note_mixed(self, call: Call) -> None:
        seen = Counter(request.externalid for request in call.requests if request.externalid is not None)
        self.record.mixed += [(call.n, externalid) for externalid, times in seen.items() if times > 1]

    def _serve(self, call: Call, provider: str | None, request: Request, now: float, fails: Fails) -> bool:
        # Returns whether the request is listed as failed.
        known = self.memory.ids.get(request.requestid) if request.requestid is not None else None
        if known is not None and not (known.failed and self.config.failed_duplicate is FailedDuplicate.PROCESSED):
            self._ignore(call, provider, request)
            if known.failed:
                return self.config.failed_duplicate is FailedDuplicate.FAILS
            return self.config.done_duplicate_fails
        reason = "fault" if fails(request) else self._act(call, provider, request)
        done = Outcome.RELEASED if request.action == "release" else Outcome.DISPATCHED
        outcome = Outcome.FAILED if reason else done
        self.record.add_processed(Processed(call.n, provider, request, outcome, reason))
        self.memory.take(request.requestid, failed=bool(reason), now=now)
        return bool(reason)

    def _act(self, call: Call, provider: str | None, request: Request) -> str:
        # Returns why the request failed; "" if it did not.
        if request.action == "release":
            return self._release(provider, request.externalid)
        return self._dispatch(call, provider, request)

    def _dispatch(self, call: Call, provider: str | None, request: Request) -> str:
        if request.route is None:
            return "no route"
        if request.externalid is None:
            return ""
        copies = 1
        if (was := self.open.get(request.externalid)) is not None:
            self.doubles.append(Double(request.externalid, call.n, request.requestid, was.requestid))
            if self.config.redispatch is Redispatch.FAILS:
                return "still open"
            copies = was.copies + 1
        self.memory.put(request.externalid, Open(provider, request.content, request.requestid, copies))
        return ""

    def _release(self, provider: str | None, externalid: str | None) -> str:
        if externalid is None:
            return "no externalid"
        was = self.open.get(externalid)
        if was is None:
            return "not open"
        if was.provider != provider:
            return "another provider"
        self.memory.close(externalid)
        return ""

    def complete(self, externalid: str) -> bool:
        """End an open interaction as an agent does, without a request; returns whether it was open."""
        was = self.open.get(externalid)
        if was is None:
            return False
        self.memory.close(externalid)
        ended = Request(
            "release", None, externalid, None, orjson.dumps({"action": "release", "externalid": externalid})
        )
        self.record.add_processed(Processed(0, was.provider, ended, Outcome.COMPLETED))
        return True

    def reset(self) -> None:
        """Forget everything but the issued tokens."""
        self.record = Record(self.config.keep)
        self.memory = Memory()


def _media_type(call: Call) -> str:
    return call.headers.get("content-type", "").partition(";")[0].strip().lower()
