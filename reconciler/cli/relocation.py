"""`reconciler state pull`, `migrate` and `unlock`: what is about the place of a state, and not about what it holds."""

from __future__ import annotations

import argparse
from pathlib import Path

from reconciler.cli.console import Console
from reconciler.cli.workspace import Workspace
from reconciler.errors import StateError, StateMissing
from reconciler.state import codec
from reconciler.state.model import State
from reconciler.state.stores.interface import Store, Writer
from reconciler.state.stores.moved import StateMoved
from reconciler.state.stores.places import is_shared


def pull(state: State, console: Console) -> None:
    """Print the state as a file would hold it, with what a journal adds."""
    console.out(b"".join(codec.encode(state)).decode())


def unlock(workspace: Workspace, options: argparse.Namespace, console: Console) -> None:
    """Take the lock from whoever holds it: if that run is alive after all, it sends nothing more."""
    who = workspace.store.unlock(options.lock)
    console.note(f"Took the lock from {who}. If that run is alive after all, it sends nothing more.")


def migrate(workspace: Workspace, options: argparse.Namespace, console: Console) -> None:
    """Bring the state to another place, and leave word where it was. Safe to repeat, wherever it was interrupted."""
    source, target = (workspace.store_at(place) for place in (options.source, options.destination))
    if source.place == target.place:
        raise StateError(f"{source.place}: the state is there already")
    if not is_shared(options.destination):
        Path(target.place).parent.mkdir(parents=True, exist_ok=True)
    target.try_out()
    with (
        source.hold("state migrate", timeout=options.lock_timeout, say=console.note) as old,
        target.hold("state migrate", timeout=options.lock_timeout, say=console.note) as new,
    ):
        state = old.read().state
        _bring(state, target, new)
        old.leave(options.destination)
    console.note(
        f"The state is in {target.place} now, with its lineage, at serial {state.serial}; {source.place} says so.\n"
        f"Set it in the configuration: state: {options.destination}"
    )


def _bring(state: State, target: Store, new: Writer) -> None:
    """Write the state where there is none any more, or just this one, and see that it is what is read there."""
    try:
        found = new.read().state
    except (StateMissing, StateMoved):
        new.create(state)
        found = target.read().state
    if found != state:
        raise StateError(
            f"{target.place}: there is another state already, of lineage {found.lineage}, at serial {found.serial}",
            hint="Both are kept as they are. Look at each with state list, and choose another place.",
        )
