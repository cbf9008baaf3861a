"""The faults that wait for their calls. Pure; a lock makes it safe to add to while calls are served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

from reconciler.sandbox.effects import CallEffect, Effect, Fail
from reconciler.sandbox.invocation import Request
from reconciler.sandbox.language import parse
from reconciler.sandbox.match import Fault, Match
from reconciler.sandbox.record import Call

__all__ = ["Fault", "Faults", "Match", "parse"]


@dataclass(slots=True, eq=False)
class _Armed:
    fault: Fault
    seen: int = 0
    used: int = 0

    def due(self) -> bool:
        # Counts one more match; whether the fault is to be applied to it.
        self.seen += 1
        return self.seen >= self.fault.match.nth

    @property
    def spent(self) -> bool:
        return self.fault.times is not None and self.used >= self.fault.times


@dataclass(slots=True)
class Faults:
    """The faults that wait. Of several that are due for a call the one added first is applied, the others wait on.

    Failures (`Fail`) are kept apart, by externalid: they concern requests, and stand beside what happens to the call.
    """

    _calls: list[_Armed] = field(default_factory=list)
    _failures: dict[str | None, list[_Armed]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def add(self, *faults: Fault | str) -> int:
        """Add faults, or texts of them, behind those that wait; returns how many. Raises UsageError, adding none."""
        parsed = [one for fault in faults for one in (parse(fault) if isinstance(fault, str) else (fault,))]
        with self._lock:
            for fault in parsed:
                if isinstance(fault.effect, Fail):
                    self._failures.setdefault(fault.match.externalid, []).append(_Armed(fault))
                else:
                    self._calls.append(_Armed(fault))
        return len(parsed)

    def clear(self) -> None:
        """Drop all that wait."""
        with self._lock:
            self._calls.clear()
            self._failures.clear()

    @property
    def waiting(self) -> tuple[Fault, ...]:
        """Those that have times left; each kind in the order of adding."""
        with self._lock:
            return tuple(armed.fault for group in (self._calls, *self._failures.values()) for armed in group)

    def take(self, call: Call) -> CallEffect | None:
        """Return what happens to a call, None for nothing, and count it."""
        with self._lock:
            effect = _take(self._calls, lambda match: match.fits(call))
        return None if isinstance(effect, Fail) else effect

    def take_failure(self, request: Request) -> bool:
        """Return whether a request fails, and count it."""
        with self._lock:
            groups = [self._failures.get(key, []) for key in {request.externalid, None}]
            taken = [_take(group, lambda match: match.fits_request(request)) for group in groups if group]
            return any(effect is not None for effect in taken)


def _take(group: list[_Armed], fits: Callable[[Match], bool]) -> Effect | None:
    due = [armed for armed in group if fits(armed.fault.match) and armed.due()]
    if not due:
        return None
    due[0].used += 1
    if due[0].spent:
        group.remove(due[0])
    return due[0].fault.effect
