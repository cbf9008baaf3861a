"""`reconciler ci comment`: plan a proposal from outside, as data, in a job whose token can write.

The default branch is checked out, and its program and configuration are used. Of the proposal only declarations are
read, all from the one commit that the event names, merged with what is checked out.
"""

from __future__ import annotations

import argparse

from reconciler.ci.platform import Proposal
from reconciler.cli.ci.pipeline import Pipeline, open_pipeline
from reconciler.cli.ci.plan import show
from reconciler.cli.ci.told import tell_no_plan, tell_plan
from reconciler.cli.console import Console
from reconciler.cli.current_state import state_to_plan
from reconciler.config.layers import FILE_NAME
from reconciler.errors import DeclarationError, ExitCode, UsageError


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Plan the proposal that this run is about, and tell it."""
    with open_pipeline(options, console, "plan") as pipeline:
        proposal = pipeline.platform.proposal
        if proposal is None:
            raise UsageError("this run is about no proposal", hint="reconciler ci plan is for all others.")
        if proposal.base != pipeline.platform.default_branch:
            console.note(f"Only {pipeline.platform.default_branch} is planned for; this is for {proposal.base}.")
            return ExitCode.DONE
        if not pipeline.platform.is_current(proposal):
            console.note(f"{proposal.head} is not what is proposed any more: nothing to say.")
            return ExitCode.DONE
        return _plan(pipeline, proposal)


def _plan(pipeline: Pipeline, proposal: Proposal) -> ExitCode:
    repository = pipeline.repository
    repository.fetch(proposal.head)
    tree = repository.merged(repository.head, proposal.head)
    if tree is None:
        tell_no_plan(pipeline, proposal, "It conflicts with the branch that it is for.")
        return ExitCode.ERROR
    state, standing = state_to_plan(pipeline.workspace, pipeline.options, pipeline.console)
    try:
        with pipeline.at(tree) as workspace:
            reviewed = pipeline.review(workspace, state, standing)
    except DeclarationError:
        tell_no_plan(pipeline, proposal, "The declarations hold problems.")
        raise
    show(pipeline, reviewed)
    tell_plan(pipeline, proposal, reviewed.shown, _about_configuration(pipeline, tree))
    return ExitCode.REFUSED if reviewed.shown.refusals else ExitCode.DONE


def _about_configuration(pipeline: Pipeline, tree: str) -> str:
    """Return the sentence about a configuration that a proposal changes: the plan is not made with it."""
    settings, repository = pipeline.workspace.settings, pipeline.repository
    file = repository.position(settings.folder / (pipeline.options.config or FILE_NAME))
    if repository.blob(tree, file) == repository.blob("HEAD", file):
        return ""
    return "**The configuration changes as well; this plan is made with that of the branch it is for.** "
