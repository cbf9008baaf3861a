"""One writer at a time: an OS lock beside the state, and who holds it.

The lock is the kernel's (flock), so a process that died holds none. The file stays: removing it would let two
processes hold locks on two files of the same name. It is no part of the state and not to be committed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import orjson

from reconciler.errors import StateError, StateLocked
from reconciler.state.stores.folder import Folder
from reconciler.state.stores.owner import named, owner

_POLL: Final = 0.1
_TRIES: Final = 100
_OWNER_BYTES: Final = 4096


class Lock:
    """A lock that is held, on a file that should stand under its name."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @property
    def stands(self) -> bool:
        """Whether the file does: of another one, somebody else may have the lock."""
        try:
            return os.path.samestat(os.lstat(self._path), os.fstat(self._descriptor))
        except (FileNotFoundError, NotADirectoryError):
            return False


@contextmanager
def locked(folder: Folder, name: str, command: str, *, timeout: float, say: Callable[[str], None]) -> Iterator[Lock]:
    """Hold the lock of this name; wait at most `timeout` seconds for it, and `say` once who is waited for.

    Raises StateLocked, naming the owner, if another process holds it, and StateError if there can be no lock.
    """
    path = folder.path / name
    for _ in range(_TRIES):
        with _explained(path):
            descriptor = folder.opened(name, os.O_RDWR | os.O_CREAT)
        try:
            _acquire(descriptor, path, timeout, say)
            lock = Lock(path, descriptor)
            with _explained(path):
                stands = lock.stands
            if stands:
                _write_owner(descriptor, command, folder.warn)
                yield lock
                return
        finally:
            os.close(descriptor)
    raise StateError(f"{path}: the lock is replaced faster than it can be taken")


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateError(f"{path}: the lock can't be opened: {error.strerror}") from error


def _acquire(descriptor: int, path: Path, timeout: float, say: Callable[[str], None]) -> None:
    deadline = time.monotonic() + timeout
    said = False
    while not _taken(descriptor, path):
        if time.monotonic() >= deadline:
            raise StateLocked(
                f"the state is locked by {_named(descriptor)}",
                hint="Wait until it is done, or use --lock-timeout SECONDS to wait for it here.",
            )
        if not said:
            say(f"Waiting up to {timeout:g} s for the lock of {_named(descriptor)}.")
            said = True
        time.sleep(_POLL)


def _taken(descriptor: int, path: Path) -> bool:
    """Whether the lock is ours now; raises StateError where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES, errno.EINTR}:
            return False
        raise StateError(
            f"{path}: this file system has no locks: {error.strerror}",
            hint="Keep the state on a local disk: without a lock two runs could double everything.",
        ) from error
    return True


def _write_owner(descriptor: int, command: str, warn: Callable[[str], None]) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, orjson.dumps(owner(command)) + b"\n", 0)
    except OSError as error:
        # The lock itself is held; only the courtesy to others fails. A full disk shows when the state is saved.
        warn(f"the lock's owner can't be written: {error.strerror}")


def _named(descriptor: int) -> str:
    """Return who holds a lock, as its file says."""
    try:
        return named(orjson.loads(os.pread(descriptor, _OWNER_BYTES, 0)))
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
