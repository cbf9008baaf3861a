"""How long things take in a place that several share, in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_COUNTS_SLEEP: Final[int] = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def since_boot() -> float:
    """Return a time that never goes back, and goes on while the machine sleeps: others don't wait for it."""
    return time.clock_gettime(_COUNTS_SLEEP)


@dataclass(frozen=True, slots=True)
class Timing:
    """How a place is used; the clocks are this machine's alone, and never compared with another's."""

    lease: float = 60.0
    """A lease that did not change for so long is dead."""
    renew: float = 10.0
    """Between two renewals of it."""
    group: float = 1.0
    """Between two groups of outcomes, where nothing waits for one."""
    poll: float = 2.0
    """Between two looks at a lease that another run has."""
    patience: float = 20.0
    """For a place that gives no clear answer."""
    awake: Callable[[], float] = time.monotonic
    """What a waiter goes by: it has not looked while it slept."""
    always: Callable[[], float] = since_boot
    """What a holder goes by."""
    pause: Callable[[float], None] = time.sleep

    @property
    def trusted(self) -> float:
        """How long after its last renewal a lease is taken as held: a call that is sent then takes time, too."""
        return self.lease * 0.75
