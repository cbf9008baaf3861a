"""A bench whose state is on a branch: each command runs in a clone of its own, and what it left there is lost."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from reconciler.state.model import State
from reconciler.state.stores.git import GitObjects
from reconciler.state.stores.remote import RemoteStore
from tests.crash.disk import Files
from tests.crash.driver import Event, Job, Run
from tests.crash.effects import Cut
from tests.crash.harness import STATE, Arrive, Bench, Point
from tests.state.stores.repositories import bare, clone

_PLACE: Final = "git:state"
_NOWHERE: Final = "file:///nowhere"
_REST: Final = 0.03
_RUN: Final = re.compile(rb"[0-9a-f]{32}")


@dataclass
class BranchBench(Bench):
    """A bench over a repository to push to; another one for each situation, for git outlives a run that is killed."""

    _number: int = 0

    def __post_init__(self) -> None:
        self.scenario = replace(self.scenario, same_disk_only=True)  # no disk has anything to be taken up from
        self._remote = bare(self.folder / "remote.git")
        self._clone = clone(self.folder / "clone", _NOWHERE)

    def job(self, commands: Sequence[Sequence[str]], cut: Cut | None = None, *, told: bool = False) -> Job:
        """See Bench."""
        folder = self._cloned()
        shutil.copytree(self.folder / "interactions", folder / "interactions")
        job = super().job(commands, cut, told=told)
        return replace(job, folder=folder, env={**job.env, "RECONCILER_STATE": _PLACE})

    def _next(self) -> Path:
        self._number += 1
        return self.folder / str(self._number)

    def _cloned(self) -> Path:
        folder = shutil.copytree(self._clone, self._next())
        settings = folder / ".git" / "config"
        settings.write_text(settings.read_text().replace(_NOWHERE, self._remote.as_uri()))
        return folder

    def files(self) -> dict[str, bytes]:
        """Return what the repository consists of, once git has come to rest."""
        found, before = self._look(), None
        while found != before:
            time.sleep(_REST)
            found, before = self._look(), found
        return found

    def _look(self) -> dict[str, bytes]:
        found = {}
        for folder, _, names in os.walk(self._remote):
            for path in (Path(folder, name) for name in names):
                with suppress(FileNotFoundError):
                    found[str(path.relative_to(self._remote))] = path.read_bytes()
        return found

    def write(self, files: Files) -> None:
        """See Bench."""
        self._remote = self._next()
        for name, data in files.items():
            path = self._remote / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        (self._remote / "refs").mkdir(exist_ok=True)

    def _objects(self) -> GitObjects:
        return GitObjects(_PLACE, self._cloned(), STATE)

    def _state(self) -> State:
        return RemoteStore(self._objects()).read().state

    def points(self, run: Run, signal: str = "KILL") -> list[Point]:
        """Return those of any bench, and where a push has begun that goes on by itself."""
        begun = [(number, event) for number, event in enumerate(run.events, start=1) if event.op == "push"]
        return [*super().points(run, signal), *(Point(Cut(number, "before", signal), event) for number, event in begun)]

    def _disks(self, _point: Point, _run: Run) -> Iterator[tuple[str, Files]]:
        yield "the branch", self.files()

    def saves_outcomes(self, events: Sequence[Event]) -> bool:
        """See Bench; a save that is the last that happened may not have been done, and may be the first to tell."""
        return super().saves_outcomes([event for event in events if event.op != "push"][:-1])

    def _met_before(self, disk: str, _files: Files, arrive: Arrive | None) -> bool:
        objects = self._objects()
        found = {name: objects.get(name) for name in objects.names("") if name != ".lock"}
        objects.close()
        plain = {
            _RUN.sub(b"", name.encode()).decode(): _RUN.sub(b"", each.body) for name, each in found.items() if each
        }
        return super()._met_before(disk, plain, arrive)
