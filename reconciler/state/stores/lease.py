"""The lock of a place that several share: an object that says who holds the state, written anew as long as they do.

It is taken by creating it, or by replacing one that was given back or is dead, on the condition that it is still the
one that was read. Dead is what did not change for its whole time by the clock of who waits for it: no two clocks are
compared. Who holds it goes by a clock of their own, and trusts it for less than that time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import orjson

from reconciler.errors import StateError, StateLocked
from reconciler.state.stores.interface import Found, Put
from reconciler.state.stores.owner import named, owner
from reconciler.state.stores.patient import Overtaken, PatientObjects
from reconciler.state.stores.timing import Timing

LOCK: Final = ".lock"
_LONGEST: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Holder:
    """What a lease says, whoever wrote it."""

    id: str
    who: str
    seconds: float
    released: bool


def holder(found: Found, timing: Timing) -> Holder:
    """Return what the lease says; one that can't be read counts as held by somebody, until it is dead."""
    try:
        kept = orjson.loads(found.body)
        seconds = min(max(float(kept["seconds"]), 0.0), _LONGEST)
        return Holder(str(kept["id"]), named(kept), seconds, kept["released"] is True)
    except (ValueError, KeyError, TypeError, AttributeError):
        return Holder("", "another run", timing.lease, released=False)


class Lease:
    """A lease that we hold, renewed by one thread. `lost` is set once it is another's."""

    def __init__(self, kept: dict[str, Any], timing: Timing) -> None:
        self.lost: StateError | None = None
        self._kept = kept
        self._timing = timing
        self._version: object = None
        self._confirmed = 0.0

    @property
    def fresh(self) -> bool:
        """Whether nobody else can have taken it for dead."""
        return self._timing.always() - self._confirmed < self._timing.trusted

    def next(self, *, released: bool = False) -> Put:
        """Return how it is written next."""
        self._kept["renewed"] += 1
        return Put(LOCK, _body({**self._kept, "released": released}), self._version)

    def confirm(self, version: object, asked: float) -> None:
        """Take in that it was written; `asked`: when, at the earliest."""
        self._version, self._confirmed = version, asked

    def taken(self, overtaken: Overtaken) -> StateError:
        """Return, for good, that it is another's."""
        self.lost = lost(overtaken.found, self._timing)
        return self.lost


def lost(found: Found | None, timing: Timing) -> StateLocked:
    """Return the error of a run that has the state no more, with who has it."""
    there = holder(found, timing) if found else None
    by = f"it was taken by {there.who}" if there else "it was removed"
    return StateLocked(
        f"this run lost the lock of the state: {by}",
        hint="Nothing more was sent. Once that run is done, run this again: what was sent is pending in the state, and "
        "settled under the same requestids.",
    )


def acquire(
    objects: PatientObjects, command: str, timing: Timing, *, timeout: float, say: Callable[[str], None]
) -> Lease:
    """Take the lease, from others only once they gave it back or it is dead; wait for the living up to `timeout` s.

    Whether one is alive is looked for in any case. Raises StateLocked, naming who has it.
    """
    kept = {"id": str(uuid4()), **owner(command), "seconds": timing.lease, "renewed": 0, "released": False}
    watch, until = _Watch(timing), timing.awake() + timeout
    while True:
        asked = timing.awake()
        found = objects.get(LOCK)
        if found is None or watch.is_free(found, asked):
            with suppress(Overtaken):
                return _take(objects, kept, found, timing)
            continue
        there = holder(found, timing)
        if watch.alive and timing.awake() >= until:
            raise _locked(objects.place, there)
        if watch.is_new(there):
            say(_waiting(there, timeout))
        timing.pause(timing.poll)


def _take(objects: PatientObjects, kept: dict[str, Any], found: Found | None, timing: Timing) -> Lease:
    lease, asked = Lease(kept, timing), timing.always()
    [version] = objects.write(Put(LOCK, _body(kept), found.version if found else None))
    lease.confirm(version, asked)
    return lease


class _Watch:
    """What a waiter has seen of a lease."""

    def __init__(self, timing: Timing) -> None:
        self.alive = False
        self._timing = timing
        self._seen: Found | None = None
        self._since = 0.0
        self._told = ""

    def is_free(self, found: Found, asked: float) -> bool:
        """Whether it may be taken: it was given back, or has not changed for its whole time."""
        there = holder(found, self._timing)
        if there.released:
            return True
        if self._seen is None or self._seen.version != found.version:
            self.alive = self._seen is not None
            self._seen, self._since = found, self._timing.awake()
        return asked - self._since >= there.seconds

    def is_new(self, there: Holder) -> bool:
        """Whether this one has not been told of yet."""
        told, self._told = self._told, there.id
        return told != there.id


def _waiting(there: Holder, timeout: float) -> str:
    ends = f"it counts as dead where it shows no sign of life for {there.seconds:g} s"
    if not timeout:
        return f"The state is locked by {there.who}; {ends}. Looking for one."
    return f"Waiting up to {timeout:g} s for the lock of {there.who}; {ends}."


def _locked(place: str, there: Holder) -> StateLocked:
    return StateLocked(
        f"{place}: the state is locked by {there.who}",
        hint="It is alive. Wait until it is done, or use --lock-timeout SECONDS to wait for it here; or, to have it "
        "send nothing more, take the lock from it",
        command=("state", "unlock", there.id),
    )


def unlock(objects: PatientObjects, lease: str, timing: Timing) -> str:
    """Take the lease of this id from whoever holds it, and return who that was."""
    while True:
        found = objects.get(LOCK)
        there = holder(found, timing) if found else None
        if not (found and there) or there.released:
            raise StateError(f"{objects.place}: the state is not locked")
        if there.id != lease:
            raise StateError(
                f"{objects.place}: the lock is that of {there.who}",
                hint="To take that one",
                command=("state", "unlock", there.id),
            )
        kept = {"id": lease, **owner("state unlock"), "seconds": 0, "renewed": 0, "released": True}
        with suppress(Overtaken):  # renewed just now
            objects.write(Put(LOCK, _body(kept), found.version))
            return there.who


def _body(kept: dict[str, Any]) -> bytes:
    return orjson.dumps(kept, option=orjson.OPT_APPEND_NEWLINE)
