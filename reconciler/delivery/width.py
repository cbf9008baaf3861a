"""How many calls are on their way at once: a fixed number, or felt for as TCP feels for its window (RFC 5681).

What the API can take is not documented [D]. So it starts with a few, and each success allows one more; a 429 halves
what is allowed, and so do answers that take much longer than with few calls; from then on it grows slowly.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

FIRST: Final = 4
WIDEST: Final = 16
_SLOW: Final = 1.5  # times as long as with few calls: more of them gain nothing by then
_SMOOTH: Final = 0.06
_LIFT: Final = 0.005  # of a call, for each success: what was too much is tried again, but seldom


class Width:
    """Lets so many calls through at a time, a fixed number or what is felt for; may be used from several threads.

    `most` is never exceeded. Times are seconds of one monotonic clock.
    """

    def __init__(self, fixed: int | None) -> None:
        self.most = WIDEST if fixed is None else fixed
        self._fixed = fixed is not None
        self._width = float(FIRST if fixed is None else fixed)
        self._ceiling = float(self.most)
        self._felt = False
        self._narrowed = float("-inf")
        self._seconds: float | None = None
        self._usual = float("inf")
        self._calls = 0
        self._changed = threading.Condition()

    @property
    def allowed(self) -> int:
        """How many calls may be on their way now."""
        return int(self._width)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Wait until there is room for a call, and take it; there is, as soon as others have ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._calls < self.allowed)
            self._calls += 1
        try:
            yield
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    def succeeded(self, began: float, ended: float) -> None:
        """Note a call that was answered well."""
        with self._changed:
            if self._fixed or began < self._narrowed:
                return
            took = ended - began
            self._seconds = took if self._seconds is None else self._seconds + (took - self._seconds) * _SMOOTH
            if self.allowed <= FIRST:
                self._usual = self._seconds
            if self._seconds > _SLOW * self._usual:
                self._narrow(ended, FIRST)
            else:
                step = 1.0 / self._width if self._felt else 1.0
                self._ceiling = min(self._ceiling + _LIFT, float(self.most))
                self._width = min(self._width + step, self._ceiling)
                self._changed.notify_all()

    def throttled(self, began: float, ended: float) -> None:
        """Note a 429; those of calls that began before it was heeded say nothing new."""
        with self._changed:
            if not self._fixed and began >= self._narrowed:
                self._narrow(ended, 1)

    def _narrow(self, now: float, least: int) -> None:
        self._ceiling = max(float(FIRST), self.allowed - 1.0)
        self._width = float(max(least, self.allowed // 2))
        self._narrowed, self._seconds, self._felt = now, None, True
