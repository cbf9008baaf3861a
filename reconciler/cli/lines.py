"""A file that grows a line at a time while a run goes on: it may break, and the run goes on."""

from __future__ import annotations

import os
from pathlib import Path

from reconciler.cli.console import Console
from reconciler.cli.destinations import is_result


class LineFile:
    """Writes whole lines, each at once; `-` is stdout. What can't be written is said once.

    What is written before the file is found to be nobody else's waits until then.
    """

    def __init__(self, name: str, what: str, folder: Path, console: Console) -> None:
        self._path = None if name == "-" else folder / name
        self._what = what
        self._console = console
        self._waiting: list[bytes] = []
        self._descriptor: int | None = None
        self._broken = False

    def write(self, line: bytes) -> None:
        """Write a line; never raises."""
        if self._path is None:
            self._console.out(line.decode())
        elif self._descriptor is None:
            self._waiting.append(line)
        else:
            self._write(line)

    def open(self, more: int = 0) -> None:
        """Begin the file with what was written so far, once a pipe has a reader; `more`: flags of the system."""
        if self._path is None or self._descriptor is not None or self._broken:
            return
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | more
            self._descriptor = os.open(self._path, flags, 0o600)
        except OSError as error:
            self._break(error)
            return
        self._write(b"".join(self._waiting))
        self._waiting.clear()

    def close(self) -> None:
        """End it; what still waits is written only where an earlier run wrote, so that nothing old is read there."""
        if self._path and self._waiting and is_result(self._path):
            self.open(os.O_NONBLOCK)  # whoever did not come until now is waited for no more
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._waiting.clear()

    def _write(self, data: bytes) -> None:
        if self._broken or self._descriptor is None:
            return
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            self._break(error)

    def _break(self, error: OSError) -> None:
        self._broken = True
        self._waiting.clear()
        self._console.warn(f"{self._path}: {self._what} can't be written: {error.strerror}; the run goes on without")
