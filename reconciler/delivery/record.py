"""What the state remembers of an apply.

Pure.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

from reconciler.delivery.report import Report
from reconciler.planning.plan import Action, Plan
from reconciler.state.model import Applied, Run, State

RUNS_KEPT: Final = 50
_LOCAL: Final = (Action.FORGET, Action.RECORD)


class Occasion(NamedTuple):
    """When, by whom, by which command and from which commit something is applied."""

    at: str
    by: str
    command: str
    commit: str | None = None
    dirty: bool = False

    def applied_to(self, state: State) -> State:
        """Return the state that remembers the commit; as it is, where there is none."""
        if self.commit is None:
            return state
        return replace(state, applied=Applied(self.commit, self.dirty, self.at, self.by))


def remembered(report: Report, plan: Plan, occasion: Occasion) -> State:
    """Return the state that the report is about, with what it is to remember of this apply."""
    run = Run(
        serial=report.state.serial,
        **occasion._asdict(),
        exit=report.exit_code,
        counts=_counts(report, plan),
    )
    return replace(report.state, history=(*report.state.history, run)[-RUNS_KEPT:])


def _counts(report: Report, plan: Plan) -> dict[str, int]:
    planned = plan.counts()
    found = {
        **{kind.value: number for kind, number in report.succeeded.items()},
        **{action.value: planned.get(action, 0) for action in _LOCAL},
        "failed": len(report.failed),
        "unknown": len(report.unknown),
        "unsent": len(report.unsent),
        "held": len(report.held),
    }
    return {name: number for name, number in found.items() if number}
