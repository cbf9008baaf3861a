"""The sandbox's memory on disk: a snapshot, and a log beside it that is written before each answer.

FILE holds the snapshot, `FILE.log` one line for each call since. Opening folds the log into the snapshot. A process
killed at any instant loses nothing that was answered; a machine that loses power may (the log is not fsynced).
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any, Final

import orjson

from reconciler.errors import ReconcilerError
from reconciler.sandbox.memory import VERSION, Changes, Memory, to_json

_MODE: Final = 0o600


class MemoryFile:
    """An open memory file; one process at a time. Raises ReconcilerError if it is in use, unreadable or damaged."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._log = os.open(f"{path}.log", os.O_RDWR | os.O_CREAT | os.O_APPEND, _MODE)
        except OSError as error:
            raise ReconcilerError(f"{path}: the sandbox can't keep its memory: {error.strerror}") from error
        try:
            fcntl.flock(self._log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._log)
            raise ReconcilerError(f"{path}: another sandbox is using this memory", hint="Stop it first.") from error

    def load(self) -> Memory:
        """Return the memory of the snapshot and the log; a last line without its newline is torn, and dropped."""
        memory = Memory()
        try:
            saved = self._path.read_bytes() if self._path.exists() else b""
            log = os.pread(self._log, os.fstat(self._log).st_size, 0)
            entries = [saved, *log.split(b"\n")[:-1]]
            for entry in filter(None, entries):
                memory.restore(_checked(orjson.loads(entry)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReconcilerError(
                f"{self._path}: not a memory of the sandbox ({type(error).__name__}: {error})",
                hint=f"Name another file, or, if this was one, remove it and {self._path.name}.log, to start empty.",
            ) from error
        return memory

    def append(self, changes: Changes) -> None:
        """Write one line, handed to the system before this returns; raises OSError. No changes write nothing."""
        if changes:
            line = _encoded(changes) + b"\n"
            end = os.fstat(self._log).st_size
            try:
                _write(self._log, line)
            except OSError:
                os.ftruncate(self._log, end)  # or the next line would continue a torn one
                raise

    def save(self, memory: Memory) -> None:
        """Write the snapshot (temporary file, fsync, rename) and empty the log; raises OSError."""
        temporary = f"{self._path}.tmp"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(_encoded(memory.everything()) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._path)  # noqa: PTH105 - the temporary name is a str
        os.ftruncate(self._log, 0)

    def close(self) -> None:
        """Give the file to the next process."""
        os.close(self._log)


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _encoded(changes: Changes) -> bytes:
    return orjson.dumps({"version": VERSION, **to_json(changes)})


def _checked(entry: Any) -> Any:
    if entry["version"] != VERSION:
        raise ValueError(f"version {entry['version']!r}")
    return entry
