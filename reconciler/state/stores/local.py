"""The state on disk: atomic writes, the journal beside it, and reads that always see both as they belong together.

reconciler.state.json           the state
reconciler.state.json.journal   outcomes since it was saved; part of the state until it is folded in
reconciler.state.json.backup    the state before the last apply
reconciler.state.json.lock      lock.py's
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from reconciler.errors import StateError, StateMissing
from reconciler.state import codec, journal
from reconciler.state.codec import Prepared
from reconciler.state.journal import Record
from reconciler.state.model import Open, State

_READS: Final = 100
WRONG_PATH: Final = (
    "If this is not the first run, the path is wrong or the state was lost: without it everything would be "
    "dispatched again. If it is, make a state"
)
MAKE_STATE: Final = ("init",)


@dataclass(frozen=True, slots=True)
class Found:
    """A state as read. `left_over`: a journal was folded in, in memory only."""

    state: State
    left_over: bool


def journal_path(path: Path) -> Path:
    """Return where the journal of a state is."""
    return path.with_name(path.name + ".journal")


def backup_path(path: Path) -> Path:
    """Return where the state before the last apply is."""
    return path.with_name(path.name + ".backup")


def files(path: Path) -> dict[Path, str]:
    """Return every file that may be written for a state, each with what it is called."""
    beside = {".journal": "journal", ".backup": "backup", ".lock": "lock", ".new": "next version"}
    named = {path.with_name(path.name + end): f"the state's {what}" for end, what in beside.items()}
    return {path: "the state", **named, path.with_name(path.name + ".backup.new"): "the state's next backup"}


def read(path: Path) -> Found:
    """Return the state with a left-over journal folded in; writes nothing and needs no lock.

    Raises StateMissing where there is none, StateError for what can't be read or trusted.
    """
    for _ in range(_READS):
        with _opened(path) as file:
            data = file.read()
            records = _read_journal(journal_path(path))
            # A state is replaced before its journal is removed: if it is still the same, the journal belongs to it.
            # And no other file can look the same, as long as this one is open.
            whole = _identity(path) == _look(os.fstat(file.fileno()))
        if whole:
            state = codec.decode(data, str(path))
            folded = journal.fold_left_over(
                state, journal.decode(records, str(journal_path(path))), str(journal_path(path))
            )
            return Found(folded, left_over=bool(records))
    raise StateError(f"{path}: it is replaced faster than it can be read")


def read_whatever_journal(path: Path) -> tuple[State, bool]:
    """Return the state, and whether a journal that is not its own stands beside it; the holder of the lock may ask."""
    with _opened(path) as file:
        state = codec.decode(file.read(), str(path))
    try:
        return read(path).state, False
    except StateMissing:
        raise
    except StateError:
        return state, True


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
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


def _read_journal(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise StateError(f"{path}: the journal can't be read: {error.strerror}") from error


def _identity(path: Path) -> tuple[int, ...] | None:
    try:
        return _look(path.stat())
    except OSError:
        return None


def _look(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


class StateFile:
    """Writes one state and its journal; the caller holds the lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._journal = journal_path(path)
        self._good: int | None = None
        self._prepared = Prepared()

    def create(self, state: State) -> None:
        """Write a state where there must be none yet."""
        if self.path.exists() or self._journal.exists():
            raise StateError(f"{self.path}: there is a state already", hint="It is kept as it is.")
        self.save(state)

    def back_up(self) -> None:
        """Keep the state as it is now as the backup; costs no bytes, for a state is replaced and never rewritten."""
        backup = backup_path(self.path)
        spare = backup.with_name(backup.name + ".new")
        with _explained(backup, "the backup can't be made"):
            spare.unlink(missing_ok=True)
            _copy(self.path, spare)
            spare.replace(backup)
            # Two links to one file: then a rename does nothing, by POSIX.
            spare.unlink(missing_ok=True)
            _sync_folder(self.path.parent)

    def save(self, state: State) -> None:
        """Replace the state: temporary file, fsync, rename, fsync of the folder; then remove the folded journal."""
        spare = self.path.with_name(self.path.name + ".new")
        with _explained(self.path, "the state can't be saved"):
            _write(spare, codec.encode(state, self._prepared), _mode(self.path))
            spare.replace(self.path)
            _sync_folder(self.path.parent)
            if self._journal.exists():
                self._journal.unlink()
                _sync_folder(self.path.parent)
        self._good = 0
        self._prepared = Prepared()

    def prepare(self, opened: Mapping[str, Open]) -> None:
        """Get entries of the next save ready, by address, while there is time for it; nothing depends on it."""
        self._prepared.prepare(opened)

    def set_journal_aside(self) -> Path:
        """Keep a journal that belongs to another state under a name of its own, and return that.

        It stays where it is, too: until the next save, the state is refused as before.
        """
        number = 1
        while (aside := self._journal.with_name(f"{self._journal.name}.aside{number}")).exists():
            number += 1
        with _explained(self._journal, "the journal can't be set aside"):
            _copy(self._journal, aside)
            _sync_folder(self.path.parent)
        return aside

    def append(self, records: Sequence[Record]) -> None:
        """Add records to the journal and fsync it. After a failure the next one starts at the last good offset."""
        with _explained(self._journal, "the journal can't be written"):
            self._append(b"".join(map(journal.encode, records)))

    def _append(self, lines: bytes) -> None:
        fresh = not self._journal.exists()
        descriptor = os.open(self._journal, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            start = self._good or 0
            if os.fstat(descriptor).st_size != start:
                os.ftruncate(descriptor, start)
            _write_all(descriptor, lines, start)
            _sync(descriptor)
        finally:
            os.close(descriptor)
        if fresh:
            _sync_folder(self.path.parent)
        self._good = start + len(lines)


@contextlib.contextmanager
def _explained(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateError(
            f"{path}: {what}: {error.strerror or error}",
            hint="Nothing more was sent. Make room or mend the folder, then run apply again: what was sent is known "
            "from what is saved, and is settled under the same requestids.",
        ) from error


def _copy(path: Path, copy: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links; it is never rewritten in place."""
    try:
        os.link(path, copy)
    except OSError:
        _write(copy, [path.read_bytes()])


def _write(path: Path, pieces: Iterable[bytes], mode: int = 0o600) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, mode)
        offset = 0
        for piece in pieces:
            _write_all(descriptor, piece, offset)
            offset += len(piece)
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _mode(path: Path) -> int:
    """Return the permissions to keep; a file that we create is the user's alone."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return 0o600


def _sync(descriptor: int) -> None:
    os.fsync(descriptor)
    if full := getattr(fcntl, "F_FULLFSYNC", None):
        # macOS: fsync alone stops at the drive's cache.
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, full)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)
