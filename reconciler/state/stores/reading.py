"""Reading a state and its journal so that both belong together, whoever may be writing them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from reconciler.errors import StateError, StateMissing
from reconciler.state import codec, journal
from reconciler.state.model import State
from reconciler.state.stores.folder import Folder, Look, look
from reconciler.state.stores.interface import StoredState
from reconciler.state.stores.moved import refuse_moved

_READS: Final = 100
WRONG_PATH: Final = (
    "If this is not the first run, the path is wrong or the state was lost: without it everything would be "
    "dispatched again (docs/state.md: the state is lost). If it is, make a state"
)
MAKE_STATE: Final = ("init",)


def journal_path(path: Path) -> Path:
    """Return where the journal of a state is."""
    return path.with_name(path.name + ".journal")


class Version(NamedTuple):
    """A state as it stands on the disk, how its file looks, and the journal beside it."""

    state: State
    look: Look
    records: bytes

    def found(self, path: Path) -> StoredState:
        """Return it with its journal folded in; raises StateError for a journal that is not its own."""
        name = str(journal_path(path))
        folded = journal.fold_left_over(self.state, journal.decode(self.records, name), name)
        return StoredState(folded, left_over=bool(self.records))


def look_up(folder: Folder, path: Path) -> Version:
    """Return the state and its journal as they stand; raises as LocalStore.read does."""
    for _ in range(_READS):
        with reading(path), folder.open(path.name) as descriptor:
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                data = file.read()
            records = _read_journal(folder, path)
            # A state is replaced before its journal is removed: if it is still the same, the journal belongs to it.
            # And no other file can look the same, as long as this one is open.
            seen = look(os.fstat(descriptor))
            whole = folder.look(path.name) == seen
        if whole:
            refuse_moved(data, str(path))
            return Version(codec.decode(data, str(path)), seen, records)
    raise StateError(f"{path}: it is replaced faster than it can be read")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say of what goes wrong that it is the state that can't be read, or that there is none."""
    try:
        yield
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as error:
        raise StateError(f"{path}: the state can't be read: {error.strerror}") from error


def _missing(path: Path) -> StateMissing:
    if journal_path(path).exists():
        return StateMissing(
            f"{path}: there is a journal, but no state beside it",
            hint="Restore the state from where it is kept: the journal continues it.",
        )
    return StateMissing(f"{path}: there is no state", hint=WRONG_PATH, command=MAKE_STATE)


def _read_journal(folder: Folder, path: Path) -> bytes:
    journal = journal_path(path)
    try:
        return folder.read(journal.name)
    except OSError as error:
        raise StateError(f"{journal}: the journal can't be read: {error.strerror}") from error
