"""How far an apply is, on stderr."""

from __future__ import annotations

import time
from threading import Lock
from typing import Final

from reconciler.cli.console import Console
from reconciler.delivery.events import Ended, Event, Settled, Started, Waiting
from reconciler.escape import visible

_BAR: Final = 30
_REDRAW: Final = 0.1


class ProgressLine:
    """A bar on a terminal, else a line for each tenth of the way."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = Lock()
        self._total = self._done = self._failed = self._tenth = 0
        self._drawn = 0.0
        self._waiting = self._again = ""

    def told(self, event: Event) -> None:
        """See ports.Observer."""
        match event:
            case Started(expected=requests):
                self._total = requests
                self._draw(final=False)
            case Settled():
                self._settled(event)
            case Waiting(cause="rate"):
                pass  # most of them are short, and the one who was told to wait has said why
            case Waiting():
                self._wait(event)
            case Ended() if self._bar:
                self._console.raw_error("\r\x1b[K")

    def _settled(self, event: Settled) -> None:
        with self._lock:
            self._done += event.succeeded + event.failed
            self._failed += event.failed
            self._waiting = ""
            self._draw(final=self._done >= self._total)

    def _wait(self, event: Waiting) -> None:
        with self._lock:
            self._waiting, self._again = event.reason, f"; trying again in {event.seconds:.1f} s"
            if self._bar:
                self._draw(final=True)
            else:
                self._console.note(self._waiting + self._again)

    @property
    def _bar(self) -> bool:
        return self._console.error_terminal and not self._console.json_log

    def _draw(self, *, final: bool) -> None:
        if not self._bar:
            self._line()
        elif final or time.monotonic() - self._drawn >= _REDRAW:
            self._drawn = time.monotonic()
            self._console.raw_error(f"\r{self._bar_text(self._console.width - 1)}\x1b[K")

    def _bar_text(self, room: int) -> str:
        if not self._waiting:
            filled = _BAR * self._done // max(1, self._total)
            return f"[{'=' * filled}{' ' * (_BAR - filled)}] {self._said()}"[:room]
        # How long matters more than the whole reason, which the report repeats.
        lead, reason = f"{self._done}/{self._total} · ", visible(self._waiting)
        left = room - len(lead) - len(reason) - len(self._again)
        if left < 0:
            reason = reason[: max(0, len(reason) + left - 1)] + "…"
        return f"{lead}{reason}{self._again}"[:room]

    def _line(self) -> None:
        tenth = 10 * self._done // max(1, self._total)
        if tenth > self._tenth:
            self._tenth = tenth
            self._console.note(self._said())

    def _said(self) -> str:
        failed = f", {self._failed} failed" if self._failed else ""
        return f"{self._done}/{self._total} requests answered{failed}"
