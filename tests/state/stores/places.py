"""Every place to keep a state: the tests of `Objects` and of stores run on each of them.

A place that is new gets a function here that opens it, as many times as it is asked to, below a folder of the test's.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from reconciler.state.stores.interface import Objects, Store
from reconciler.state.stores.local import LocalStore
from reconciler.state.stores.remote import RemoteStore
from reconciler.state.stores.timing import Timing
from tests.state.stores.memory import Memory, MemoryObjects, MemoryTogether

QUICK: Final = Timing(lease=1.0, renew=0.1, group=0.02, poll=0.02, patience=1.0)
Opener = Callable[[], Objects]
"""Opens the same place anew, as each run does."""


def memory(_folder: Path) -> Opener:
    """Give a place in memory."""
    kept = Memory()
    return lambda: MemoryObjects(kept)


def together(_folder: Path) -> Opener:
    """Give one that writes several objects by one call."""
    kept = Memory()
    return lambda: MemoryTogether(kept)


OBJECTS: Final[dict[str, Callable[[Path], Opener]]] = {"memory": memory, "together": together}


def local(folder: Path) -> Callable[[], Store]:
    """Give a state in a file."""
    return lambda: LocalStore(folder / "reconciler.state.json")


def shared(opener: Opener) -> Callable[[], Store]:
    """Give a state in a place that several share."""
    return lambda: RemoteStore(opener(), QUICK)
