"""`reconciler ci retry`: what the schedule does: a reviewed merge that nothing has applied yet, else what is due."""

from __future__ import annotations

import argparse

from reconciler.cli.ci.agreement import may_apply, what_is_due
from reconciler.cli.ci.apply import apply_head, retry_last
from reconciler.cli.ci.pipeline import open_pipeline
from reconciler.cli.console import Console
from reconciler.cli.current_state import state_to_plan
from reconciler.errors import ExitCode


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Apply the head of the default branch if all of it was reviewed; else the commit that was applied last."""
    with open_pipeline(options, console, "apply", "--auto-approve") as pipeline:
        state, _ = state_to_plan(pipeline.workspace, pipeline.options, console)
        match what_is_due(pipeline, state) if may_apply(pipeline) else "nothing":
            case "apply":
                return apply_head(pipeline, "")
            case "retry":
                return retry_last(pipeline)
        console.note("Nothing to retry.")
        return ExitCode.DONE
