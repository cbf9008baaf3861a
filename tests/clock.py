"""Time that passes only when somebody waits, and then at once."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass
class QuickClock:
    """A throttle.Clock: `waits` are the seconds asked for; without `began` the time of day is the machine's."""

    began: datetime | None = None
    passed: float = 0.0
    waits: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> datetime:
        """See throttle.Clock."""
        return self.began + timedelta(seconds=self.passed) if self.began else datetime.now(UTC)

    def monotonic(self) -> float:
        """See throttle.Clock."""
        return self.passed

    def wait(self, seconds: float, until: threading.Event) -> None:
        """See throttle.Clock."""
        with self._lock:
            self.waits.append(seconds)
            if not until.is_set():
                self.passed += seconds
