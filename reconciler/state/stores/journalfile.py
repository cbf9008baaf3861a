"""The journal on disk: durable record by record, and never more of it than is good."""

from __future__ import annotations

import os

from reconciler.state.stores.folder import Folder, sync, write_all


class JournalFile:
    """The journal of one save, made with its first record and gone with the next save."""

    def __init__(self, folder: Folder, name: str) -> None:
        self._folder = folder
        self._name = name
        self._descriptor: int | None = None
        self._good = 0

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def stands(self) -> bool:
        """Whether the file that was begun is there, with all that was written."""
        if self._descriptor is None:
            return True
        found = self._folder.found(self._name)
        return found is not None and os.path.samestat(found, os.fstat(self._descriptor)) and found.st_size >= self._good

    def read(self) -> bytes:
        """Return what was written for good."""
        return b"" if self._descriptor is None else os.pread(self._descriptor, self._good, 0)

    def append(self, lines: bytes) -> None:
        """Write behind what is good, whatever a failed write left there; good, too, once it is durable."""
        if self._descriptor is None:
            self._descriptor = self._folder.opened(self._name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        if os.fstat(self._descriptor).st_size != self._good:
            os.ftruncate(self._descriptor, self._good)
        write_all(self._descriptor, lines, self._good)
        sync(self._descriptor)
        if not self._good:
            self._folder.sync()
        self._good += len(lines)

    def remove(self) -> None:
        """Remove it, and whatever an earlier run left there; the next record begins a new one."""
        self.close()
        self._good = 0
        if self._folder.remove(self._name):
            self._folder.sync()
