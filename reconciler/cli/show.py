"""`reconciler show`: a saved plan, as its reviewer saw it."""

from __future__ import annotations

import argparse
from pathlib import Path

from reconciler.cli.console import Console
from reconciler.cli.destinations import check_outputs
from reconciler.cli.output import render, write_copies
from reconciler.endless import read_bytes
from reconciler.errors import ExitCode, PlanFileError
from reconciler.planning import saved_plan
from reconciler.planning.saved_plan import SavedPlan


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Show a saved plan; needs nothing but the file."""
    path = Path(options.directory or ".") / options.plan
    check_outputs(options, {path: "the saved plan"})
    saved = read_plan(path)
    console.command = console.command.within(saved.environment)
    console.out(render(saved, options, console))
    write_copies(saved, options, console)
    return ExitCode.DONE


def read_plan(path: Path) -> SavedPlan:
    """Return a saved plan; raises PlanFileError."""
    try:
        data = read_bytes(path)
    except OSError as error:
        raise PlanFileError(f"{path}: the plan can't be read: {error.strerror}") from error
    return saved_plan.decode(data, str(path))
