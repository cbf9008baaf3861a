"""What a place to keep the state can do, as protocols: `Store` for the commands, `Objects` for who adds a place.

A place that holds a few named objects and can make a write depend on what it replaces is a module with `Objects`;
`remote.py` makes a store of it: the lease, the order of writes, what an unclear answer means. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from reconciler.state.journal import Record
from reconciler.state.model import Open, State

# -- objects -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """An object as read. `version` means something to its place only: it is compared with `==`, and given back."""

    body: bytes
    version: object


@dataclass(frozen=True, slots=True)
class Put:
    """An object to be written, if it has still this version; None: if there is none yet."""

    name: str
    body: bytes
    expected: object | None


class Refused(Exception):
    """The place says that the condition did not hold; an earlier try of the same write may have changed that."""


class Unclear(Exception):
    """No answer, or one that tells nothing: a write may have been done. `str()` is what happened, for people."""


class Objects(Protocol):
    """The objects of one state in one place, used by two threads at once.

    A name is what the place appends to where the state is: "" is the state itself, ".lock", ".backup" and
    ".journal/…" stand beside it. What can't be done, and can't be helped by trying again (no permission, no such
    bucket), is a StateError; what may pass (no connection, 5xx) is Unclear, of a read too. Its own tries again should
    end after some 10 seconds.
    """

    @property
    def place(self) -> str:
        """For people, as it is configured: `s3://bucket/key`, `git:origin/state`."""
        ...

    def get(self, name: str) -> Found | None:
        """Return the object as it is now, whoever wrote it last; None if there is none."""
        ...

    def put(self, name: str, body: bytes, expected: object | None) -> object:
        """Write the object if it has still the version that was read (None: if there is none); return its new version.

        Raises Refused or Unclear.
        """
        ...

    def names(self, start: str) -> list[str]:
        """Return the names of all objects that start so. What is listed is never changed, only removed."""
        ...

    def remove(self, names: Sequence[str]) -> None:
        """Remove what is of no use any more, in one go or later; names that there aren't are no error."""
        ...


@runtime_checkable
class Together(Objects, Protocol):
    """Objects that can be written together, by one call: all of them, or none. What is removed may go with it."""

    def put_all(self, puts: Sequence[Put]) -> list[object]:
        """Write each as `put` does, and return the new versions."""
        ...


@runtime_checkable
class Closing(Objects, Protocol):
    """Objects that keep something open, or on disk, between two calls."""

    def close(self) -> None:
        """Let go of it; whoever uses them again opens them again."""
        ...


# -- stores --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoredState:
    """A state as read. `left_over`: a journal was folded in, in memory only."""

    state: State
    left_over: bool


class OutcomeWriter(Protocol):
    """What an apply writes to while it sends. Each raises StateError, and then nothing more may be sent."""

    def save(self, state: State) -> None:
        """Save the state for good, atomically; whatever the journal held is folded into it."""
        ...

    def prepare(self, opened: Mapping[str, Open]) -> None:
        """Get entries of the next save ready, by address, while there is time for it; nothing depends on it."""
        ...

    def append(self, records: Sequence[Record]) -> None:
        """Add records to the journal, at once or soon; what follows an error starts where these did."""
        ...

    def settle(self) -> None:
        """Return when all that was appended is there for good: only then may anything be sent that depends on it."""
        ...

    def require_held(self) -> None:
        """Raise StateError once another run may have the state. Cheap; asked before each call, by any thread."""
        ...


class Writer(OutcomeWriter, Protocol):
    """Who holds a state, and may write it."""

    def read(self) -> StoredState:
        """Return the state as Store.read does; until it is saved, it must stay as it is."""
        ...

    def read_despite_journal(self) -> tuple[State, str | None]:
        """Return the state, and where a journal is kept from now on that is not its own."""
        ...

    def create(self, state: State) -> None:
        """Write a state where there must be none yet."""
        ...

    def back_up(self, public: State) -> None:
        """Keep the state as the backup: as it was read, or `public`, which lacks what is sensitive by now."""
        ...

    def leave(self, to: str) -> None:
        """Leave a stone in the place of the state that was read, which says that it is there from now on."""
        ...


class Store(Protocol):
    """A place to keep a state: anybody may read it, one at a time may hold it, to write."""

    @property
    def place(self) -> str:
        """For people: a path, or as it is configured."""
        ...

    def read(self) -> StoredState:
        """Return the state with a left-over journal folded in; writes nothing and needs no lock.

        Raises StateMissing where there is none, StateError for what can't be read or trusted.
        """
        ...

    def hold(
        self, command: str, *, timeout: float = 0.0, say: Callable[[str], None] = ...
    ) -> AbstractContextManager[Writer]:
        """Hold the state for a command, and give who may write it; wait at most `timeout` seconds for others.

        `say` is told who is waited for. Raises StateLocked, naming who holds it.
        """
        ...

    def try_out(self) -> None:
        """Raise StateError, with what it lacks, for a place that no state can be trusted to."""
        ...

    def unlock(self, held: str) -> str:
        """Take the lock of this id from whoever holds it, and return who that was; their run sends nothing more."""
        ...
