"""What happens in a run, as it is told to whoever listens (ports.Observer).

Pure. The API's words come without sensitive values. Requests come with their bodies, which no listener shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from reconciler.errors import ExitCode, Problem

if TYPE_CHECKING:  # every run may fail, and that it did is told without loading any of these
    from reconciler.delivery.answers import Answer
    from reconciler.delivery.batch import Invocation, Request
    from reconciler.delivery.report import Report
    from reconciler.planning.saved_plan import SavedPlan
    from reconciler.state.model import Outcome, State

Cause = Literal["backoff", "retry-after", "rate", "release-attempt"]


@dataclass(frozen=True, slots=True)
class OutputsChecked:
    """The files that this run was asked for are nothing that it reads or remembers: they may be written from now on."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A stage of the run is over, which took so many seconds: reading, say."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Planned:
    """This is what would be done, and what stands against it."""

    shown: SavedPlan


@dataclass(frozen=True, slots=True)
class Started:
    """The intent is saved, and these chains are sent next; `expected` of their requests will be done at most."""

    chains: tuple[tuple[Request, ...], ...]
    expected: int


@dataclass(frozen=True, slots=True)
class Sent:
    """An Invocation goes out; `number` tells it from the others of the run, `attempt` counts from 1."""

    number: int
    attempt: int
    invocation: Invocation


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of that, after so many seconds; `reason` is the API's word on what it didn't accept."""

    number: int
    attempt: int
    invocation: Invocation
    answer: Answer
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing happens for so many seconds; about an Invocation, unless `number` is 0.

    `cause`: after a failure, as the API asked for, because calls are spaced, or before a release is tried again.
    """

    seconds: float
    reason: str
    cause: Cause
    number: int = 0


@dataclass(frozen=True, slots=True)
class Settled:
    """These outcomes are in the journal, and so many more requests are done; a burn always succeeds."""

    outcomes: tuple[Outcome, ...]
    succeeded: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Saved:
    """The state was saved, which took so many seconds: the intent, or what became of it (`folded`)."""

    state: State
    seconds: float
    folded: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing more is sent."""


@dataclass(frozen=True, slots=True)
class Reported:
    """All is done and saved."""

    report: Report


@dataclass(frozen=True, slots=True)
class Erred:
    """The run ends early: `code` is the error's, `command` one to paste; `problems` are those of files."""

    code: str
    message: str
    exit_code: ExitCode
    hint: str = ""
    command: str = ""
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing follows."""

    exit_code: ExitCode


Event = (
    OutputsChecked
    | Staged
    | Planned
    | Started
    | Sent
    | Answered
    | Waiting
    | Settled
    | Saved
    | Ended
    | Reported
    | Erred
    | Finished
)
