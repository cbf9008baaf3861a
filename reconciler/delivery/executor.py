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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import dropwhile, islice, pairwise
from typing import Final, Protocol

from reconciler.delivery.answers import Accepted, Answer, NotProcessed, Unknown
from reconciler.delivery.batch import Invocation, Request, pack
from reconciler.delivery.intent import Intent
from reconciler.delivery.redaction import Scrubber
from reconciler.delivery.report import Report
from reconciler.delivery.retry import Again, Budget, Halve, History, Left, Settled, decide, pause
from reconciler.delivery.throttle import Brake, Clock, Pace
from reconciler.delivery.workers import Workers
from reconciler.errors import StateError
from reconciler.state.journal import Record
from reconciler.state.model import DONE_IF_ANSWERED, Kind, Open, Outcome, Result, State
from reconciler.state.transitions import Draft
from reconciler.times import stamp

_MOMENT: Final = 0.005  # seconds without an answer: longer than it takes to send what was submitted
_TOO_LONG: Final = "the API asked for a longer wait than this run may take"


class Store(Protocol):
    """Where the state is kept."""

    def save(self, state: State) -> None:
        """Save the state for good, atomically; whatever the journal held is folded into it."""
        ...

    def prepare(self, opened: Mapping[str, Open]) -> None:
        """Get entries of the next save ready, by address, while there is time for it; nothing depends on it."""
        ...

    def append(self, records: Sequence[Record]) -> None:
        """Add records to the journal for good; what follows an error starts where these did."""
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
        """Say that something is tried again after so many seconds."""
        ...

    def finished(self) -> None:
        """Nothing more is sent."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """How to send: concurrent Invocations, largest body in bytes, budget of each Invocation."""

    parallelism: int
    request_bytes: int
    sensitive: frozenset[str]
    budget: Budget = field(default_factory=Budget)


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
    # Before the intent is saved: where there is nothing to send with, nothing is pending.
    with Workers(min(options.parallelism, len(intent.chains))) as workers:
        shell.store.save(intent.state)
        courier = _Courier(intent, options, shell, workers)
        courier.carry()
    state = intent.state
    if courier.results:
        state = courier.draft.done()
        shell.store.save(state)
    failed = courier.ended(Result.FAILED)
    return Report(
        state=state,
        succeeded=courier.succeeded(),
        failed=tuple((requestid, state.failed[requestid]) for requestid in failed if requestid in state.failed),
        problems=tuple(dict.fromkeys(courier.problems)),
        interrupted=shell.brake.interrupted,
        gave_up=courier.gave_up,
    )


@dataclass(frozen=True, slots=True)
class _Load:
    """An Invocation on its way. `unknown`: an attempt of its requests, in whatever run, had an unknown outcome.

    `halved`: it is a half of one that was refused. A half keeps the scrubber of the whole: what the API says of it
    may still speak of the other half.
    """

    invocation: Invocation
    scrubber: Scrubber
    unknown: bool
    halved: bool = False

    def halves(self) -> tuple[_Load, _Load]:
        """Return its halves, each to be sent by itself."""
        first, second = self.invocation.halves()
        return replace(self, invocation=first, halved=True), replace(self, invocation=second, halved=True)

    def unsent(self) -> tuple[Outcome, ...]:
        """Return that its requests have not been processed, if that is certain."""
        if self.unknown or self.halved:
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

    def __init__(self, intent: Intent, options: Options, shell: Shell, workers: Workers) -> None:
        self._intent = intent
        self._chains = intent.chains
        self._options = options
        self._shell = shell
        self._workers = workers
        self._pace = Pace(shell.clock)
        self._broken: StateError | None = None
        self._left_behind: list[Request] = []
        self._unfolded: list[tuple[str, tuple[Outcome, ...]]] = []
        self._due: dict[str, float] = {}  # when a further try may be sent, by requestid
        self._failed_tries: Counter[str] = Counter()  # of a release of what may be open, by address
        self._before_another = _before_another_try(intent.chains)
        self.draft = Draft(intent.state)
        self.results: dict[str, Result] = {}
        self.problems: list[str] = []
        self.gave_up = False

    def succeeded(self) -> Counter[Kind]:
        """Return how many requests of each kind succeeded."""
        sent = self._intent.state.pending
        return Counter([sent[requestid].kind for requestid in self.ended(Result.SUCCEEDED)])

    def ended(self, how: Result) -> list[str]:
        """Return the requestids with this result, in the order in which it was known."""
        return [requestid for requestid, result in self.results.items() if result is how]

    def carry(self) -> None:
        if not self._chains:
            return
        self._shell.progress.started(sum(map(len, self._chains)) - len(self._before_another))
        try:
            self._waves()
            self._mark_unsent()
            self._fold()
        finally:
            self._shell.progress.finished()
        if self._broken:
            raise self._broken

    def _waves(self) -> None:
        try:
            while requests := self._heads(dispatches=False) or self._heads(dispatches=True) or self._wait_for_tries():
                self._wave(requests)
        except BaseException:
            # Whatever it is, nothing more is sent, and calls in flight are not tried again.
            self._shell.brake.pull()
            raise

    def _heads(self, *, dispatches: bool) -> list[Request]:
        """Return the first links that may be sent now; none once the brake is pulled."""
        if self._shell.brake.pulled.is_set():
            return []
        dispatch, now, due = Kind.DISPATCH, self._shell.clock.monotonic(), self._due
        heads = [chain[0] for chain in self._chains if (chain[0].kind is dispatch) == dispatches]
        return [head for head in heads if due.get(head.requestid, now) <= now] if due else heads

    def _wait_for_tries(self) -> list[Request]:
        """Wait until a further try may be sent, and return those that may; none if there are none."""
        if not self._due:
            return []
        clock, first = self._shell.clock, min(self._due.values())
        clock.wait(max(0.0, first - clock.monotonic()), self._shell.brake.pulled)
        self._due = {requestid: due for requestid, due in self._due.items() if due > first}
        return self._heads(dispatches=False)

    def _wave(self, requests: list[Request]) -> None:
        """Send the requests and journal what becomes of them; then move on every chain whose head is settled."""
        packed = map(self._load, pack(requests, self._options.request_bytes))
        waiting: deque[_Load] = deque()
        results: queue.SimpleQueue[_Delivered | BaseException] = queue.SimpleQueue()
        in_flight, parallelism = 0, self._workers.count
        while True:
            if self._shell.brake.pulled.is_set():
                self._leave([*waiting, *packed])
                waiting.clear()
            while in_flight < parallelism and (load := waiting.popleft() if waiting else next(packed, None)):
                self._workers.submit(self._deliver, load, results)
                in_flight += 1
            if not in_flight:
                break
            try:
                delivered = [results.get(timeout=_MOMENT)]
            except queue.Empty:
                # They are on their way: take in what is known, and have the next ones ready.
                self._fold()
                self._shell.store.prepare(self.draft.take_opened())
                waiting.extend(islice(packed, max(0, parallelism - len(waiting))))
                delivered = [results.get()]
            while not results.empty():
                delivered.append(results.get())
            # What some came to is in the journal before others take their place.
            waiting.extendleft(reversed(self._record(delivered)))
            in_flight -= len(delivered)
        self._advance(requests)

    def _load(self, invocation: Invocation) -> _Load:
        scrubber = Scrubber(invocation, self._options.sensitive)
        return _Load(invocation, scrubber, unknown=invocation.requests[0].resend)

    def _leave(self, loads: Iterable[_Load]) -> None:
        """Journal, at once, that these are not sent in this run."""
        unsent = tuple(outcome for load in loads for outcome in load.unsent())
        if unsent:
            self._journal([unsent])

    def _advance(self, requests: Iterable[Request]) -> None:
        """Move on every chain whose head was carried; one that is done stands here no more."""
        heads = {request.requestid for request in requests}
        for requestid in self._due.keys() & heads:
            del self._due[requestid]
        chains: list[tuple[Request, ...]] = []
        tries: list[Request] = []
        for chain in self._chains:
            if chain[0].requestid not in heads:
                chains.append(chain)
            elif len(chain) > 1 and (behind := self._behind(chain)):
                chains.append(behind)
                if chain[0].kind is behind[0].kind is Kind.TOLERANT:
                    tries.append(behind[0])
        self._chains = tuple(chains)
        self._put_off(tries)

    def _put_off(self, tries: list[Request]) -> None:
        """Let further tries of releases wait, the longer the more of them failed."""
        now, wait = self._shell.clock.monotonic(), 0.0
        for request in tries:
            self._failed_tries[request.address] += 1
            wait = pause(self._failed_tries[request.address])
            self._due[request.requestid] = now + wait
        if tries:
            what = "a release" if len(tries) == 1 else f"{len(tries)} releases"
            self._shell.progress.waiting(wait, f"{what} of what may be open failed")

    def _behind(self, chain: tuple[Request, ...]) -> tuple[Request, ...]:
        """Return what of a chain may be sent next, now that its head was carried."""
        head, behind = chain[0], chain[1:]
        result = self.results.get(head.requestid)
        if result is None or result is Result.UNSENT:
            # Its outcome isn't known, so nothing behind it may be sent in this run.
            self._left_behind.extend(behind)
            return ()
        if result is Result.FAILED and head.kind is Kind.RELEASE:
            # What it should have released is still open; `fold` drops what stands behind it.
            return ()
        if result is Result.SUCCEEDED and head.kind is Kind.TOLERANT:
            # No further try is needed; `fold` drops them.
            return tuple(dropwhile(lambda request: request.kind is Kind.TOLERANT, behind))
        return behind

    # -- outcomes, in the coordinating thread ----------------------------------------------------------------------

    def _record(self, delivered: Iterable[_Delivered | BaseException]) -> list[_Load]:
        """Journal what Invocations came to, and return what is to be sent instead of them."""
        halves: list[_Load] = []
        outcomes: list[tuple[Outcome, ...]] = []
        broken: BaseException | None = None
        for each in delivered:
            if isinstance(each, BaseException):
                broken = each
                continue
            if each.problem:
                self.problems.append(each.problem)
                self.gave_up = self.gave_up or each.stop or bool(each.outcomes)
            if each.outcomes:
                outcomes.append(each.outcomes)
            halves += each.halves
        if outcomes:
            self._tell(self._journal(outcomes))
        if broken:
            raise broken
        return halves

    def _tell(self, outcomes: Iterable[tuple[Outcome, ...]]) -> None:
        """Tell how many more requests are done; that a burn or the last try of a release failed is as good."""
        counts = Counter(outcome.result for each in outcomes for outcome in each)
        if failed := counts[Result.FAILED]:
            sent = self._intent.state.pending
            ids = [outcome.requestid for each in outcomes for outcome in each if outcome.result is Result.FAILED]
            counts[Result.FAILED] = sum(sent[requestid].kind not in DONE_IF_ANSWERED for requestid in ids)
            counts[Result.SUCCEEDED] += failed - counts[Result.FAILED] - len(self._before_another.intersection(ids))
        self._shell.progress.settled(counts[Result.SUCCEEDED], counts[Result.FAILED])

    def _journal(self, outcomes: Sequence[tuple[Outcome, ...]]) -> Sequence[tuple[Outcome, ...]]:
        """Journal the outcomes of Invocations that were answered together, and return those that are journalled."""
        at, state = stamp(self._shell.clock.now()), self._intent.state
        try:
            self._shell.store.append([Record(state.lineage, state.serial, at, each) for each in outcomes])
        except StateError as error:
            # What can't be remembered must not be done: nothing more is sent, and what was stays pending.
            self._broken = self._broken or error
            self._shell.brake.pull()
            # What is known should not be lost with the one that could not be written.
            return [each for each in outcomes if self._journal([each])] if len(outcomes) > 1 else []
        for each in outcomes:
            self.results.update((outcome.requestid, outcome.result) for outcome in each)
            self._unfolded.append((at, each))
        return outcomes

    def _fold(self) -> None:
        """Take in what is journalled; done while calls are in flight, for there is nothing else to do then."""
        for at, outcomes in self._unfolded:
            for outcome in outcomes:
                self.draft.settle(outcome, at)
        self._unfolded.clear()

    def _mark_unsent(self) -> None:
        """Journal that what was never handed to the API has not been processed; a resend may have been, earlier."""
        never = [request for chain in self._chains for request in chain] + self._left_behind
        unsent = tuple(Outcome(request.requestid, Result.UNSENT) for request in never if not request.resend)
        if unsent and not self._broken:
            self._journal([unsent])

    # -- one Invocation, in a worker's thread -----------------------------------------------------------------------

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
            history = History(tries, shell.clock.monotonic() - began, load.unknown, load.halved)
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


def _before_another_try(chains: Iterable[tuple[Request, ...]]) -> frozenset[str]:
    """Return the requestids of the releases of what may be open behind which another try stands."""
    return frozenset(
        request.requestid
        for chain in chains
        if len(chain) > 1
        for request, behind in pairwise(chain)
        if request.kind is behind.kind is Kind.TOLERANT
    )
