"""`reconciler plan`: read, compare, show. Sends nothing, and needs no lock or credentials."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path

from reconciler.cli.console import Console
from reconciler.cli.output import append_summary, markdown, render, summary_wanted, write_copies, write_file
from reconciler.cli.timings import Timings
from reconciler.cli.workspace import (
    Workspace,
    approvals,
    declarations_or_none,
    new_state,
    no_state_refusal,
    open_workspace,
    read_state,
    start_sandbox_state,
)
from reconciler.commandline import operands
from reconciler.declarations.loader import Declarations
from reconciler.errors import ExitCode, StateMissing
from reconciler.planning import saved_plan
from reconciler.planning.diff import linked_values
from reconciler.planning.guards import Refusal, refusals
from reconciler.planning.plan import Plan
from reconciler.planning.planner import plan as make_plan
from reconciler.planning.saved_plan import SavedPlan
from reconciler.render.annotations import refusal_annotations
from reconciler.state.model import State


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Show what an apply would do, and save it where asked to."""
    timings = Timings(console, wanted=options.timings)
    workspace = open_workspace(options, console)
    timings.ended("settings")
    state, no_state = _read_state(workspace, options, console)
    timings.ended("read the state")
    declarations, no_path = declarations_or_none(workspace, console, reveal=options.show_sensitive)
    timings.ended("read the declarations")
    plan = make_plan(
        declarations.interactions, state, workspace.settings.keys.policy, datetime.now(UTC), workspace.target
    )
    approved = approvals(options)
    refused = (*no_state, *no_path, *refusals(plan, workspace.settings.keys.limits, approved))
    timings.ended("compare")
    saved = SavedPlan(plan, approved, refused, declarations.warnings, workspace.settings.environment)
    console.out(render(saved, options, console, revealed(plan, declarations, options, console)))
    console.commands(refusal_annotations(refused))
    write_copies(saved, options, console)
    if summary_wanted():
        append_summary(markdown(saved, options, console), console)
    if options.out:
        _save(saved, options, console)
    timings.ended("show and save")
    timings.show()
    return _exit_code(plan, refused) if options.detailed_exitcode else ExitCode.DONE


def _read_state(
    workspace: Workspace, options: argparse.Namespace, console: Console
) -> tuple[State, tuple[Refusal, ...]]:
    """Return the state, or an empty one and the guard that would refuse to apply without."""
    try:
        return read_state(workspace), ()
    except StateMissing as missing:
        if workspace.sandbox:
            return start_sandbox_state(workspace) if options.out else new_state(), ()
        if options.out:
            raise
        console.warn(str(missing), console.hint(missing))
        return new_state(), (no_state_refusal(workspace, console.command("apply", "--new-state")),)


def revealed(
    plan: Plan, declarations: Declarations, options: argparse.Namespace, console: Console
) -> dict[str, dict[str, str]]:
    """Return the sensitive values that are declared, by address and field, where a person at a terminal asked."""
    if not (options.show_sensitive and console.terminal):
        return {}
    wanted = {change.address for change in plan.changes}
    return {
        interaction.address: linked_values(interaction.request)
        for interaction in declarations.interactions
        if interaction.address in wanted
    }


def _save(saved: SavedPlan, options: argparse.Namespace, console: Console) -> None:
    write_file(Path(options.directory or ".") / options.out, saved_plan.encode(saved))
    console.note(f"Saved. To apply exactly this: {console.command('apply', *operands(options.out))}")


def _exit_code(plan: Plan, refused: tuple[Refusal, ...]) -> ExitCode:
    if refused:
        return ExitCode.REFUSED
    if plan.sends:
        return ExitCode.CHANGES
    return ExitCode.UNKNOWN if plan.held else ExitCode.DONE
