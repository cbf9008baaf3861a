"""The state that a plan or an apply starts from, made anew where there is none and there may be none."""

from __future__ import annotations

import argparse
from uuid import uuid4

from reconciler.cli.console import Console
from reconciler.cli.workspace import Workspace, named
from reconciler.errors import StateMissing, TargetMismatch
from reconciler.planning.guards import Refusal
from reconciler.state.model import State, Target
from reconciler.state.stores.interface import StoredState, Writer
from reconciler.state.stores.reading import MAKE_STATE, WRONG_PATH


def state_to_plan(
    workspace: Workspace, options: argparse.Namespace, console: Console
) -> tuple[State, tuple[Refusal, ...]]:
    """Return the state, or an empty one and the guard that would refuse to apply without."""
    try:
        state = workspace.store.read().state
    except StateMissing as missing:
        if workspace.sandbox:
            return _start_sandbox_state(workspace) if options.out else new_state(), ()
        if options.out:
            raise
        console.warn(str(missing), console.hint(missing))
        return new_state(), (_no_state(workspace, console.command("apply", "--new-state")),)
    check_target(state, workspace)
    return state, ()


def _start_sandbox_state(workspace: Workspace) -> State:
    """Create the sandbox's state and return it: a plan that is saved must find the same state again."""
    state = new_state(workspace.target)
    workspace.sandbox_file("state.json").parent.mkdir(exist_ok=True)
    with workspace.store.hold("plan") as store:
        store.create(state)
    return state


def prepare_folder(workspace: Workspace, options: argparse.Namespace) -> None:
    """Make the folder of a state that may be made; a missing one is otherwise as wrong as a missing state."""
    if workspace.state_path is None:
        return
    folder = workspace.state_path.parent
    if getattr(options, "new_state", False) or (workspace.sandbox and options.command == "apply"):
        folder.mkdir(parents=True, exist_ok=True)
    elif not folder.is_dir():
        wrong = f"{workspace.shown(folder)}: there is no such folder for the state"
        raise StateMissing(wrong, hint=WRONG_PATH, command=MAKE_STATE)


def state_to_apply(
    workspace: Workspace, store: Writer, options: argparse.Namespace, console: Console
) -> tuple[StoredState, tuple[Refusal, ...]]:
    """Return the state, made anew where that was asked for; or an empty one and the guard against going on with it."""
    try:
        found = store.read()
    except StateMissing as missing:
        state = new_state(workspace.target)
        if not (options.new_state or workspace.sandbox):
            console.warn(str(missing), console.hint(missing))
            return StoredState(state, left_over=False), (_no_state(workspace, "--new-state"),)
        workspace.store.try_out()
        store.create(state)
        console.note(f"{workspace.place}: a new, empty state")
        return StoredState(state, left_over=False), ()
    check_target(found.state, workspace)
    return found, ()


def _no_state(workspace: Workspace, override: str) -> Refusal:
    """Return the guard against going on without a state."""
    return Refusal("no-state", f"{workspace.place}: there is no state", override)


def new_state(target: Target | None = None) -> State:
    """Return an empty state of a new lineage, for this target if it is known yet."""
    return State(lineage=str(uuid4()), target=target)


def check_target(state: State, workspace: Workspace) -> None:
    """Raise TargetMismatch if the state belongs to another API or account."""
    target = workspace.target
    if state.target is None or state.target == target or not state.met:
        return
    place = workspace.state_path or workspace.place
    wrong = f"{place}: this state belongs to {named(state.target)}, not to {named(target)}"
    hint = "Use the state of this target (--env NAME gives each environment its own), or correct region or account."
    if state.interactions or state.failed:
        raise TargetMismatch(wrong, hint=hint)
    # Nothing but requests of unknown outcome: what a mistyped address that answers leaves behind.
    mistyped = "If what was sent there was sent to a wrong address, nothing of it was processed; say so"
    nothing_processed = ("state", "resolve", "--as", "not-applied", "--target", "*")
    raise TargetMismatch(wrong, hint=f"{hint} {mistyped}", command=nothing_processed)
