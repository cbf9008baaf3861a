"""Objects of a place that may not answer: tries again, and reads back what it can't tell.

A condition makes a write safe to repeat, and a body that no other run could write makes it known again: where it is
there, the write went through, whatever was answered. Where neither it nor what it should have replaced is there,
another run was, and nobody may go on as if it were not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

from reconciler.errors import StateError
from reconciler.state.stores.interface import Found, Objects, Put, Refused, Together, Unclear
from reconciler.state.stores.timing import Timing

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
REACH: Final = "See that the place can be reached, then run this again."
AGAIN: Final = (
    f"Nothing more was sent. {REACH} What was sent is known from what is saved, and settled under its requestids."
)
T = TypeVar("T")


class Overtaken(Exception):
    """Another run wrote the object, or removed it; `found` is what is there now."""

    def __init__(self, name: str, found: Found | None) -> None:
        super().__init__(name)
        self.name = name
        self.found = found


class PatientObjects:
    """As `Objects`, for who wants a result: raises StateError where the place gives none for too long."""

    def __init__(self, objects: Objects, timing: Timing) -> None:
        self._objects = objects
        self._timing = timing
        self.place = objects.place
        self.together = isinstance(objects, Together)

    def get(self, name: str) -> Found | None:
        """Return the object as it is now; None if there is none."""
        return self._tried(lambda: self._objects.get(name), "it can't be read", REACH)

    def names(self, start: str) -> list[str]:
        """Return the names of all objects that start so, sorted."""
        return sorted(self._tried(lambda: self._objects.names(start), "it can't be read", REACH))

    def remove(self, names: Sequence[str]) -> None:
        """Remove what is of no use; where that can't be done now, a later run will."""
        if names:
            with suppress(StateError, Unclear):
                self._objects.remove(names)

    def write(self, *puts: Put) -> list[object]:
        """Write all, and return the new versions. Raises Overtaken, and StateError where that can't be told or done."""
        done: dict[str, object] = {}

        def write() -> None:
            left = [put for put in puts if put.name not in done]
            try:
                self._put(left, done)
            except (Refused, Unclear) as said:
                self._look_for(left, done)
                if len(done) < len(puts):
                    raise Unclear(str(said) or "it refuses, though nothing was changed") from said

        self._tried(write, "it can't be written", AGAIN)
        return [done[put.name] for put in puts]

    def _put(self, puts: Sequence[Put], done: dict[str, object]) -> None:
        """Write, and note what is done."""
        if isinstance(self._objects, Together):
            done.update(zip([put.name for put in puts], self._objects.put_all(puts), strict=True))
            return
        for put in puts:
            done[put.name] = self._objects.put(put.name, put.body, put.expected)

    def _look_for(self, puts: Sequence[Put], done: dict[str, object]) -> None:
        """Note which of these are there after all; raises Overtaken for what another run wrote."""
        for put in puts:
            if put.name in done:
                continue
            found = self._objects.get(put.name)
            if found and found.body == put.body:
                done[put.name] = found.version
            elif (found.version if found else None) != put.expected:
                raise Overtaken(put.name, found)

    def _tried(self, act: Callable[[], T], what: str, hint: str) -> T:
        """Return what it gives, having tried again for a while where that is unclear."""
        until, wait = self._timing.awake() + self._timing.patience, _FIRST_PAUSE
        while True:
            try:
                return act()
            except Unclear as why:
                if self._timing.awake() >= until:
                    raise StateError(f"{self.place}: {what}: {why}", hint=hint) from why
            self._timing.pause(wait)
            wait = min(2 * wait, _LONGEST_PAUSE)
