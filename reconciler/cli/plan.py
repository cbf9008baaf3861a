"""`reconciler plan`: read, compare, show. Sends and writes nothing, and needs no lock or credentials."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from reconciler.cli.console import Console
from reconciler.cli.workspace import (
    Workspace,
    approvals,
    declarations_or_none,
    new_state,
    open_workspace,
    read_state_or_new,
)
from reconciler.diff import linked_values
from reconciler.errors import ExitCode, StateMissing
from reconciler.guard import Refusal, refusals
from reconciler.load import Declarations
from reconciler.plan import Plan
from reconciler.planner import plan as make_plan
from reconciler.render.machine import plan_json
from reconciler.render.text import plan_text
from reconciler.state import State


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Show what an apply would do."""
    workspace = open_workspace(options, console)
    state, no_state = _read_state(workspace, console)
    declarations, no_path = declarations_or_none(workspace, console, reveal=options.show_sensitive)
    plan = make_plan(declarations.interactions, state, workspace.policy, datetime.now(UTC), workspace.target)
    refused = (*no_state, *no_path, *refusals(plan, workspace.limits, approvals(options)))
    show(plan, refused, declarations, options, console)
    return _exit_code(plan, refused) if options.detailed_exitcode else ExitCode.DONE


def _read_state(workspace: Workspace, console: Console) -> tuple[State, tuple[Refusal, ...]]:
    """Return the state, or an empty one and the guard that would refuse to apply without."""
    try:
        return read_state_or_new(workspace)[0], ()
    except StateMissing as missing:
        console.warn(str(missing), missing.hint)
        refusal = Refusal("no-state", f"{workspace.state_path}: there is no state", "--new-state")
        return new_state(), (refusal,)


def show(
    plan: Plan,
    refused: tuple[Refusal, ...],
    declarations: Declarations,
    options: argparse.Namespace,
    console: Console,
) -> None:
    """Print the plan in the format asked for."""
    if getattr(options, "format", "text") == "json":
        console.out(plan_json(plan, refused, declarations.warnings))
        return
    values = {}
    if options.show_sensitive and console.terminal:
        wanted = {change.address for change in plan.changes}
        values = {
            interaction.address: linked_values(interaction.request)
            for interaction in declarations.interactions
            if interaction.address in wanted
        }
    console.out(plan_text(plan, refused, width=console.width, colour=console.colour, values=values))


def _exit_code(plan: Plan, refused: tuple[Refusal, ...]) -> ExitCode:
    if refused:
        return ExitCode.REFUSED
    if plan.sends:
        return ExitCode.CHANGES
    return ExitCode.UNKNOWN if plan.held else ExitCode.DONE
