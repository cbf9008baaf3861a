"""`reconciler ci plan`: show a proposal its plan; or, after the merge, say what may be done about it.

Needs no credentials of the API. What may be done goes to the next job as the output `next`: `nothing`, `approve` or
`apply`; `approved` holds which changes a person is asked about.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Final

from reconciler.ci.platform import Proposal, Trigger
from reconciler.ci.reviewed import short, words
from reconciler.cli.ci.agreement import agreement, is_old, what_is_due
from reconciler.cli.ci.pipeline import Pipeline, open_pipeline
from reconciler.cli.ci.told import tell_no_plan, tell_plan
from reconciler.cli.console import Console
from reconciler.cli.current_state import state_to_plan
from reconciler.cli.job_summary import summarise, summarise_plan
from reconciler.cli.output import text
from reconciler.cli.review import Review
from reconciler.errors import DeclarationError, ExitCode, GuardRefusal, UsageError
from reconciler.planning.plan import Change
from reconciler.render.annotations import refusal_annotations
from reconciler.render.markdown.gfm import code
from reconciler.render.words import count

_NAMED: Final = 5
_HERE_ONLY: Final = "the plan is shown here only"


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Plan for what set this pipeline off."""
    with open_pipeline(options, console, "plan") as pipeline:
        platform = pipeline.platform
        if platform.branch != platform.default_branch:
            console.note(f"Only {platform.default_branch} is planned for and applied; this is about {platform.branch}.")
            return _pass_on(pipeline, "nothing")
        if platform.trigger is Trigger.OUTSIDE:
            raise UsageError(
                "what is checked out here is not what is proposed", hint="`reconciler ci comment` plans that, as data."
            )
        if proposal := platform.proposal:
            return _show(pipeline, proposal)
        return _decide(pipeline, options.approve or "")


def _show(pipeline: Pipeline, proposal: Proposal) -> ExitCode:
    """Plan what is checked out, and tell the proposal."""
    try:
        reviewed = _planned(pipeline)
    except DeclarationError as error:
        with pipeline.tells(_HERE_ONLY):
            tell_no_plan(pipeline, proposal, f"There {_problems(error)} in the declarations.")
        raise
    with pipeline.tells(_HERE_ONLY):
        tell_plan(pipeline, proposal, reviewed.shown)
    return ExitCode.REFUSED if reviewed.shown.refusals else ExitCode.DONE


def _problems(error: DeclarationError) -> str:
    number = sum(not problem.warning for problem in error.problems)
    return f"{'is' if number == 1 else 'are'} {count(number, 'problem')}"


def _planned(pipeline: Pipeline) -> Review:
    """Return the plan of what is checked out, shown here and in the job's summary."""
    state, standing = state_to_plan(pipeline.workspace, pipeline.options, pipeline.console)
    reviewed = pipeline.review(pipeline.workspace, state, standing)
    # What a proposal would be merged into may have been applied since; it is not applied from here.
    refusals = tuple(refusal for refusal in reviewed.shown.refusals if refusal.code != "older-commit")
    reviewed = replace(reviewed, shown=replace(reviewed.shown, refusals=refusals))
    show(pipeline, reviewed)
    return reviewed


def show(pipeline: Pipeline, reviewed: Review) -> None:
    """Show a plan here and in the job's summary."""
    for piece in text(reviewed.shown, pipeline.options, pipeline.console):
        pipeline.console.out(piece)
    pipeline.console.commands(refusal_annotations(reviewed.shown.refusals))
    summarise_plan(reviewed.shown, pipeline.options, pipeline.console)


def _decide(pipeline: Pipeline, approved: str) -> ExitCode:
    """Say what the next jobs may do."""
    console, platform = pipeline.console, pipeline.platform
    state, standing = state_to_plan(pipeline.workspace, pipeline.options, console)
    if is_old(pipeline, state):
        return _pass_on(pipeline, "nothing")
    if platform.trigger is Trigger.SCHEDULE:
        due = what_is_due(pipeline, state)
        console.note(f"The next job is to {due} what is due." if due else "Nothing is due.")
        return _pass_on(pipeline, "apply" if due else "nothing")
    reviewed = pipeline.review(pipeline.workspace, state, standing)
    show(pipeline, reviewed)
    if reviewed.shown.refusals:
        raise GuardRefusal(f"refused by {count(len(reviewed.shown.refusals), 'guard')}; nothing is applied.")
    if not reviewed.plan.changed:
        console.note("Nothing to apply.")
        return _pass_on(pipeline, "nothing")
    uncovered = agreement(pipeline, state).uncovered(reviewed.plan)
    if uncovered:
        return _ask(pipeline, uncovered, approved)
    console.note(f"No approval is needed: every change was shown in a reviewed {platform.noun}.")
    return _pass_on(pipeline, "apply")


def _pass_on(pipeline: Pipeline, do: str, approved: str = "") -> ExitCode:
    pipeline.platform.pass_on({"next": do, "approved": approved})
    return ExitCode.DONE


def _ask(pipeline: Pipeline, uncovered: tuple[Change, ...], approved: str) -> ExitCode:
    """Have a person asked about changes that nobody has agreed to; raises GuardRefusal where nobody would be."""
    platform, asked_for = pipeline.platform, short(uncovered)
    if approved == asked_for:
        pipeline.console.note("Approved by whoever started this run.")
        return _pass_on(pipeline, "apply", words(uncovered))
    _say_why(pipeline, uncovered)
    if not platform.asks_somebody(pipeline.approval):
        raise GuardRefusal(
            f"nobody would be asked: {pipeline.approval} has no required reviewers; nothing is applied.",
            hint=f"Add reviewers and run this again; or approve it by hand: {platform.how_to_approve(asked_for)}",
        )
    return _pass_on(pipeline, "approve", words(uncovered))


def _say_why(pipeline: Pipeline, changes: tuple[Change, ...]) -> None:
    """Say, here and where a person approves, which changes nobody has agreed to."""
    named, more = changes[:_NAMED], f" and {len(changes) - _NAMED} more" if len(changes) > _NAMED else ""
    noun, number = pipeline.platform.noun, count(len(changes), "change")
    why = f"no reviewed {noun} that was merged since the last apply showed {number}"
    pipeline.console.note(f"Approval is needed: {why}: {', '.join(change.address for change in named)}{more}.")
    codes = ", ".join(code(change.address) for change in named)
    summarise(f"**Approval is needed:** {why}: {codes}{more}.", pipeline.console)
