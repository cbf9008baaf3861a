"""What the sandbox must remember to behave like the API: requestids and open interactions. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Open:
    """One open interaction.

    `content` is the canonical request (see `Request.content`); None after a restart, for memory files hold no bodies.
    """

    provider: str | None
    content: bytes | None = None
    requestid: str | None = None


@dataclass(frozen=True, slots=True)
class Remembered:
    """A requestid that was taken: whether its request failed, and when (seconds in the server's clock)."""

    failed: bool
    at: float


@dataclass(slots=True)
class Changes:
    """What one step changed, as absolute values: applying it twice is the same as once."""

    ids: dict[str, Remembered] = field(default_factory=dict)
    open: dict[str, Open | None] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.ids or self.open)


class Memory:
    """Requestids in the order in which they were taken, open interactions, and what changed since `drain()`."""

    def __init__(self) -> None:
        self.ids: OrderedDict[str, Remembered] = OrderedDict()
        self.open: dict[str, Open] = {}
        self._changes = Changes()

    def take(self, requestid: str | None, *, failed: bool, now: float) -> None:
        """Remember a requestid, for ever (assumed); one that is None is not remembered."""
        if requestid is not None:
            self.ids[requestid] = self._changes.ids[requestid] = Remembered(failed, now)
            self.ids.move_to_end(requestid)

    def put(self, externalid: str, opened: Open) -> None:
        """Note an interaction as open."""
        self.open[externalid] = self._changes.open[externalid] = opened

    def close(self, externalid: str) -> None:
        """Note that an open interaction has ended."""
        del self.open[externalid]
        self._changes.open[externalid] = None

    def drain(self) -> Changes:
        """Return what changed since the last call."""
        changes, self._changes = self._changes, Changes()
        return changes

    def restore(self, saved: Any) -> None:
        """Add what `to_json` made; raises KeyError, TypeError, ValueError or AttributeError for anything else."""
        for requestid, (failed, at) in saved["ids"].items():
            self.ids[requestid] = Remembered(bool(failed), float(at))
        for externalid, value in saved["open"].items():
            if value is None:
                self.open.pop(externalid, None)
            else:
                self.open[externalid] = Open(value[0])

    def everything(self) -> Changes:
        """Return the whole memory."""
        return Changes(dict(self.ids), dict(self.open))


def to_json(changes: Changes) -> dict[str, Any]:
    """Return the changes for a file: no bodies, no requestid of an open interaction, nothing sensitive.

    `{"ids": {requestid: [failed 0|1, at]}, "open": {externalid: [provider] | null}}`
    """
    return {
        "ids": {requestid: [int(known.failed), known.at] for requestid, known in changes.ids.items()},
        "open": {externalid: opened and [opened.provider] for externalid, opened in changes.open.items()},
    }
