"""All who are told what happens in a run, as one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from reconciler.delivery.events import Staged

if TYPE_CHECKING:  # a run that tells nobody loads none of it
    from reconciler.delivery.events import Event
    from reconciler.delivery.ports import Observer


class Observers:
    """An Observer that tells others, in the order in which they came."""

    def __init__(self) -> None:
        self._all: list[Observer] = []
        self._since = time.perf_counter()

    def add(self, observer: Observer) -> None:
        """Tell this one, too, from now on."""
        self._all.append(observer)

    def told(self, event: Event) -> None:
        """See ports.Observer."""
        for each in self._all:
            each.told(event)

    def ended(self, stage: str) -> None:
        """Tell how long a stage took, since the end of the one before it."""
        now = time.perf_counter()
        took, self._since = now - self._since, now
        self.told(Staged(stage, took))
