"""When to send: a signal that ends sending, and a limiter that slows down when the API says 429.

Time comes in through a clock, so tests need not wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

FIRST_INTERVAL: Final = 0.2
LONGEST_INTERVAL: Final = 10.0


class Clock(Protocol):
    """Time, as apply sees it."""

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def wait(self, seconds: float, until: threading.Event) -> None:
        """Return after so many seconds, or as soon as the event is set."""
        ...


class StopSignal:
    """Ends sending, once and for all; calls in flight are waited for."""

    def __init__(self) -> None:
        self.given = threading.Event()
        self.interrupted = False

    def give(self) -> None:
        """Stop sending because something is wrong."""
        self.given.set()

    def interrupt(self) -> None:
        """Stop sending because the user or the system asked for it."""
        self.interrupted = True
        self.given.set()


def _to_nobody(_seconds: float) -> None:
    """Wait without a word."""


class RateLimiter:
    """A shared schedule of calls: no gap between them, until the API throttles; then wider, and narrower again.

    The limit is across all VCC APIs of the account and its numbers are not documented [D], so it is felt for:
    each 429 doubles the gap between any two calls of this run, each success takes a fifth off it. Calls that were on
    their way already when one was heeded say nothing new.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._interval = 0.0
        self._next = 0.0
        self._slowed = float("-inf")

    def take_turn(self, stop_signal: StopSignal, patience: float, told: Callable[[float], None] = _to_nobody) -> bool:
        """Wait for this call's turn, or for the stop signal; False if it is more than `patience` seconds away.

        `told` hears how many seconds it takes, where it takes any.
        """
        with self._lock:
            now = self._clock.monotonic()
            turn = max(now, self._next)
            if turn - now > patience:
                return False
            self._next = turn + self._interval
        if turn > now:
            told(turn - now)
            self._clock.wait(turn - now, stop_signal.given)
        return True

    def slow_down(self, retry_after: float, began: float) -> None:
        """Note a 429 of a call: nothing goes out for `retry_after` seconds, and less often from then on."""
        with self._lock:
            now = self._clock.monotonic()
            if began >= self._slowed:
                self._interval = min(LONGEST_INTERVAL, max(FIRST_INTERVAL, self._interval * 2))
                self._slowed = now
            self._next = max(self._next, now + max(retry_after, self._interval))

    def speed_up(self) -> None:
        """Note a success."""
        with self._lock:
            self._interval = self._interval * 0.8 if self._interval > FIRST_INTERVAL / 4 else 0.0
