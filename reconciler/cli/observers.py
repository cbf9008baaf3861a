"""All who are told what happens in a run, as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a run that tells nobody loads none of it
    from reconciler.delivery.events import Event
    from reconciler.delivery.ports import Observer


class Observers:
    """An Observer that tells others, in the order in which they came."""

    def __init__(self) -> None:
        self._all: list[Observer] = []

    def add(self, observer: Observer) -> None:
        """Tell this one, too, from now on."""
        self._all.append(observer)

    def told(self, event: Event) -> None:
        """See ports.Observer."""
        for each in self._all:
            each.told(event)
