"""A fault: an effect, the calls that it is for, and how often. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Final, Literal

from reconciler.sandbox.effects import Effect
from reconciler.sandbox.invocation import Request
from reconciler.sandbox.record import Call

Path = Literal["invoke", "token", "any"]
REQUEST_MATCHERS: Final = ("action", "externalid", "requestid", "route")


@dataclass(frozen=True, slots=True)
class Match:
    """Which calls a fault is for: those to `path` whose body holds one request that has all the given values.

    `nth`: the first of them that counts, from 1. For `Fail` the requests are counted, not the calls.
    """

    path: Path = "invoke"
    action: str | None = None
    externalid: str | None = None
    requestid: str | None = None
    route: str | None = None
    nth: int = 1

    def fits(self, call: Call) -> bool:
        """Whether the call is one of these."""
        if self.path not in ("any", call.kind):
            return False
        return not self.values or any(self.fits_request(request) for request in call.requests)

    def fits_request(self, request: Request) -> bool:
        """Whether the request has all the given values."""
        return all(getattr(request, name) == value for name, value in self.values)

    @property
    def values(self) -> tuple[tuple[str, str], ...]:
        """The given values of a request, by field."""
        pairs = ((name, getattr(self, name)) for name in REQUEST_MATCHERS)
        return tuple((name, value) for name, value in pairs if value is not None)


@dataclass(frozen=True, slots=True)
class Fault:
    """An effect, for the calls that match, `times` times (None: always). `str()` is its text in the fault language."""

    effect: Effect
    match: Match = Match()
    times: int | None = 1

    def __str__(self) -> str:
        parts = [str(self.effect)]
        if self.match.path != "invoke":
            parts.append(f"path={self.match.path}")
        parts += [f"{name}={shlex.quote(value)}" for name, value in self.match.values]
        if self.match.nth != 1:
            parts.append(f"nth={self.match.nth}")
        if self.times != 1:
            parts.append(f"times={'always' if self.times is None else self.times}")
        return " ".join(parts)
