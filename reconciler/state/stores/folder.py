"""The files of a state in their folder: no link that stands in their place is followed, and what is written is durable.

Shell. What a kind of file system can't do at all is said once, and done without (docs/reliability.md); a write or an
fsync of a file that fails is an error, always. Raises OSError.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

Look = tuple[int, int, int, int]
"""Device, inode, size and time of change: by these a file is known again."""
_PRIVATE: Final = 0o600
_NOT_KNOWN: Final = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


def look(found: os.stat_result) -> Look:
    """Return how a file looks."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class Folder:
    """An open folder: its files are reached through it, wherever its path may lead meanwhile."""

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        self.path = path
        self.warn = warn
        self._descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._without: set[str] = set()

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)

    def found(self, name: str) -> os.stat_result | None:
        """Return what is there under a name, not following a link."""
        try:
            return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def look(self, name: str) -> Look | None:
        """Return how the file looks; None if there is none."""
        found = self.found(name)
        return found and look(found)

    @contextmanager
    def open(self, name: str, flags: int = os.O_RDONLY) -> Iterator[int]:
        """Give a descriptor of a regular file; nothing else is waited for, and no link followed."""
        descriptor = self.opened(name, flags)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def opened(self, name: str, flags: int) -> int:
        """Return a descriptor likewise, for the caller to close."""
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(name, flags, _PRIVATE, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise OSError(errno.ELOOP, "it is a symbolic link", name) from error
            raise
        try:
            _require_own_file(os.fstat(descriptor), name, writes=flags & os.O_ACCMODE != os.O_RDONLY)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def read(self, name: str) -> bytes:
        """Return what the file holds; nothing if there is none."""
        try:
            with self.open(name) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read()
        except FileNotFoundError:
            return b""

    def write(self, name: str, pieces: Iterable[bytes], mode: int = _PRIVATE) -> Look:
        """Make a file for good, in place of whatever a run left there that was killed; return how it looks."""
        self.remove(name)
        with self.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as descriptor:
            try:
                self._permit(descriptor, mode)
                offset = 0
                for piece in pieces:
                    write_all(descriptor, piece, offset)
                    offset += len(piece)
                sync(descriptor)
                return look(os.fstat(descriptor))
            except BaseException:
                with suppress(OSError):
                    self.remove(name)  # a disk that is full needs the room
                raise

    def _permit(self, descriptor: int, mode: int) -> None:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) == mode:
            return
        try:
            os.fchmod(descriptor, mode)
        except OSError as error:
            self._go_without("set permissions: others may be able to read the state", error, errno.EPERM)

    def copy(self, name: str, copy: str) -> None:
        """Give a file a second name, or a copy where there are no links: none of these is ever rewritten in place."""
        try:
            os.link(name, copy, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:
            self.write(copy, [self.read(name)])

    def rename(self, name: str, other: str) -> None:
        """Move a file, over another one if there is one, for good."""
        os.replace(name, other, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        self.sync()

    def remove(self, name: str) -> bool:
        """Remove a file; return whether there was one."""
        try:
            os.unlink(name, dir_fd=self._descriptor)
        except FileNotFoundError:
            return False
        return True

    def sync(self) -> None:
        """Make the names durable."""
        try:
            sync(self._descriptor)
        except OSError as error:
            self._go_without("fsync a folder: a power cut may undo what was saved last", error, errno.EBADF)

    def _go_without(self, what: str, error: OSError, also: int) -> None:
        """Say once what this kind of file system can't do; raises any other error."""
        if error.errno not in _NOT_KNOWN | {also}:
            raise error
        if what not in self._without:
            self.warn(f"{self.path}: this file system can't {what}")
            self._without.add(what)


def _require_own_file(found: os.stat_result, name: str, *, writes: bool) -> None:
    """Raise OSError for what is no file, or would change under another name too if it were written."""
    if stat.S_ISDIR(found.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", name)
    if writes and found.st_nlink > 1:
        raise OSError(errno.EMLINK, "it has a second name (a hard link)", name)


def write_all(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of it, however much the system takes at a time."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def sync(descriptor: int) -> None:
    """Make what was written durable."""
    os.fsync(descriptor)
    if full := getattr(fcntl, "F_FULLFSYNC", None):
        # macOS: fsync alone stops at the drive's cache.
        with suppress(OSError):
            fcntl.fcntl(descriptor, full)
