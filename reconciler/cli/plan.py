"""`reconciler plan`: read, compare, show. Sends nothing, and needs no lock or credentials."""

from __future__ import annotations

import argparse
from pathlib import Path

from reconciler.cli.console import Console
from reconciler.cli.current_state import state_to_plan
from reconciler.cli.destinations import check_outputs, write_file
from reconciler.cli.job_summary import summarise_plan
from reconciler.cli.output import render, write_copies
from reconciler.cli.review import review
from reconciler.cli.workspace import kept, open_workspace
from reconciler.commandline import operands
from reconciler.delivery.events import Planned
from reconciler.errors import ExitCode
from reconciler.planning import saved_plan
from reconciler.planning.saved_plan import SavedPlan
from reconciler.render.annotations import refusal_annotations


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Show what an apply would do, and save it where asked to."""
    ended = console.observers.ended
    workspace = open_workspace(options, console)
    check_outputs(options, kept(workspace, options), console)
    ended("settings")
    state, no_state = state_to_plan(workspace, options, console)
    ended("read the state")
    reviewed = review(workspace, state, options, console, standing=no_state)
    saved = reviewed.shown
    console.observers.told(Planned(saved))
    for piece in render(saved, options, console, reviewed.values):
        console.say(piece)
    console.commands(refusal_annotations(saved.refusals))
    write_copies(saved, options, console)
    summarise_plan(saved, options, console)
    if options.out:
        _save(saved, options, console)
    ended("show and save")
    return _exit_code(saved) if options.detailed_exitcode else ExitCode.DONE


def _save(saved: SavedPlan, options: argparse.Namespace, console: Console) -> None:
    write_file(Path(options.directory or ".") / options.out, [saved_plan.encode(saved)])
    console.note(f"Saved. To apply exactly this: {console.command('apply', *operands(options.out))}")


def _exit_code(saved: SavedPlan) -> ExitCode:
    if saved.refusals:
        return ExitCode.REFUSED
    if saved.plan.sends:
        return ExitCode.CHANGES
    return ExitCode.UNKNOWN if saved.plan.held else ExitCode.DONE
