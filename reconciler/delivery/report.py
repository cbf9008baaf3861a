"""What became of an apply, as data.

Pure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from reconciler.errors import ExitCode
from reconciler.state.model import Failed, Kind, Pending, State


@dataclass(frozen=True, slots=True)
class Report:
    """What became of an apply; `problems` are the reasons why something could not be sent or settled.

    `gave_up`: something could not be sent at all, for another reason than an interruption.
    """

    state: State
    succeeded: Counter[Kind]
    failed: tuple[tuple[str, Failed], ...]
    problems: tuple[str, ...]
    interrupted: bool
    gave_up: bool

    @property
    def unknown(self) -> tuple[tuple[str, Pending], ...]:
        """The requests whose outcome isn't known, whichever run sent them."""
        return tuple((requestid, link) for requestid, link in self.state.pending.items() if link.unknown)

    @property
    def unsent(self) -> tuple[tuple[str, Pending], ...]:
        """The requests that have certainly not been processed."""
        return tuple((requestid, link) for requestid, link in self.state.pending.items() if not link.unknown)

    @property
    def exit_code(self) -> ExitCode:
        """The documented code; where several hold: 1, then 130, 7, 4, 0."""
        if self.gave_up:
            return ExitCode.ERROR
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if self.unknown:
            return ExitCode.UNKNOWN
        return ExitCode.REQUESTS_FAILED if self.failed else ExitCode.DONE
