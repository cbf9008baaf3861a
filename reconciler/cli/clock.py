"""The machine's time."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime


class SystemClock:
    """A throttle.Clock that passes by itself."""

    def now(self) -> datetime:
        """See throttle.Clock."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See throttle.Clock."""
        return time.monotonic()

    def wait(self, seconds: float, until: threading.Event) -> None:
        """See throttle.Clock."""
        until.wait(seconds)
