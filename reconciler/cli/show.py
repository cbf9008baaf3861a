"""`reconciler show`: a saved plan, as its reviewer saw it."""

from __future__ import annotations

import argparse
from pathlib import Path

from reconciler.cli.console import Console
from reconciler.cli.destinations import check_outputs
from reconciler.cli.output import render, write_copies
from reconciler.cli.saved import read_plan
from reconciler.errors import ExitCode


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Show a saved plan; needs nothing but the file."""
    path = Path(options.directory or ".") / options.plan
    check_outputs(options, {path: "the saved plan"}, console)
    saved = read_plan(path)
    console.command = console.command.within(saved.environment)
    for piece in render(saved, options, console):
        console.out(piece)
    write_copies(saved, options, console)
    return ExitCode.DONE
