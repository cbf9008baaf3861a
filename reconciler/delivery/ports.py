"""What an apply needs of the outside world, as protocols: no files, no HTTP, no terminal. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from reconciler.delivery.answers import Answer
from reconciler.delivery.batch import Invocation
from reconciler.delivery.events import Event
from reconciler.delivery.retry import Budget
from reconciler.delivery.throttle import Clock, StopSignal
from reconciler.state.stores.interface import OutcomeWriter


class Sender(Protocol):
    """Who talks to the API."""

    def invoke(self, invocation: Invocation) -> Answer:
        """Send the Invocation once and return what the answer proves. Never raises for what the network does."""
        ...


class Observer(Protocol):
    """Who is told what happens. May be called from several threads, and never raises."""

    def told(self, event: Event) -> None:
        """Take notice of it, or don't."""
        ...


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How to send: calls at a time (None: what is taken well), largest body in bytes, budget of each Invocation."""

    parallelism: int | None
    request_bytes: int
    sensitive: frozenset[str]
    budget: Budget = field(default_factory=Budget)


@dataclass(frozen=True, slots=True)
class Ports:
    """The outside world of one apply; `jitter` draws a number from [0, 1)."""

    store: OutcomeWriter
    sender: Sender
    clock: Clock
    observer: Observer
    stop_signal: StopSignal
    jitter: Callable[[], float]
