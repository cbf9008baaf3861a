"""What to do next about an Invocation, given its last answer and its history: pure decisions, as a table.

Once an attempt has had an unknown outcome, only a valid 200 settles it: the first copy may have been processed,
and a new requestid would double it. A request of a larger body that was refused may have been processed too, but no
copy of it is on its way any more: refused alone it has failed, and is retried as what may be open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from reconciler.delivery.answers import Accepted, Answer, NotProcessed, Refused, Rejected, Unknown
from reconciler.delivery.batch import Invocation
from reconciler.state.model import Kind, Outcome, Result

NO_REASON: Final = "the API named it as failed; it does not say why"
BACKOFF_BASE: Final = 0.5
BACKOFF_CAP: Final = 20.0


@dataclass(frozen=True, slots=True)
class Budget:
    """How long to try: `tries` calls or `seconds` for each Invocation, whichever ends first."""

    tries: int = 5
    seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class History:
    """What happened to an Invocation so far: calls made, seconds since the first, whether any outcome is unknown.

    `halved`: its requests were in a larger body, which was refused.
    """

    tries: int
    elapsed: float
    unknown: bool
    halved: bool = False

    @property
    def in_doubt(self) -> bool:
        """Whether its requests may have been processed already."""
        return self.unknown or self.halved


@dataclass(frozen=True, slots=True)
class Settled:
    """The outcomes are known."""

    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Retry:
    """Send the same body once more, after `wait` seconds."""

    wait: float
    reason: str


@dataclass(frozen=True, slots=True)
class Halve:
    """Send each half by itself, to find the request that is refused."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nothing more is tried in this run: the requests stay pending, and `outcomes` marks the unsent ones.

    `stop`: nothing else should be sent either.
    """

    outcomes: tuple[Outcome, ...]
    reason: str
    stop: bool = False


RetryDecision = Settled | Retry | Halve | GiveUp


def decide(answer: Answer, invocation: Invocation, history: History, budget: Budget, jitter: float) -> RetryDecision:
    """Return what to do next. `history` includes the answer; `jitter` is uniform in [0, 1)."""
    match answer:
        case Accepted(failed):
            return Settled(_accepted(failed, invocation, history))
        case Refused(reason):
            return _refused(reason, invocation, history)
        case Rejected(reason):
            return GiveUp(_unsent(invocation, history), reason, stop=True)
        case Unknown(reason, stop=True):
            return GiveUp((), reason, stop=True)
        case Unknown(reason, retry_after) | NotProcessed(reason, retry_after):
            wait = max(retry_after, backoff(history.tries, jitter))
            if history.tries >= budget.tries or history.elapsed + wait >= budget.seconds:
                return GiveUp(_unsent(invocation, history), reason)
            return Retry(wait, reason)


def backoff(tries: int, jitter: float) -> float:
    """Return the seconds to wait after so many tries: exponential, with full jitter."""
    return jitter * min(BACKOFF_CAP, BACKOFF_BASE * 2.0**tries)


def pause(failures: int) -> float:
    """Return the seconds to wait before a release of what may be open is tried again, after so many failures."""
    return backoff(failures + 1, jitter=1.0)


def _ids(invocation: Invocation) -> tuple[str, ...]:
    return tuple(request.requestid for request in invocation.requests)


def _accepted(failed: frozenset[str], invocation: Invocation, history: History) -> tuple[Outcome, ...]:
    bad, good, resent = (Result.FAILED, NO_REASON), (Result.SUCCEEDED, ""), history.in_doubt
    return tuple([Outcome(each, *(bad if each in failed else good), resent) for each in _ids(invocation)])


def _refused(reason: str, invocation: Invocation, history: History) -> RetryDecision:
    if len(invocation.requests) > 1:
        return Halve()
    if history.unknown:
        return GiveUp((), reason)
    if invocation.requests[0].kind is Kind.TOLERANT:
        # Its failure is as good as success only where the API looked at it; what stands behind it must wait.
        return GiveUp(_unsent(invocation, history), reason)
    return Settled(tuple(Outcome(each, Result.FAILED, reason, history.halved) for each in _ids(invocation)))


def _unsent(invocation: Invocation, history: History) -> tuple[Outcome, ...]:
    if history.in_doubt:
        return ()
    return tuple(Outcome(requestid, Result.UNSENT) for requestid in _ids(invocation))
