"""`reconciler ci retry`: what the schedule does: a reviewed merge that nothing has applied yet, else what is due."""

from __future__ import annotations

import argparse

from reconciler.cli.ci.agreement import applied_last, is_old, what_is_due
from reconciler.cli.ci.apply import apply_head, retry_last
from reconciler.cli.ci.pipeline import UNATTENDED, open_pipeline
from reconciler.cli.console import Console
from reconciler.cli.current_state import state_to_plan
from reconciler.errors import ExitCode


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Apply the head of the default branch if all of it was reviewed; else the commit that was applied last."""
    with open_pipeline(options, console, "apply", *UNATTENDED) as pipeline:
        state, _ = state_to_plan(pipeline.workspace, pipeline.options, console)
        do = "" if is_old(pipeline, state) else what_is_due(pipeline, state)
        if do == "apply":
            return apply_head(pipeline, state, "")
        if do and (last := applied_last(state)):
            return retry_last(pipeline, last)
        console.note("Nothing to retry.")
        return ExitCode.DONE
