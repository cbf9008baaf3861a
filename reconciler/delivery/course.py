"""What became of each request and each change of a run, as far as the run came; an Observer.

A run that ends early has no report (report.py): what it did is known from what was told. Pure.
"""

from __future__ import annotations

from typing import Literal

from reconciler.delivery.answers import Accepted
from reconciler.delivery.batch import Request
from reconciler.delivery.events import Answered, Erred, Event, Planned, Reported, Saved, Sent, Settled, Started
from reconciler.delivery.report import Report
from reconciler.planning.plan import Action, Change
from reconciler.planning.saved_plan import SavedPlan
from reconciler.state.model import DONE_IF_ANSWERED, Outcome, Result, State

RequestOutcome = Literal["succeeded", "failed", "unknown", "held", "unsent", "dropped"]
ChangeOutcome = Literal["done", "failed", "unknown", "held", "unsent", "kept", "untouched"]


class Course:
    """What was told so far: the plan, the state as last saved, requests by address in the order of their chain."""

    def __init__(self) -> None:
        self.shown: SavedPlan | None = None
        self.state: State | None = None
        self.report: Report | None = None
        self.error: Erred | None = None
        self._requests: dict[str, tuple[Request, ...]] = {}
        self._sent: set[str] = set()
        self._said: dict[str, str] = {}
        self._settled: dict[str, Outcome] = {}
        self._held: frozenset[str] = frozenset()

    def told(self, event: Event) -> None:
        """See ports.Observer."""
        match event:
            case Planned(shown):
                self.shown = shown
            case Started(chains):
                self._requests = {chain[0].address: chain for chain in chains}
            case Sent(invocation=invocation):
                self._sent |= invocation.requestids
            case Answered(invocation=invocation, answer=answer, reason=reason) if not isinstance(answer, Accepted):
                self._said |= dict.fromkeys(invocation.requestids, reason)
            case Settled(outcomes):
                self._settled |= {outcome.requestid: outcome for outcome in outcomes}
            case Saved(state):
                self.state = state
            case Reported(report):
                self.report, self._held = report, frozenset(held.address for held in report.held)
            case Erred():
                self.error = event

    def requests(self, address: str) -> tuple[Request, ...]:
        """Return the requests about an address."""
        return self._requests.get(address, ())

    def became(self, request: Request) -> tuple[RequestOutcome, str]:
        """Return what became of a request, and the API's word on it where it did not succeed."""
        settled = self._settled.get(request.requestid)
        said = (settled and settled.reason) or self._said.get(request.requestid, "")
        if settled and settled.result is Result.SUCCEEDED:
            return "succeeded", ""
        if request.address in self._held and self._pending(request):
            return "held", said
        if settled:
            return ("failed" if settled.result is Result.FAILED else "unsent"), said
        if not self._pending(request):
            return "dropped", ""
        return ("unknown" if request.requestid in self._sent or request.resend else "unsent"), said

    def outcome(self, change: Change) -> ChangeOutcome:
        """Return what became of a change: the worst that became of its requests."""
        if change.action is Action.HOLD:
            return "held"
        if change.action is Action.DRIFT:
            return "kept"
        if self.state is None:
            return "untouched"
        became = {
            found
            for request in self.requests(change.address)
            if (found := self.became(request)[0]) != "failed" or request.kind not in DONE_IF_ANSWERED
        }
        worst: tuple[Literal["held", "unknown", "unsent", "failed"], ...] = ("held", "unknown", "unsent", "failed")
        return next((each for each in worst if each in became), "done")

    def _pending(self, request: Request) -> bool:
        """Whether it is still to be sent, or to be settled; where the run ended early, each is that is not settled."""
        return self.report is None or request.requestid in self.report.state.pending
