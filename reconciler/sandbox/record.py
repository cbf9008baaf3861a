"""What reached the sandbox and what came of it: the truth that tests compare a state with. In memory only."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl, urlencode

from reconciler.sandbox.config import INVOKE_PATH, TOKEN_PATH
from reconciler.sandbox.invocation import Invocation, Malformed, Request, read_invocation

CallKind = Literal["invoke", "token", "other"]
REMOVED = "(removed)"


@dataclass(slots=True)
class Call:
    """One HTTP call to the API, as it arrived; `status`, `fault` and `processed` are set while it is served.

    `n` counts all calls from 1. `headers` have lower-case names; the value of Authorization and the client secret of
    a form are removed. `invocation` is None if the body is not one; `malformed` then says why. `at` is in the
    server's clock, seconds. `status` stays None while, and if, no answer was given. `fault` is the effect that was
    applied, in the fault language.
    """

    n: int
    kind: CallKind
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    invocation: Invocation | None = None
    malformed: str = ""
    status: int | None = None
    fault: str = ""
    processed: bool = False

    @property
    def requests(self) -> tuple[Request, ...]:
        """The requests of the body; none if it is not an Invocation."""
        return self.invocation.requests if self.invocation else ()

    @property
    def requestids(self) -> tuple[str, ...]:
        """The requestids of the body, in its order."""
        return tuple(request.requestid for request in self.requests if request.requestid is not None)


class Arriving(NamedTuple):
    """A call as it comes from the wire; `path` is without its query, `headers` have lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Outcome(StrEnum):
    """What came of one request."""

    DISPATCHED = "dispatched"
    RELEASED = "released"
    FAILED = "failed"
    IGNORED = "ignored"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True)
class Processed:
    """One request, in the order of processing, and what came of it; `reason` says why it failed or was ignored.

    `call` is the number of its call; 0 for what no call asked for (COMPLETED: an agent ended the interaction).
    """

    call: int
    provider: str | None
    request: Request
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Double:
    """A violation: `externalid` was dispatched by call `call` under `requestid` while it was still open."""

    externalid: str
    call: int
    requestid: str | None
    open_under: str | None


@dataclass(slots=True)
class Record:
    """Everything since the start or the last reset; `keep` limits `calls` and `processed` to the newest.

    `mixed`: (call, externalid) of bodies that hold several requests of one externalid, whose order is not documented.
    `once_by_content`, `once_by_requestid`: dispatches without an externalid, counted by (provider, content) and by
    requestid (None: those without one).
    """

    keep: int | None = None
    calls: deque[Call] = field(init=False)
    processed: deque[Processed] = field(init=False)
    arrived: Counter[str] = field(default_factory=Counter)
    doubles: list[Double] = field(default_factory=list)
    mixed: list[tuple[int, str]] = field(default_factory=list)
    once_by_content: Counter[tuple[str | None, bytes]] = field(default_factory=Counter)
    once_by_requestid: Counter[str | None] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.calls = deque(maxlen=self.keep)
        self.processed = deque(maxlen=self.keep)

    def add_call(self, arriving: Arriving, at: float) -> Call:
        """Record a call and return it, its secrets removed and its body read."""
        call = _read_call(self.arrived.total() + 1, arriving, at)
        self.arrived[call.kind] += 1
        self.calls.append(call)
        return call

    def add_processed(self, entry: Processed) -> None:
        """Record what came of a request."""
        self.processed.append(entry)
        if entry.outcome is Outcome.DISPATCHED and entry.request.externalid is None:
            self.once_by_content[entry.provider, entry.request.content] += 1
            self.once_by_requestid[entry.request.requestid] += 1

    def history(self, externalid: str) -> list[Processed]:
        """Return what happened to one externalid, in order; reads the whole record (see `histories`)."""
        return [entry for entry in self.processed if entry.request.externalid == externalid]

    def histories(self) -> dict[str, list[Processed]]:
        """Return what happened to each externalid, in order."""
        found: dict[str, list[Processed]] = {}
        for entry in self.processed:
            if entry.request.externalid is not None:
                found.setdefault(entry.request.externalid, []).append(entry)
        return found


def _read_call(n: int, arriving: Arriving, at: float) -> Call:
    method, path, headers, body = arriving
    kind = _kind(method, path)
    safe = {name: REMOVED if name == "authorization" else value for name, value in headers.items()}
    form = kind == "token" or "x-www-form-urlencoded" in headers.get("content-type", "")
    call = Call(n, kind, method, path, safe, _without_secret(body) if form else body, at)
    if kind == "invoke":
        try:
            call.invocation = read_invocation(body)
        except Malformed as error:
            call.malformed = str(error)
    return call


def _kind(method: str, path: str) -> CallKind:
    if method != "POST":
        return "other"
    return "invoke" if path == INVOKE_PATH else "token" if path == TOKEN_PATH else "other"


def _without_secret(body: bytes) -> bytes:
    pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True)
    return urlencode([(name, REMOVED if name == "client_secret" else value) for name, value in pairs]).encode()
