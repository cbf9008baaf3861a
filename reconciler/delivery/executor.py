"""Intent, request, outcome: carry out a plan so that nothing is lost or doubled, whatever happens.

Sees the outside world through ports only. The order is the promise (docs/reliability.md):
1. the intent is saved before anything is sent;
2. a link of a chain is sent only after the outcome of the one before it is in the journal;
3. the outcomes are folded into the state at the end.

One thread coordinates: it packs requests, hands Invocations to workers, journals what they came to.
"""

from __future__ import annotations

import queue
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final

from reconciler.delivery.attempt import Attempt, AttemptResult, Retrier
from reconciler.delivery.batch import Request, pack
from reconciler.delivery.chains import Chains
from reconciler.delivery.events import Ended, Settled, Started, Waiting
from reconciler.delivery.intent import Intent
from reconciler.delivery.outcomes import OutcomeLog, save
from reconciler.delivery.ports import ApplyOptions, Ports
from reconciler.delivery.report import Report
from reconciler.delivery.width import Width
from reconciler.delivery.workers import Workers
from reconciler.state.model import DONE_IF_ANSWERED, Outcome, Result

_MOMENT: Final = 0.005  # seconds without an answer: longer than it takes to send what was submitted


def _as_it_is(report: Report) -> Report:
    """Know nothing besides."""
    return report


def apply(
    intent: Intent, options: ApplyOptions, ports: Ports, complete: Callable[[Report], Report] = _as_it_is
) -> Report:
    """Save the intent, send its chains, journal each outcome, fold them and return what became of it.

    `complete` adds to the report what is known besides, and to its state, before that is saved, what it is to remember.
    Raises StateError if the state or journal can't be written; nothing more is sent from then on.
    """
    # Before the intent is saved: where there is nothing to send with, nothing is pending.
    with Workers(min(Width(options.parallelism).most, len(intent.chains))) as workers:
        executor = Executor(intent, options, ports, workers)
        if intent.chains:
            save(intent.state, ports, folded=False)
            executor.run()
    report = complete(executor.report())
    save(report.state, ports, folded=True)
    # Whoever interrupts the last save hears of it as of any other moment.
    return replace(report, interrupted=ports.stop_signal.interrupted)


class Executor:
    """One run: sends what its chains have ready, until nothing is or the stop signal is given."""

    def __init__(self, intent: Intent, options: ApplyOptions, ports: Ports, workers: Workers) -> None:
        self._intent = intent
        self._chains = Chains(intent.chains)
        self._options = options
        self._ports = ports
        self._workers = workers
        self._retrier = Retrier(options, ports)
        self._log = OutcomeLog(intent.state, ports)
        self._results: queue.SimpleQueue[AttemptResult | BaseException] = queue.SimpleQueue()
        self._problems: list[str] = []
        self._gave_up = False

    def run(self) -> None:
        """Send and journal; raises StateError where the journal can't be written."""
        self._ports.observer.told(Started(self._intent.chains, self._chains.expected))
        try:
            self._send_all()
            self._mark_unsent()
            self._log.fold()
        finally:
            self._ports.observer.told(Ended())
        if self._log.error:
            raise self._log.error

    def report(self) -> Report:
        """Return what became of it, with the state that is to be saved."""
        state = self._log.done() if self._intent.chains else self._intent.state
        failed = self._log.ended(Result.FAILED)
        return Report(
            state=state,
            succeeded=Counter(
                self._intent.state.pending[requestid].kind for requestid in self._log.ended(Result.SUCCEEDED)
            ),
            failed=tuple((requestid, state.failed[requestid]) for requestid in failed if requestid in state.failed),
            problems=tuple(dict.fromkeys(self._problems)),
            interrupted=self._ports.stop_signal.interrupted,
            gave_up=self._gave_up,
        )

    # -- what is sent ----------------------------------------------------------------------------------------------

    def _send_all(self) -> None:
        try:
            while requests := self._next_requests():
                self._log.settle()
                self._send(requests)
                self._advance(requests)
        except BaseException:
            # Whatever it is, nothing more is sent, and calls in flight are not tried again.
            self._ports.stop_signal.give()
            raise

    def _next_requests(self) -> list[Request]:
        """Return what may be sent now, or when the first try that waits is due; none once the run stops."""
        clock, stop = self._ports.clock, self._ports.stop_signal.given
        now = clock.monotonic()
        requests = self._chains.ready(now)
        if not requests and (due := self._chains.next_due) is not None:
            clock.wait(due - now, stop)
            requests = self._chains.ready(due)
        return [] if stop.is_set() else requests

    def _advance(self, sent: list[Request]) -> None:
        """Go on to what stands behind these requests, and tell which releases are tried once more."""
        waits = self._chains.advance(sent, self._log.results, self._ports.clock.monotonic())
        if waits:
            releases = "a release" if len(waits) == 1 else f"{len(waits)} releases"
            reason = f"{releases} of what may be open failed"
            self._ports.observer.told(Waiting(max(waits), reason, "release-attempt"))

    def _send(self, requests: list[Request]) -> None:
        """Send the requests, packed, so many Invocations at a time, and journal what becomes of them."""
        backlog = _Backlog(
            Attempt.of(invocation, self._options.sensitive)
            for invocation in pack(requests, self._options.request_bytes)
        )
        in_flight = 0
        while True:
            if self._ports.stop_signal.given.is_set():
                self._journal_unsent(backlog.drain())
            while in_flight < self._width and (attempt := backlog.next()):
                self._workers.submit(self._work, attempt)
                in_flight += 1
            if not in_flight:
                return
            results = self._wait_for_results(backlog)
            # What some came to is in the journal before others take their place.
            backlog.put_first(self._record(results))
            in_flight -= len(results)

    @property
    def _width(self) -> int:
        return min(self._workers.count, self._retrier.width.allowed)

    def _wait_for_results(self, backlog: _Backlog) -> list[AttemptResult | BaseException]:
        """Return the next result and those that came with it, having made use of the time until then."""
        try:
            results = [self._results.get(timeout=_MOMENT)]
        except queue.Empty:
            self._log.fold()
            backlog.make_ready(self._width)
            results = [self._results.get()]
        while not self._results.empty():
            results.append(self._results.get())
        return results

    def _work(self, attempt: Attempt) -> None:
        """Send one Invocation, in a worker's thread."""
        try:
            self._results.put(self._retrier.send(attempt))
        except BaseException as error:  # noqa: BLE001  # handed to the coordinating thread, which raises it
            self._results.put(error)

    # -- what became of it -----------------------------------------------------------------------------------------

    def _record(self, results: Iterable[AttemptResult | BaseException]) -> list[Attempt]:
        """Journal what Invocations came to, and return what is to be sent instead of them."""
        known = [result for result in results if isinstance(result, AttemptResult)]
        for result in known:
            if result.problem:
                self._problems.append(result.problem)
                self._gave_up = self._gave_up or result.stop or bool(result.outcomes)
        if outcomes := [result.outcomes for result in known if result.outcomes]:
            self._append(outcomes)
        for mistake in results:
            if isinstance(mistake, BaseException):
                raise mistake
        return [half for result in known for half in result.halves]

    def _append(self, outcomes: Sequence[tuple[Outcome, ...]]) -> None:
        """Journal the outcomes, and tell of them; that a burn or the last try of a release failed is as good."""
        journalled = tuple(outcome for each in self._log.append(outcomes) for outcome in each)
        succeeded = failed = 0
        for requestid, result, _, _ in journalled:
            if result is Result.SUCCEEDED:
                succeeded += 1
            elif result is Result.FAILED and self._intent.state.pending[requestid].kind not in DONE_IF_ANSWERED:
                failed += 1
            elif result is Result.FAILED and requestid not in self._chains.retried:
                succeeded += 1
        self._ports.observer.told(Settled(journalled, succeeded, failed))

    def _journal_unsent(self, attempts: Iterable[Attempt]) -> None:
        """Journal, at once, that these are not sent in this run."""
        if unsent := tuple(outcome for attempt in attempts for outcome in attempt.unsent()):
            self._append([unsent])

    def _mark_unsent(self) -> None:
        """Journal that what was never handed to the API has not been processed; a resend may have been, earlier."""
        never = (request for request in self._chains.unsent() if not request.resend)
        unsent = tuple(Outcome(request.requestid, Result.UNSENT) for request in never)
        if unsent and not self._log.error:
            self._append([unsent])


class _Backlog:
    """Invocations that wait for a free worker, each packed when it is asked for."""

    def __init__(self, attempts: Iterator[Attempt]) -> None:
        self._packed: deque[Attempt] = deque()
        self._more = attempts

    def next(self) -> Attempt | None:
        """Return the next one; None if there is none."""
        return self._packed.popleft() if self._packed else next(self._more, None)

    def make_ready(self, count: int) -> None:
        """Pack so many of the next ones."""
        self._packed.extend(islice(self._more, max(0, count - len(self._packed))))

    def put_first(self, attempts: list[Attempt]) -> None:
        """Put these before all others."""
        self._packed.extendleft(reversed(attempts))

    def drain(self) -> list[Attempt]:
        """Take all that wait."""
        rest = [*self._packed, *self._more]
        self._packed.clear()
        return rest
