"""A bench whose state is in a bucket: each command runs in a folder of its own, and what it left there is lost."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from reconciler.state.model import State
from reconciler.state.stores.interface import Found
from reconciler.state.stores.remote import RemoteStore
from tests.crash.disk import Files
from tests.crash.driver import Event, Job, Run
from tests.crash.effects import Cut
from tests.crash.harness import STATE, Arrive, Bench, Point
from tests.state.stores.cloud import BUCKET, Cloud
from tests.state.stores.memory import Memory, MemoryObjects

_RUN: Final = re.compile(rb"[0-9a-f]{32}")


@dataclass
class BucketBench(Bench):
    """A bench over a cloud of ours, honest or not."""

    cloud: Cloud = field(kw_only=True)
    _folders: int = 0

    def __post_init__(self) -> None:
        self.scenario = replace(self.scenario, same_disk_only=True)  # no disk has anything to be taken up from

    def job(self, commands: Sequence[Sequence[str]], cut: Cut | None = None, *, told: bool = False) -> Job:
        """See Bench; always in a process of its own: obstore's threads don't come along where a process is forked."""
        self._folders += 1
        folder = self.folder / str(self._folders)
        shutil.copytree(self.folder / "interactions", folder / "interactions")
        job = super().job(commands, cut, told=told)
        env = {**job.env, **self.cloud.s3, "RECONCILER_STATE": f"s3://{BUCKET}/{STATE}"}
        return replace(job, folder=folder, env=env, told=True)

    def files(self) -> dict[str, bytes]:
        """See Bench."""
        return {name: body for name, (body, _) in self.cloud.objects.items()}

    def write(self, files: Files) -> None:
        """See Bench."""
        self.cloud.objects = {name: (body, number) for number, (name, body) in enumerate(files.items(), start=1)}

    def _state(self) -> State:
        found = {name.removeprefix(STATE): Found(body, 0) for name, body in self.files().items()}
        return RemoteStore(MemoryObjects(Memory(found))).read().state

    def _disks(self, _point: Point, _run: Run) -> Iterator[tuple[str, Files]]:
        yield "the bucket", self.files()

    def saves_outcomes(self, events: Sequence[Event]) -> bool:
        """See Bench; here the last outcomes may come with the state, which is not there if the run died at it."""
        return super().saves_outcomes(events[:-1])

    def _met_before(self, disk: str, files: Files, arrive: Arrive | None) -> bool:
        plain = {_RUN.sub(b"R", name.encode()).decode(): _RUN.sub(b"R", body) for name, body in files.items()}
        plain.pop(f"{STATE}.lock", None)
        return super()._met_before(disk, plain, arrive)
