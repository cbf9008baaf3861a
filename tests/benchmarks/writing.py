"""What an apply writes: every byte that goes through `os.pwrite`, which is how state and journal are written.

`python -m tests.benchmarks.writing OPEN CHANGES` prints it for an apply of so many changes.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

from reconciler.cli.clock import SystemClock
from reconciler.delivery.answers import Accepted, Answer
from reconciler.delivery.batch import Invocation
from reconciler.delivery.events import Event
from reconciler.delivery.executor import apply
from reconciler.delivery.intent import intend
from reconciler.delivery.ports import Ports
from reconciler.delivery.throttle import StopSignal
from reconciler.interaction import content_digest, dispatch_body
from reconciler.planning.planner import plan
from reconciler.state import codec
from reconciler.state.codec import Prepared
from reconciler.state.model import State, Target
from reconciler.state.stores.local import LocalStore, LocalWriter
from reconciler.times import stamp
from tests.benchmarks.workload import declared
from tests.known import OPTIONS, POLICY


@dataclass
class Written:
    """Bytes written in all, the size of the two states among them, Invocations sent, fsyncs and writes."""

    bytes: int = 0
    states: int = 0
    invocations: int = 0
    fsyncs: int = 0
    saves: list[int] = field(default_factory=list)


class Instant:
    """Sends nothing and says that all succeeded; tells nobody how far it is."""

    def __init__(self, written: Written) -> None:
        self._written = written

    def invoke(self, _invocation: Invocation) -> Answer:
        """See ports.Sender."""
        self._written.invocations += 1
        return Accepted(frozenset())

    def told(self, event: Event) -> None:
        """See ports.Observer."""


@contextmanager
def counting(written: Written) -> Iterator[None]:
    """Count what is written and synced, and the sizes of the states that are saved."""
    write, sync, encode = os.pwrite, os.fsync, codec.encode

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        count = write(descriptor, data, offset)
        written.bytes += count
        return count

    def fsync(descriptor: int) -> None:
        written.fsyncs += 1
        sync(descriptor)

    def encoded(state: State, prepared: Prepared) -> Iterator[bytes]:
        pieces = list(encode(state, prepared))
        written.saves.append(sum(map(len, pieces)))
        return iter(pieces)

    with (
        mock.patch("os.pwrite", pwrite),
        mock.patch("os.fsync", fsync),
        mock.patch("reconciler.state.codec.encode", encoded),
    ):
        yield


def apply_changes(opened: Path, changes: int, folder: Path) -> Written:
    """Apply so many changed interactions to a copy of the state in `opened`, and return what was written."""
    shutil.copy(opened / "reconciler.state.json", folder)
    with LocalStore(folder / "reconciler.state.json").hold("apply") as store:
        return _apply_changes(store, opened, changes)


def _apply_changes(store: LocalWriter, opened: Path, changes: int) -> Written:
    state = store.read().state
    target, now = state.target or Target(""), datetime.now(UTC)
    desired = {interaction.address: interaction for interaction in declared(opened)}
    for address in list(desired)[:changes]:
        body = dispatch_body(address, {**desired[address].request, "route": "Changed"})
        digest = content_digest(desired[address].provider, body)
        desired[address] = desired[address]._replace(body=body, digest=digest)
    written = Written()
    with counting(written):
        store.back_up(state)
        made = plan(desired.values(), state, POLICY, now, target)
        sender = Instant(written)
        ports = Ports(store, sender, SystemClock(), sender, StopSignal(), random.Random(0).random)  # noqa: S311  # jitter
        # One call at a time: answers that come together share an fsync, and how many do is chance.
        apply(intend(made, desired, state, stamp(now), target), replace(OPTIONS, parallelism=1), ports)
    written.states = sum(written.saves)
    return written


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        sys.stdout.write(json.dumps(asdict(apply_changes(Path(sys.argv[1]), int(sys.argv[2]), Path(scratch)))))
