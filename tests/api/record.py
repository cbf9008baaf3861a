"""What reached the API and what came of it: the truth that tests compare a state with."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, fields

from reconciler.sandbox.call import Call as ArrivedCall
from reconciler.sandbox.emulator import Handling
from reconciler.sandbox.invocation import ReceivedRequest

__all__ = ["Call", "Double", "Handling", "Processed", "Record"]


@dataclass(slots=True, kw_only=True)
class Call(ArrivedCall):
    """A call with its number, from 1, and when it arrived, in the server's clock."""

    n: int
    at: float

    @property
    def requestids(self) -> tuple[str, ...]:
        """The requestids of the body, in its order."""
        return tuple(request.requestid for request in self.requests if request.requestid is not None)


@dataclass(frozen=True, slots=True)
class Processed:
    """One request, in the order of processing, and what came of it; `reason` says why it failed or was ignored.

    `call` is the number of its call; 0 for what no call asked for (COMPLETED: an agent ended the interaction).
    """

    call: int
    provider: str | None
    request: ReceivedRequest
    outcome: Handling
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
    """Everything since the start; `keep` limits `calls` and `processed` to the newest.

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

    def add_call(self, arrived: ArrivedCall, at: float) -> Call:
        """Record a call and return it, numbered."""
        plain = {each.name: getattr(arrived, each.name) for each in fields(arrived)}
        call = Call(**plain, n=self.arrived.total() + 1, at=at)
        self.arrived[call.kind] += 1
        self.calls.append(call)
        seen = Counter(request.externalid for request in call.requests if request.externalid is not None)
        self.mixed += [(call.n, externalid) for externalid, times in seen.items() if times > 1]
        return call

    def add_processed(self, entry: Processed) -> None:
        """Record what came of a request."""
        self.processed.append(entry)
        if entry.outcome is Handling.DISPATCHED and entry.request.externalid is None:
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
