"""`reconciler ci apply` and `retry`: apply what somebody has agreed to, looked at again once nobody else can apply."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from functools import partial

from reconciler.ci.platform import Proposal
from reconciler.ci.reviewed import short
from reconciler.cli.apply import Permit, carry_out, permit_all
from reconciler.cli.ci.agreement import agreement, is_old, merged_last, merged_since
from reconciler.cli.ci.pipeline import UNATTENDED, Pipeline, open_pipeline
from reconciler.cli.ci.told import tell_applied, tell_void
from reconciler.cli.console import Console
from reconciler.cli.current_state import state_to_plan
from reconciler.delivery.events import Event, Reported
from reconciler.delivery.report import Report
from reconciler.errors import DeclarationError, ExitCode, StalePlan
from reconciler.planning.plan import Plan
from reconciler.planning.saved_plan import SavedPlan
from reconciler.render.words import count
from reconciler.state.model import State

_OPEN = 30
"""So many open proposals are looked at after an apply: each is planned anew."""


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Apply what is checked out."""
    with open_pipeline(options, console, "apply", *UNATTENDED) as pipeline:
        state, _ = state_to_plan(pipeline.workspace, pipeline.options, console)
        if is_old(pipeline, state):
            return ExitCode.DONE
        return apply_head(pipeline, state, options.approved or "")


def apply_head(pipeline: Pipeline, state: State, approved: str) -> ExitCode:
    """Apply what is checked out, and tell the proposals."""
    commit = pipeline.repository.head
    since = [proposal for proposal, _ in merged_since(pipeline, state).values()]
    about = since or merged_last(pipeline, commit)
    code, report = _carry_out(pipeline, partial(_permit, pipeline, approved))
    _tell(pipeline, about, commit, report)
    return code


def retry_last(pipeline: Pipeline, last: str) -> ExitCode:
    """Retry what failed and settle what is unknown, of the commit that was applied last."""
    about = merged_last(pipeline, last)
    with pipeline.back_at(last) as before:
        code, report = _carry_out(before)
    _tell(pipeline, about, last, report)
    return code


def _carry_out(pipeline: Pipeline, permit: Permit = permit_all) -> tuple[ExitCode, Report | None]:
    """Apply, and return what became of it, too."""
    kept = _Kept()
    pipeline.console.observers.add(kept)
    return carry_out(pipeline.workspace, pipeline.options, pipeline.console, permit), kept.report


class _Kept:
    """An Observer that keeps the report."""

    report: Report | None = None

    def told(self, event: Event) -> None:
        """See ports.Observer."""
        if isinstance(event, Reported):
            self.report = event.report


def _permit(pipeline: Pipeline, approved: str, plan: Plan, state: State) -> None:
    """Raise StalePlan for a change that nobody has agreed to: it came up since the job that planned."""
    uncovered = agreement(pipeline, state, approved).uncovered(plan)
    if uncovered and short(uncovered) != approved:
        named = ", ".join(change.address for change in uncovered[:5])
        raise StalePlan(
            f"{count(len(uncovered), 'change')} came up that nobody has agreed to ({named}); nothing was sent.",
            hint="Run all jobs of this run again: it is planned anew, and a person is asked.",
        )


def _tell(pipeline: Pipeline, about: Iterable[Proposal], commit: str, report: Report | None) -> None:
    """Say what became of an apply, and which open proposals would have other plans now."""
    if report is None:
        return
    with pipeline.tells("what was applied is said here only"):
        for proposal in about:
            tell_applied(pipeline, proposal, commit, report)
        _tell_open(pipeline, report.state)


def _tell_open(pipeline: Pipeline, state: State) -> None:
    """Mark the plans of open proposals that would be others now."""
    for number, proposal in enumerate(pipeline.platform.open_proposals()):
        if number == _OPEN:
            break
        if pipeline.platform.comment(proposal.number, pipeline.first_words):
            tell_void(pipeline, proposal, _planned_anew(pipeline, proposal, state))


def _planned_anew(pipeline: Pipeline, proposal: Proposal, state: State) -> SavedPlan | None:
    repository = pipeline.repository
    repository.fetch(proposal.head)
    if not (tree := repository.merged(repository.head, proposal.head)):
        return None
    try:
        with pipeline.at(tree) as workspace:
            return pipeline.review(workspace, state).shown
    except DeclarationError:
        return None
