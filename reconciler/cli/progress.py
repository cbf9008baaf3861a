"""How far an apply is, on stderr."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from reconciler.cli.console import Console
from reconciler.cli.gauge import Gauge
from reconciler.delivery.events import Ended, Event, Settled, Started, Waiting
from reconciler.escape import visible


class ProgressLine:
    """How far an apply is. See ports.Observer."""

    def __init__(self, console: Console, monotonic: Callable[[], float]) -> None:
        self._console = console
        self._gauge = Gauge(console, monotonic, "requests answered", steps=10)
        self._lock = Lock()
        self._total = self._done = self._failed = 0

    def told(self, event: Event) -> None:
        """See ports.Observer."""
        match event:
            case Started(expected=requests):
                self._total = requests
                self._gauge.tell(0, requests)
            case Settled(succeeded=succeeded, failed=failed):
                with self._lock:
                    self._done += succeeded + failed
                    self._failed += failed
                    self._gauge.tell(self._done, self._total, self._failed)
            case Waiting(cause="rate"):
                pass  # most of them are short, and the one who was told to wait has said why
            case Waiting():
                with self._lock:
                    self._wait(event.reason, f"; trying again in {event.seconds:.1f} s")
            case Ended():
                self._console.draw("")

    def _wait(self, reason: str, again: str) -> None:
        if self._gauge.bar:
            self._console.draw(_shortened(f"{self._done:,}/{self._total:,} · ", reason, again, self._gauge.room))
        else:
            self._console.note(reason + again)


def _shortened(lead: str, reason: str, again: str, room: int) -> str:
    """Return all of it, but for as much of the reason as there is no room for: the report repeats it."""
    lead = lead if len(lead) + len(again) < room else ""
    reason, left = visible(reason), room - len(lead) - len(again)
    if len(reason) > left:
        reason = reason[: max(0, left - 1)] + "…"
    return f"{lead}{reason}{again}"[:room]
