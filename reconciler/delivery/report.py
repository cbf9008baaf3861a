"""What became of an apply, as data.

Pure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from reconciler.errors import ExitCode
from reconciler.interaction import is_once
from reconciler.planning.plan import Change, Reason
from reconciler.state.model import Failed, Kind, Pending, State


class Held(NamedTuple):
    """An interaction that waits for a person; `requests` are (action, requestid) of what is in doubt."""

    address: str
    why: str
    requests: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What became of an apply; `problems` are the reasons why something could not be sent or settled.

    `gave_up`: something could not be sent at all, for another reason than an interruption. `holds` is what the plan
    held; `hold_unknown`: so will the next one hold whatever is unknown. `part`: the addresses that it was about, where
    it was not about all, and `left_out` the words for how much that leaves out.
    """

    state: State
    succeeded: Counter[Kind]
    failed: tuple[tuple[str, Failed], ...]
    problems: tuple[str, ...]
    interrupted: bool
    gave_up: bool
    holds: tuple[Change, ...] = ()
    hold_unknown: bool = False
    part: frozenset[str] | None = None
    left_out: str = ""

    @property
    def _pending(self) -> dict[str, Pending]:
        pending = self.state.pending.items()
        return {rid: link for rid, link in pending if self.part is None or link.address in self.part}

    @property
    def held(self) -> tuple[Held, ...]:
        """What waits for a person, by address."""
        chains, failures = self.state.chains(), self.state.failures()
        held = []
        for address, why in sorted(self._held().items()):
            links = [(link.kind.value, requestid) for requestid, link in chains.get(address, ()) if link.unknown]
            doubts = [(doubt.action, requestid) for requestid, doubt in failures.get(address, ()) if doubt.resent]
            held.append(Held(address, why, tuple(links or doubts)))
        return tuple(held)

    def _held(self) -> dict[str, str]:
        """Return why an interaction waits for a person, by address."""
        held = {change.address: str(change.reason) for change in self.holds}
        for link in self._pending.values():
            if link.held:
                held[link.address] = link.held
            elif self.hold_unknown and not link.unsent:
                held.setdefault(link.address, Reason.HELD_POLICY)
        return held

    @property
    def unknown(self) -> tuple[tuple[str, Pending], ...]:
        """The requests whose outcome isn't known, whichever run sent them, and which the next apply settles."""
        held = self._held()
        return tuple(
            (requestid, link) for requestid, link in self._pending.items() if link.unknown and link.address not in held
        )

    @property
    def unsent(self) -> tuple[tuple[str, Pending], ...]:
        """The requests that have certainly not been processed."""
        return tuple((requestid, link) for requestid, link in self._pending.items() if not link.unknown)

    def maybe_open(self, failure: Failed) -> bool:
        """Whether a first dispatch keeps failing for certain, as one does where the interaction is open already."""
        again = failure.action == "dispatch" and failure.attempts > 1 and not failure.resent
        return again and not is_once(failure.address) and failure.address not in self.state.interactions

    @property
    def exit_code(self) -> ExitCode:
        """The documented code; where several hold: 1, then 130, 7, 4, 0."""
        if self.gave_up:
            return ExitCode.ERROR
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if self.unknown or self.held:
            return ExitCode.UNKNOWN
        return ExitCode.REQUESTS_FAILED if self.failed else ExitCode.DONE
