"""What the sandbox must remember to behave like the API: requestids and open interactions.

In memory, and in a SQLite file where it is to outlive the run: no bodies, no requestid of an open interaction, nothing
sensitive. A process killed at any instant has lost nothing that was answered.
"""

from __future__ import annotations

import os
import sqlite3
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.errors import ReconcilerError

_MAGIC: Final = b"SQLite format 3\0"
_TABLES: Final = """
PRAGMA synchronous = OFF;
BEGIN EXCLUSIVE;
CREATE TABLE IF NOT EXISTS ids (requestid TEXT PRIMARY KEY, failed INT NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS open (externalid TEXT PRIMARY KEY, provider TEXT);
COMMIT;
"""


@dataclass(frozen=True, slots=True)
class OpenInteraction:
    """One open interaction; `content` is the canonical request (see `ReceivedRequest`), None after a restart."""

    provider: str | None
    content: bytes | None = None
    requestid: str | None = None


@dataclass(frozen=True, slots=True)
class Remembered:
    """A requestid that was taken: whether its request failed, and when (seconds in the server's clock)."""

    failed: bool
    at: float


class Memory:
    """Requestids in the order in which they were taken, and open interactions by externalid.

    `path` is where it is kept, None for nowhere. One process at a time; raises ReconcilerError if the file is in use,
    unreadable or no memory.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.ids: OrderedDict[str, Remembered] = OrderedDict()
        self.open: dict[str, OpenInteraction] = {}
        self._path = path
        self._new: dict[str, Remembered] = {}
        self._changed: set[str] = set()
        self._file = None if path is None else _opened(path)
        if self._file:
            for requestid, failed, at in self._file.execute("SELECT * FROM ids ORDER BY rowid"):
                self.ids[requestid] = Remembered(bool(failed), at)
            self.open.update(
                {name: OpenInteraction(provider) for name, provider in self._file.execute("SELECT * FROM open")}
            )

    def take(self, requestid: str | None, *, failed: bool, now: float) -> None:
        """Remember a requestid, for ever (assumed); one that is None is not remembered."""
        if requestid is not None:
            self.ids[requestid] = self._new[requestid] = Remembered(failed, now)
            self.ids.move_to_end(requestid)

    def put(self, externalid: str, opened: OpenInteraction) -> None:
        """Note an interaction as open."""
        self.open[externalid] = opened
        self._changed.add(externalid)

    def close(self, externalid: str) -> None:
        """Note that an open interaction has ended."""
        del self.open[externalid]
        self._changed.add(externalid)

    def keep(self) -> None:
        """Write what changed; raises sqlite3.Error, and then nothing of it is written."""
        new, changed = self._new, self._changed
        self._new, self._changed = {}, set()
        if self._file:
            with self._file as file:
                file.executemany("REPLACE INTO ids VALUES (?, ?, ?)", [(x, y.failed, y.at) for x, y in new.items()])
                file.executemany("DELETE FROM open WHERE externalid = ?", [(name,) for name in changed])
                opened = [(name, self.open[name].provider) for name in changed if name in self.open]
                file.executemany("INSERT INTO open VALUES (?, ?)", opened)

    def end(self) -> None:
        """Give the file to the next process."""
        if self._file:
            self._file.close()


def _opened(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "rb") as start:
            if start.read(len(_MAGIC)) not in {b"", _MAGIC}:  # SQLite would write over a short file of another kind
                raise sqlite3.DatabaseError("file is not a database")  # noqa: TRY301  # as SQLite would
        file = sqlite3.connect(path, timeout=0, check_same_thread=False)
        # Held until it is closed: two sandboxes would each remember half.
        file.execute("PRAGMA locking_mode = EXCLUSIVE")
        file.executescript(_TABLES)
    except OSError as error:
        raise ReconcilerError(f"{path}: the sandbox can't keep its memory: {error.strerror}") from error
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise ReconcilerError(f"{path}: the sandbox can't keep its memory: {error}") from error
        raise ReconcilerError(f"{path}: another sandbox is using this memory", hint="Stop it first.") from error
    except sqlite3.DatabaseError as error:
        raise ReconcilerError(
            f"{path}: not a memory of the sandbox ({error})", hint=f"Remove {path}: the sandbox then starts empty."
        ) from error
    return file
