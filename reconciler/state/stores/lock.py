"""One writer at a time: an OS lock beside the state, and who holds it.

The lock is the kernel's (flock), so a process that died holds none. The file stays: removing it would let two
processes hold locks on two files of the same name. It is no part of the state and not to be committed.
"""

from __future__ import annotations

import errno
import fcntl
import getpass
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import orjson

from reconciler.errors import StateError, StateLocked
from reconciler.escape import readable
from reconciler.state.stores.folder import Folder
from reconciler.times import stamp

_POLL: Final = 0.1
_TRIES: Final = 100
_OWNER_BYTES: Final = 4096
_JOB_URL: Final = re.compile(r"https?://[^\s/@?#]+(?:[/?#][!-~]*)?", re.ASCII)
"""Without a user and a password, which the file would keep."""


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
    owner = {
        "user": readable(_user()),
        "host": readable(socket.gethostname()),
        "pid": os.getpid(),
        "command": command,
        "since": stamp(datetime.now(UTC)),
        "job": job_url(os.environ),
    }
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, orjson.dumps(owner) + b"\n", 0)
    except OSError as error:
        # The lock itself is held; only the courtesy to others fails. A full disk shows when the state is saved.
        warn(f"the lock's owner can't be written: {error.strerror}")


def _named(descriptor: int) -> str:
    """Return who holds a lock, as its file says."""
    try:
        owner = orjson.loads(os.pread(descriptor, _OWNER_BYTES, 0))
        job = f", {owner['job']}" if owner["job"] else ""
        return f"{owner['user']}@{owner['host']}, pid {owner['pid']}, `{owner['command']}`, since {owner['since']}{job}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def job_url(environment: Mapping[str, str]) -> str | None:
    """Return the URL of the CI job we run in, where the environment tells one (our own, GitHub, GitLab, Jenkins)."""
    github = [environment.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    run = "{}/{}/actions/runs/{}".format(*github) if all(github) else ""
    own, *others = (environment.get(name, "") for name in ("RECONCILER_JOB_URL", "CI_JOB_URL", "BUILD_URL"))
    return next((url for url in (own, run, *others) if _JOB_URL.fullmatch(url)), None)
