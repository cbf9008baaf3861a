"""One Invocation in a worker's thread: sent until its outcome is known, its budget is spent, or the run stops."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import Final

from reconciler.delivery.answers import Accepted, Answer, NotProcessed, Unknown
from reconciler.delivery.batch import Invocation
from reconciler.delivery.events import Answered, Cause, Sent, Waiting
from reconciler.delivery.ports import ApplyOptions, Ports
from reconciler.delivery.redaction import Redactor
from reconciler.delivery.retry import GiveUp, Halve, History, Retry, Settled, decide
from reconciler.delivery.throttle import RateLimiter
from reconciler.delivery.width import Width
from reconciler.state.model import Outcome, Result

_SPACED: Final = "calls are spaced since the API answered 429"
_TOO_LONG: Final = "the API asked for a longer wait than this run may take"


@dataclass(frozen=True, slots=True)
class Attempt:
    """An Invocation to send. `unknown`: an attempt of its requests, in whatever run, had an unknown outcome.

    `halved`: it is a half of one that was refused. A half keeps the redactor of the whole: what the API says of it
    may still speak of the other half.
    """

    invocation: Invocation
    redactor: Redactor
    unknown: bool
    halved: bool = False

    @classmethod
    def of(cls, invocation: Invocation, sensitive: frozenset[str]) -> Attempt:
        """Return the first attempt of this run at an Invocation."""
        return cls(invocation, Redactor(invocation, sensitive), unknown=invocation.requests[0].resend)

    def halves(self) -> tuple[Attempt, Attempt]:
        """Return its halves, each to be sent by itself."""
        first, second = self.invocation.halves()
        return replace(self, invocation=first, halved=True), replace(self, invocation=second, halved=True)

    def unsent(self) -> tuple[Outcome, ...]:
        """Return that its requests have not been processed, if that is certain."""
        if self.unknown or self.halved:
            return ()
        return tuple(Outcome(request.requestid, Result.UNSENT) for request in self.invocation.requests)


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """What an Invocation came to; `halves` are sent instead of it. `stop`: nothing more should be sent."""

    outcomes: tuple[Outcome, ...]
    problem: str = ""
    stop: bool = False
    halves: tuple[Attempt, ...] = ()


class Retrier:
    """Sends Invocations, each until it is settled or given up; may be used from several threads at once."""

    def __init__(self, options: ApplyOptions, ports: Ports) -> None:
        self._budget = options.budget
        self._ports = ports
        self._limiter = RateLimiter(ports.clock)
        self.width = Width(options.parallelism)
        self._numbers = count(1)

    def send(self, attempt: Attempt) -> AttemptResult:
        """Return what the Invocation came to; raises StateError where another run may have the state."""
        clock, stop_signal, tell = self._ports.clock, self._ports.stop_signal, self._ports.observer.told
        began, tries, number = clock.monotonic(), 0, next(self._numbers)
        while True:
            with self.width.call():
                in_time = self._limiter.take_turn(
                    stop_signal,
                    self._budget.seconds - (clock.monotonic() - began),
                    lambda seconds: tell(Waiting(seconds, _SPACED, "rate", number)),
                )
                if stop_signal.given.is_set() or not in_time:
                    return AttemptResult(attempt.unsent(), "" if in_time else _TOO_LONG)
                self._ports.store.require_held()
                tries += 1
                answer = self._invoke(attempt, number, tries)
            attempt = replace(attempt, unknown=attempt.unknown or isinstance(answer, Unknown))
            history = History(tries, clock.monotonic() - began, attempt.unknown, attempt.halved)
            decision = decide(answer, attempt.invocation, history, self._budget, self._ports.jitter())
            if not isinstance(decision, Retry):
                return self._end(attempt, decision)
            tell(Waiting(decision.wait, attempt.redactor.clean(decision.reason), _cause(decision, answer), number))
            clock.wait(decision.wait, stop_signal.given)

    def _invoke(self, attempt: Attempt, number: int, tries: int) -> Answer:
        """Send it once; that it goes out, and what comes of it, is told."""
        clock, tell, invocation = self._ports.clock, self._ports.observer.told, attempt.invocation
        tell(Sent(number, tries, invocation))
        began = clock.monotonic()
        answer = self._ports.sender.invoke(invocation)
        ended = clock.monotonic()
        self._heed(answer, began, ended)
        reason = attempt.redactor.clean(getattr(answer, "reason", ""))
        tell(Answered(number, tries, invocation, answer, reason, ended - began))
        return answer

    def _end(self, attempt: Attempt, decision: Settled | Halve | GiveUp) -> AttemptResult:
        match decision:
            case Settled(outcomes):
                return AttemptResult(attempt.redactor.clean_outcomes(outcomes))
            case Halve():
                return AttemptResult((), halves=attempt.halves())
            case GiveUp(outcomes, reason, stop):
                if stop:
                    # Here and now: other threads must not send until the coordinating one hears of it.
                    self._ports.stop_signal.give()
                return AttemptResult(outcomes, attempt.redactor.clean(reason), stop=stop)

    def _heed(self, answer: Answer, began: float, ended: float) -> None:
        """Send less and more slowly after a 429, more after a success."""
        if isinstance(answer, NotProcessed) and answer.throttled:
            self._limiter.slow_down(answer.retry_after, began)
            self.width.throttled(began, ended)
        elif isinstance(answer, Accepted):
            self._limiter.speed_up()
            self.width.succeeded(began, ended)


def _cause(decision: Retry, answer: Answer) -> Cause:
    return "retry-after" if 0 < decision.wait <= getattr(answer, "retry_after", 0.0) else "backoff"
