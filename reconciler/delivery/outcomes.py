"""What is known of the requests of a run: in the journal first, then in the next state."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.delivery.events import Saved
from reconciler.delivery.ports import Ports
from reconciler.errors import StateError
from reconciler.state.journal import Record
from reconciler.state.model import Outcome, Result, State
from reconciler.state.transitions import StateTransition
from reconciler.times import stamp


def save(state: State, ports: Ports, *, folded: bool) -> None:
    """Save the state, and tell of it; raises StateError."""
    began = ports.clock.monotonic()
    ports.store.save(state)
    ports.observer.told(Saved(state, ports.clock.monotonic() - began, folded))


class OutcomeLog:
    """The outcomes of a run, for one thread. `error`: the journal could not be written, so nothing more may be sent."""

    def __init__(self, state: State, ports: Ports) -> None:
        self.results: dict[str, Result] = {}
        self.error: StateError | None = None
        self._state = state
        self._ports = ports
        self._transition = StateTransition(state)
        self._unfolded: list[tuple[str, tuple[Outcome, ...]]] = []

    def append(self, outcomes: Sequence[tuple[Outcome, ...]]) -> Sequence[tuple[Outcome, ...]]:
        """Journal the outcomes of Invocations that were answered together, and return those that are journalled."""
        at = stamp(self._ports.clock.now())
        try:
            self._ports.store.append([Record(self._state.lineage, self._state.serial, at, each) for each in outcomes])
        except StateError as error:
            self._stop(error)
            # What is known should not be lost with the one that could not be written.
            return [each for each in outcomes if self.append([each])] if len(outcomes) > 1 else []
        for each in outcomes:
            self.results.update((outcome.requestid, outcome.result) for outcome in each)
            self._unfolded.append((at, each))
        return outcomes

    def settle(self) -> None:
        """Wait until all that is journalled is there for good: what is sent next may depend on it."""
        try:
            self._ports.store.settle()
        except StateError as error:
            self._stop(error)

    def _stop(self, error: StateError) -> None:
        """Send nothing more: what can't be remembered must not be done. What was sent stays pending."""
        self.error = self.error or error
        self._ports.stop_signal.give()

    def fold(self) -> None:
        """Take in what is journalled, and get ready to save it: done while there is nothing to do but to wait."""
        for at, outcomes in self._unfolded:
            for outcome in outcomes:
                self._transition.settle(outcome, at)
        self._unfolded.clear()
        self._ports.store.prepare(self._transition.take_opened())

    def done(self) -> State:
        """Return the state after all outcomes; nothing may be journalled from then on."""
        return self._transition.done()

    def ended(self, how: Result) -> list[str]:
        """Return the requestids with this result, in the order in which it was known."""
        return [requestid for requestid, result in self.results.items() if result is how]
