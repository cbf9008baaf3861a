"""`reconciler ci`: what a pipeline runs, and what sets it up; one module a command."""

from __future__ import annotations

import argparse
from importlib import import_module

from reconciler.cli.console import Console
from reconciler.errors import ExitCode


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Run the command below `ci`."""
    command = import_module(f"reconciler.cli.ci.{options.subcommand}")
    return ExitCode(command.run(options, console))
