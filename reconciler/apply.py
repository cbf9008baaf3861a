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
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
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
class _Delivered:
    """What one Invocation, or a half of one, came to."""

    invocation: Invocation
    outcomes: tuple[Outcome, ...]
    problem: str = ""
    stop: bool = False


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
        waiting = pack(requests, self._options.request_bytes)
        if not waiting:
            return
        results: queue.SimpleQueue[_Delivered | BaseException | None] = queue.SimpleQueue()
        for invocation in waiting:
            pool.submit(self._deliver, invocation, results)
        unfinished = len(waiting)
        while unfinished:
            result = results.get()
            if result is None:
                unfinished -= 1
            elif isinstance(result, BaseException):
                self._shell.brake.pull()
                raise result
            else:
                self._record(result)
        self._advance(requests)

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

    def _record(self, delivered: _Delivered) -> None:
        if delivered.problem:
            self.problems.append(delivered.problem)
            self.gave_up = self.gave_up or delivered.stop or bool(delivered.outcomes)
        if delivered.outcomes and self._journal(delivered.outcomes):
            counts = Counter(outcome.result for outcome in delivered.outcomes)
            self._shell.progress.settled(counts[Result.SUCCEEDED], counts[Result.FAILED])

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

    def _deliver(self, invocation: Invocation, results: queue.SimpleQueue[_Delivered | BaseException | None]) -> None:
        try:
            for delivered in self._attempts(invocation, unknown=invocation.requests[0].resend):
                results.put(delivered)
            results.put(None)
        except BaseException as error:  # noqa: BLE001  # handed to the coordinating thread, which raises it
            results.put(error)

    def _attempts(self, invocation: Invocation, *, unknown: bool) -> Iterator[_Delivered]:
        """Send until the outcome is known, the budget is spent or the brake is pulled."""
        shell, began, tries = self._shell, self._shell.clock.monotonic(), 0
        scrubber = Scrubber(invocation, self._options.sensitive)
        while True:
            patience = self._options.budget.seconds - (shell.clock.monotonic() - began)
            in_time = self._pace.take_turn(shell.brake, patience)
            if shell.brake.pulled.is_set() or not in_time:
                problem = "" if in_time else _TOO_LONG
                yield _Delivered(invocation, _unsent_unless(invocation, unknown=unknown), problem)
                return
            answer = shell.sender.invoke(invocation)
            tries += 1
            unknown = unknown or isinstance(answer, Unknown)
            self._feel(answer)
            history = History(tries, shell.clock.monotonic() - began, unknown)
            match decide(answer, invocation, history, self._options.budget, shell.random.random()):
                case Again(wait, reason):
                    shell.progress.waiting(wait, scrubber.clean(reason))
                    shell.clock.wait(wait, shell.brake.pulled)
                case Halve():
                    for half in invocation.halves():
                        yield from self._attempts(half, unknown=unknown)
                    return
                case Settled(outcomes):
                    yield _Delivered(invocation, scrubber.clean_outcomes(outcomes))
                    return
                case Left(outcomes, reason, stop):
                    if stop:
                        # Here and now: this thread would take the next Invocation before the outcome is recorded.
                        shell.brake.pull()
                    yield _Delivered(invocation, outcomes, scrubber.clean(reason), stop)
                    return

    def _feel(self, answer: Answer) -> None:
        if isinstance(answer, NotProcessed) and answer.throttled:
            self._pace.slow_down(answer.retry_after)
        elif isinstance(answer, Accepted):
            self._pace.speed_up()


def _unsent_unless(invocation: Invocation, *, unknown: bool) -> tuple[Outcome, ...]:
    if unknown:
        return ()
    return tuple(Outcome(request.requestid, Result.UNSENT) for request in invocation.requests)
