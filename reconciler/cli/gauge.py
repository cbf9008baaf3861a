"""How far a run is, on stderr: one line that is drawn anew on a terminal; elsewhere a line now and then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from reconciler.cli.console import Console

_BAR: Final = 30
_LEAST_BAR: Final = 10
_REDRAW: Final = 0.1  # seconds
_SILENCE: Final = 30.0  # seconds
_MEASURED: Final = 1.0  # seconds: before, a rate says nothing
_PATIENCE: Final = 0.5  # seconds: whatever takes less needs no line


class Gauge:
    """Draws how much of something is done; `monotonic` is the clock, in seconds.

    On a terminal at most ten times a second; elsewhere after each 30 s, and for each of the `steps` that the way has.
    """

    def __init__(self, console: Console, monotonic: Callable[[], float], what: str, steps: int) -> None:
        self._console, self._monotonic, self._what, self._steps = console, monotonic, what, steps
        self.bar = console.error_terminal and not console.json_log
        self.room = console.error_width - 1
        self._began = self._said_at = monotonic()
        self._drawn_at = -_REDRAW
        self._step = 0

    def tell(self, done: int, total: int, failed: int = 0) -> None:
        """Say so, where that is due."""
        now, step = self._monotonic(), self._steps * done // max(1, total)
        if self.bar:
            if done >= total or now - self._drawn_at >= _REDRAW:
                self._drawn_at = now
                said = self._said(done, total, failed)
                self._console.draw(_with_bar(said, f" {self._what}", done / max(1, total), self.room))
        elif step > self._step or (now - self._said_at >= _SILENCE and done < total):
            self._step, self._said_at = step, now
            self._console.note(self._said(done, total, failed))

    def _said(self, done: int, total: int, failed: int) -> str:
        elapsed = self._monotonic() - self._began
        parts = [f"{done:,}/{total:,} {self._what}" + (f", {failed:,} failed" if failed else "")]
        if elapsed >= _MEASURED and 0 < done < total:
            rate = done / elapsed
            parts += [f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s", _left((total - done) / rate)]  # noqa: PLR2004
        return " · ".join(parts)


class ReadingProgress:
    """How far reading the declarations is; nothing is said of what takes but a moment."""

    def __init__(self, console: Console, monotonic: Callable[[], float]) -> None:
        self._console, self._monotonic, self._began = console, monotonic, monotonic()
        self._gauge = Gauge(console, monotonic, "files read", steps=0)

    def __call__(self, done: int, total: int) -> None:
        """Take so many of so many files as read."""
        if done >= total:
            self._console.draw("")
        elif self._monotonic() - self._began >= _PATIENCE:
            self._gauge.tell(done, total)


def _with_bar(said: str, what: str, part: float, room: int) -> str:
    """Return what is said behind a bar, where there is room for one; without `what` is counted, where it is tight."""
    said = said if len(said) <= room else said.replace(what, "")
    size = min(_BAR, room - len(said) - len("[] "))
    bar = f"[{'=' * int(size * part):<{size}}] " if size >= _LEAST_BAR else ""
    return f"{bar}{said}"[:room]


def _left(seconds: float) -> str:
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} left"
    return f"{max(1, seconds):.0f} s left"
