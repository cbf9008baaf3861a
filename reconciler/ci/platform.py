"""What a pipeline needs of the platform that it runs on. Each platform is a module that implements this."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class Proposal:
    """A pull request or merge request: its number, the commit that it proposes, and the branch it is for."""

    number: int
    head: str
    base: str


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment of ours."""

    id: int
    body: str


class Trigger(StrEnum):
    """Why a pipeline runs."""

    PROPOSAL = "proposal"
    OUTSIDE = "proposal from outside"
    """As PROPOSAL, but with the default branch checked out and a token that can write."""
    PUSH = "push"
    SCHEDULE = "schedule"
    MANUAL = "started by a person"


class Verdict(StrEnum):
    """What a plan came to, as the commit's status says it. In the first two cases it was shown whole."""

    PLANNED = "success"
    REFUSED = "failure"
    UNPLANNED = "error"


class Setting(NamedTuple):
    """A setting of the platform that the workflows rely on: where it is, why, and how to see whether it is in force."""

    where: str
    why: str
    holds: Callable[[], bool]
    """Raises PlatformError where the token may not see it."""


class Platform(Protocol):
    """One repository on one platform, as the run that we are part of sees it."""

    git_login: tuple[str, str]
    """The user name and the token for the repository's remote."""
    noun: str
    """`pull request` or `merge request`."""
    sign: str
    """What stands before its number."""

    @property
    def trigger(self) -> Trigger:
        """Why it runs."""

    @property
    def run_url(self) -> str:
        """Where a person looks at it."""

    @property
    def default_branch(self) -> str:
        """What the repository calls its main branch."""

    @property
    def branch(self) -> str:
        """The branch that runs; of a proposal, the one that it is for."""

    @property
    def proposal(self) -> Proposal | None:
        """The proposal that this run is about."""

    def is_current(self, proposal: Proposal) -> bool:
        """Whether it is open, and its commit still what it proposes."""

    def merged(self, commit: str) -> Iterable[Proposal]:
        """Return the merged proposals for the default branch that brought this commit into it."""

    def open_proposals(self) -> Iterator[Proposal]:
        """Yield those for the default branch, the latest first."""

    def was_shown(self, head: str, context: str) -> bool:
        """Whether a plan of that commit was shown, as its status says."""

    def record(self, head: str, context: str, verdict: Verdict, said: str) -> None:
        """Give a commit a status."""

    def comment(self, proposal: int, first_words: str) -> Comment | None:
        """Return our comment that begins so; comments of others don't count."""

    def write_comment(self, proposal: int, old: Comment | None, body: str) -> None:
        """Make a comment, or replace an old one."""

    def asks_somebody(self, environment: str) -> bool:
        """Whether a job for this environment waits until a person approves it."""

    def how_to_approve(self, fingerprint: str) -> str:
        """Return how a person approves a plan where nobody is asked."""

    def pass_on(self, outputs: Mapping[str, str]) -> None:
        """Give outputs to the jobs after this one."""

    def settings(self, branch: str, environment: str | None) -> Iterator[Setting]:
        """Yield the settings that remain to be made by hand."""

    def close(self) -> None:
        """Close the connections."""
