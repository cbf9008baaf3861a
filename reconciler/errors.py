"""What can go wrong, as a person meets it: one root, a tree below it, an exit code each.

ReconcilerError          1
├── Declined             1   somebody was asked, and did not say yes
├── UsageError          64   the command line can't be carried out as given
├── ConfigError          1   reconciler.yaml, a variable or a flag holds something wrong
├── DeclarationError     1   interactions/ holds problems; carries all of them
├── StateError           1   the state can't be read, trusted or written
│   ├── StateMissing     5   there is no state
│   └── StateLocked      6   somebody else is writing it
├── TargetMismatch       1   the state belongs to another API or account
├── GuardRefusal         5   a guard stands against the plan
└── PlanFileError        1   a saved plan can't be read or trusted
    └── StalePlan        3   what it was made from has changed
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Literal


class ExitCode(IntEnum):
    """The documented exit codes (docs/exit-codes.md)."""

    DONE = 0
    ERROR = 1
    CHANGES = 2
    STALE_PLAN = 3
    REQUESTS_FAILED = 4
    REFUSED = 5
    LOCKED = 6
    UNKNOWN = 7
    USAGE = 64
    INTERRUPTED = 130


ProblemCode = Literal[
    "missing-path",
    "unreadable",
    "not-a-file",
    "symlink",
    "file-size",
    "file-name",
    "encoding",
    "control-character",
    "surrogate",
    "not-formatted",
    "yaml-syntax",
    "json-syntax",
    "yaml-version",
    "tab",
    "tag",
    "unknown-alias",
    "recursive-alias",
    "alias-bomb",
    "merge-key",
    "too-deep",
    "long-number",
    "key-type",
    "duplicate-key",
    "not-a-mapping",
    "api-body",
    "unknown-field",
    "action",
    "requestid",
    "missing-field",
    "missing-route",
    "missing-identity",
    "two-identities",
    "identity-in-defaults",
    "duplicate-identity",
    "identity",
    "wrong-type",
    "unquoted",
    "empty",
    "unknown-value",
    "unknown-type",
    "out-of-range",
    "dangerous-url",
    "on-change",
    "too-large",
    "key-with-spaces",
    "personal-name",
    "date",
    "policy",
    "policy-exception",
    "unknown-key",
    "wrong-value",
    "url",
    "csv-syntax",
    "column",
    "not-merged",
]
"""Every code that a problem may have; explanations.md has a section for each."""
Complaint = tuple[ProblemCode, str, str]
"""What is wrong, wherever it stands: code, message, hint."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in a file, where it is, and what to do about it.

    `line` and `column` count from 1; 0 means the file as a whole.
    `code` is stable: scripts may rely on it.
    """

    file: str
    line: int
    column: int
    code: ProblemCode
    message: str
    hint: str = ""
    warning: bool = False

    @property
    def place(self) -> str:
        """`file:line:column`, or the file alone."""
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


class ReconcilerError(Exception):
    """The root. `str(error)` is what is wrong and where; `hint` is what to do next, `command` the words to do it with.

    The words stand without `reconciler` and without the options in force, which only the command line knows.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.ERROR
    code: ClassVar[str] = "error"
    """Stable: scripts may rely on it (docs/exit-codes.md lists them)."""

    def __init__(self, message: str, *, hint: str = "", command: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.hint = hint
        self.command = command


class Declined(ReconcilerError):
    """Somebody was asked, and did not say yes."""

    code = "declined"


class UsageError(ReconcilerError):
    """The command line can't be carried out as given."""

    exit_code = ExitCode.USAGE
    code = "usage"


def explained(problems: Sequence[Problem]) -> tuple[str, tuple[str, ...]]:
    """Return hint and command that lead from problems to what the first of them means."""
    code = next(problem.code for problem in problems if not problem.warning)
    return f"What {code} means", ("explain", code)


class ConfigError(ReconcilerError):
    """A configuration file, variable or flag holds something wrong."""

    code = "configuration"

    def __init__(
        self, message: str, *, hint: str = "", command: tuple[str, ...] = (), problems: tuple[Problem, ...] = ()
    ) -> None:
        if problems:
            hint, command = explained(problems)
        super().__init__(message, hint=hint, command=command)
        self.problems = problems


class DeclarationError(ReconcilerError):
    """The declarations, or what is to become some, hold problems; `problems` are all of them, in order of place."""

    code = "declarations"

    def __init__(self, problems: tuple[Problem, ...], *, of: str = "the declarations; nothing was sent") -> None:
        errors = sum(not problem.warning for problem in problems)
        wrong = f"{errors} problem{'s' if errors != 1 else ''} in {of}."
        hint, command = explained(problems)
        super().__init__(wrong, hint=hint, command=command)
        self.problems = problems


class StateError(ReconcilerError):
    """The state or its journal can't be read, trusted or written."""

    code = "state"


class StateMissing(StateError):
    """There is no state where one is expected."""

    exit_code = ExitCode.REFUSED
    code = "no-state"


class StateLocked(StateError):
    """Another process is writing the state."""

    exit_code = ExitCode.LOCKED
    code = "locked"


class TargetMismatch(ReconcilerError):
    """The state was made against another API or account."""

    code = "other-target"


class GuardRefusal(ReconcilerError):
    """A guard stands against the plan; nothing was sent."""

    exit_code = ExitCode.REFUSED
    code = "refused"


class PlanFileError(ReconcilerError):
    """A saved plan can't be read or trusted."""

    code = "saved-plan"


class StalePlan(PlanFileError):
    """What a saved plan was made from has changed since."""

    exit_code = ExitCode.STALE_PLAN
    code = "stale-plan"
