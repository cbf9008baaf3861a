"""Intent, request, outcome: carry out a plan so that nothing is lost or doubled, whatever happens.

Sees protocols only: no files, no HTTP, no terminal. The order is the promise (docs/reliability.md):
1. the intent is saved before anything is sent;
2. a link of a chain is sent only after the outcome of the one before it is in the journal;
3. the outcomes are folded into the state at the end.
"""

from __future__ import annotations

import queue
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from reconciler.answers import Accepted, Answer, NotProcessed, Unknown
from reconciler.batch import Invocation, Request, pack
from reconciler.delivery import Again, Budget, Halve, History, Left, Settled, decide
from reconciler.errors import StateError
from reconciler.intent import Intent
from reconciler.journal import Record
from reconciler.pace import Brake, Clock, Pace
from reconciler.report import Report
from reconciler.secrecy import Scrubber
from reconciler.state import Kind, Outcome, Result, State, fold
from reconciler.times import stamp

_TOO_LONG: Final = "the API asked for a longer wait than this run may take"


class Store(Protocol):
    """Where the state is kept."""

    def save(self, state: State) -> None:
        """Save the state for good, atomically; whatever the journal held is folded into it."""
        ...

    def append(self, record: Record) -> None:
        """Add a record to the journal for good."""
        ...


class Sender(Protocol):
    """Who talks to the API."""

    def invoke(self, invocation: Invocation) -> Answer:
        """Send the Invocation once and return what the answer proves. Never raises for what the network does."""
        ...


class Progress(Protocol):
    """Who is told how far it is. May be called from several threads."""

    def started(self, requests: int) -> None:
        """So many requests will be sent."""
        ...

    def settled(self, succeeded: int, failed: int) -> None:
        """So many more outcomes are known."""
        ...

    def waiting(self, seconds: float, reason: str) -> None:
        """Say that an Invocation is sent again after so many seconds."""
        ...

    def finished(self) -> None:
        """Nothing more is sent."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """How to send: concurrent Invocations, largest body in bytes, budget of each Invocation."""

    parallelism: int = 4
    request_bytes: int = 100_000
    budget: Budget = field(default_factory=Budget)
    sensitive: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Shell:
    """The outside world of one apply."""

    store: Store
    sender: Sender
    clock: Clock
    progress: Progress
    brake: Brake
    random: random.Random


def apply(intent: Intent, options: Options, shell: Shell) -> Report:
    """Save the intent, send its chains, journal each outcome, fold them and return what became of it.

    Raises StateError if the state or journal can't be written; nothing more is sent from then on.
    """
    shell.store.save(intent.state)
    courier = _Courier(intent, options, shell)
    courier.carry()
    state = intent.state
    if courier.outcomes:
        state = fold(intent.state, courier.outcomes)
        shell.store.save(state)
    failed = [outcome.requestid for outcome, _ in courier.outcomes if outcome.result is Result.FAILED]
    return Report(
        state=state,
        succeeded=courier.succeeded,
        failed=tuple((requestid, state.failed[requestid]) for requestid in failed if requestid in state.failed),
        problems=tuple(dict.fromkeys(courier.problems)),
        interrupted=shell.brake.interrupted,
        gave_up=courier.gave_up,
    )


@dataclass(frozen=True, slots=True)
class _Load:
    """An Invocation on its way. `unknown`: an attempt of its requests, in whatever run, had an unknown outcome.

    A half keeps the scrubber of the whole: what the API says of it may still speak of the other half.
    """

    invocation: Invocation
    scrubber: Scrubber
    unknown: bool

    def halves(self) -> tuple[_Load, _Load]:
        """Return its halves, each to be sent by itself."""
        first, second = self.invocation.halves()
        return replace(self, invocation=first), replace(self, invocation=second)

    def unsent(self) -> tuple[Outcome, ...]:
        """Return that its requests have not been processed, if that is certain."""
        if self.unknown:
            return ()
        return tuple(Outcome(request.requestid, Result.UNSENT) for request in self.invocation.requests)


@dataclass(frozen=True, slots=True)
class _Delivered:
    """What an Invocation came to; `halves` are sent instead of it."""

    outcomes: tuple[Outcome, ...]
    problem: str = ""
    stop: bool = False
    halves: tuple[_Load, ...] = ()


class _Courier:
    """Carries chains: all releases first, then dispatches, each link after the one before it."""

    def __init__(self, intent: Intent, options: Options, shell: Shell) -> None:
        self._state = intent.state
        self._chains = [deque(chain) for chain in intent.chains]
        self._options = options
        self._shell = shell
        self._pace = Pace(shell.clock)
        self._kinds = {request.requestid: request.kind for chain in intent.chains for request in chain}
        self._results: dict[str, Result] = {}
        self._broken: StateError | None = None
        self._left_behind: list[Request] = []
        self.outcomes: list[tuple[Outcome, str]] = []
        self.succeeded: Counter[Kind] = Counter()
        self.problems: list[str] = []
        self.gave_up = False

    def carry(self) -> None:
        total = sum(len(chain) for chain in self._chains)
        if not total:
            return
        self._shell.progress.started(total)
        try:
            with ThreadPoolExecutor(self._options.parallelism, thread_name_prefix="invoke") as pool:
                while releases := self._heads(lambda kind: kind is not Kind.DISPATCH):
                    self._wave(releases, pool)
                self._wave(self._heads(lambda kind: kind is Kind.DISPATCH), pool)
            self._mark_unsent()
        finally:
            self._shell.progress.finished()
        if self._broken:
            raise self._broken

    def _heads(self, wanted: Callable[[Kind], bool]) -> list[Request]:
        """Return the first links that may be sent now; none once the brake is pulled."""
        if self._shell.brake.pulled.is_set():
            return []
        return [chain[0] for chain in self._chains if chain and wanted(chain[0].kind)]

    def _wave(self, requests: list[Request], pool: ThreadPoolExecutor) -> None:
        """Send the requests and journal what becomes of them; then move on every chain whose head is settled."""
        waiting = deque(self._load(invocation) for invocation in pack(requests, self._options.request_bytes))
        results: queue.SimpleQueue[_Delivered | BaseException] = queue.SimpleQueue()
        in_flight = 0
        while waiting or in_flight:
            if self._shell.brake.pulled.is_set():
                self._leave(waiting)
            while waiting and in_flight < self._options.parallelism:
                pool.submit(self._deliver, waiting.popleft(), results)
                in_flight += 1
            if in_flight:
                # What one came to is in the journal before the next one takes its place.
                waiting.extendleft(reversed(self._record(results.get())))
                in_flight -= 1
        self._advance(requests)

    def _load(self, invocation: Invocation) -> _Load:
        scrubber = Scrubber(invocation, self._options.sensitive)
        return _Load(invocation, scrubber, unknown=invocation.requests[0].resend)

    def _leave(self, waiting: deque[_Load]) -> None:
        """Journal, at once, that what waits is not sent in this run."""
        unsent = tuple(outcome for load in waiting for outcome in load.unsent())
        waiting.clear()
        if unsent:
            self._journal(unsent)

    def _advance(self, requests: Iterable[Request]) -> None:
        heads = {request.requestid for request in requests}
        for chain in self._chains:
            if not chain or chain[0].requestid not in heads:
                continue
            head = chain.popleft()
            result = self._results.get(head.requestid)
            if result in {None, Result.UNSENT}:
                # Its outcome isn't known, so nothing behind it may be sent in this run.
                self._left_behind.extend(chain)
                chain.clear()
            elif result is Result.FAILED and head.kind is Kind.RELEASE:
                # What it should have released is still open; `fold` drops what stands behind it.
                chain.clear()

    # -- outcomes, in the coordinating thread ----------------------------------------------------------------------

    def _record(self, delivered: _Delivered | BaseException) -> tuple[_Load, ...]:
        """Journal what an Invocation came to, and return what is to be sent instead of it."""
        if isinstance(delivered, BaseException):
            self._shell.brake.pull()
            raise delivered
        if delivered.problem:
            self.problems.append(delivered.problem)
            self.gave_up = self.gave_up or delivered.stop or bool(delivered.outcomes)
        if delivered.outcomes and self._journal(delivered.outcomes):
            counts = Counter(outcome.result for outcome in delivered.outcomes)
            self._shell.progress.settled(counts[Result.SUCCEEDED], counts[Result.FAILED])
        return delivered.halves

    def _journal(self, outcomes: tuple[Outcome, ...]) -> bool:
        at = stamp(self._shell.clock.now())
        try:
            self._shell.store.append(Record(self._state.lineage, self._state.serial, at, outcomes))
        except StateError as error:
            # What can't be remembered must not be done: nothing more is sent, and what was stays pending.
            self._broken = error
            self._shell.brake.pull()
            return False
        for outcome in outcomes:
            self._results[outcome.requestid] = outcome.result
            self.outcomes.append((outcome, at))
            self.succeeded[self._kinds[outcome.requestid]] += outcome.result is Result.SUCCEEDED
        return True

    def _mark_unsent(self) -> None:
        """Journal that what was never handed to the API has not been processed; a resend may have been, earlier."""
        never = [request for chain in self._chains for request in chain] + self._left_behind
        unsent = tuple(Outcome(request.requestid, Result.UNSENT) for request in never if not request.resend)
        if unsent and not self._broken:
            self._journal(unsent)

    # -- one Invocation, in a thread of the pool -------------------------------------------------------------------

    def _deliver(self, load: _Load, results: queue.SimpleQueue[_Delivered | BaseException]) -> None:
        try:
            results.put(self._attempts(load))
        except BaseException as error:  # noqa: BLE001  # handed to the coordinating thread, which raises it
            results.put(error)

    def _attempts(self, load: _Load) -> _Delivered:
        """Send until the outcome is known, the budget is spent or the brake is pulled."""
        shell, began, tries = self._shell, self._shell.clock.monotonic(), 0
        invocation, clean = load.invocation, load.scrubber.clean
        while True:
            patience = self._options.budget.seconds - (shell.clock.monotonic() - began)
            in_time = self._pace.take_turn(shell.brake, patience)
            if shell.brake.pulled.is_set() or not in_time:
                return _Delivered(load.unsent(), "" if in_time else _TOO_LONG)
            answer = shell.sender.invoke(invocation)
            tries += 1
            load = replace(load, unknown=load.unknown or isinstance(answer, Unknown))
            self._feel(answer)
            history = History(tries, shell.clock.monotonic() - began, load.unknown)
            match decide(answer, invocation, history, self._options.budget, shell.random.random()):
                case Again(wait, reason):
                    shell.progress.waiting(wait, clean(reason))
                    shell.clock.wait(wait, shell.brake.pulled)
                case Halve():
                    return _Delivered((), halves=load.halves())
                case Settled(outcomes):
                    return _Delivered(load.scrubber.clean_outcomes(outcomes))
                case Left(outcomes, reason, stop):
                    if stop:
                        # Here and now: other threads must not send until the coordinating one hears of it.
                        shell.brake.pull()
                    return _Delivered(outcomes, clean(reason), stop=stop)

    def _feel(self, answer: Answer) -> None:
        if isinstance(answer, NotProcessed) and answer.throttled:
            self._pace.slow_down(answer.retry_after)
        elif isinstance(answer, Accepted):
            self._pace.speed_up()
