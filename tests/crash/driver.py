"""The tests' end of the fork server: jobs in, what happened out."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.command import Ran, clean_environment
from tests.crash.effects import Cut

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Event:
    """One effect of a run, as it was about to happen.

    `name` is the file, `.` for the folder, or the path of a call; `other` the target of a rename or link.
    """

    op: str
    name: str
    other: str = ""
    offset: int = 0
    data: bytes = b""
    truncated: bool = False

    def __str__(self) -> str:
        return f"{self.op} {self.name}" + (f" → {self.other}" if self.other else "")


@dataclass(frozen=True)
class Run:
    """What became of a job: the events until its end, what each command printed, None if it was killed."""

    events: tuple[Event, ...]
    ran: tuple[Ran, ...] | None

    @property
    def killed(self) -> bool:
        """Whether it was killed."""
        return self.ran is None


@dataclass(frozen=True)
class Job:
    """Commands to run in one process, one after the other, in a folder; a new process unless it is as any other."""

    folder: Path
    env: Mapping[str, str]
    commands: Sequence[Sequence[str]]
    cut: Cut | None = None
    mutant: str = ""
    told: bool = False


@dataclass
class Driver:
    """A fork server; a context manager."""

    process: subprocess.Popen[str] = field(init=False)

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.forkserver"],
            cwd=ROOT,
            env=clean_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.process:
            assert self.process.stdin
            self.process.stdin.close()

    def run(self, job: Job) -> Run:
        """Run a job to its end, or to its kill."""
        self.start(job)
        return self.finish()

    def start(self, job: Job) -> None:
        """Start a job; `finish` waits for it."""
        assert self.process.stdin
        plain = {
            "folder": str(job.folder),
            "env": dict(job.env),
            "commands": [list(command) for command in job.commands],
            "cut": asdict(job.cut) if job.cut else None,
            "mutant": job.mutant,
            "new": bool(job.cut or job.mutant or job.told),
        }
        self.process.stdin.write(json.dumps(plain) + "\n")
        self.process.stdin.flush()

    def finish(self) -> Run:
        """Wait for the job that was started."""
        assert self.process.stdout
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        events = tuple(
            Event(**{**event, "data": base64.b64decode(event.get("data", ""))}) for event in answer["events"]
        )
        ran = None if answer["ran"] is None else tuple(Ran(**one) for one in answer["ran"])
        return Run(events, ran)
