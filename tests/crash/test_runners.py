"""Several machines apply at once, and some stand still in the middle of it, for longer than their lease lives."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from reconciler.declarations.loader import load
from tests.api import SandboxServer
from tests.command import clean_environment
from tests.conftest import ROOT, connection
from tests.crash.harness import APPLY, judge
from tests.crash.scenarios import given
from tests.known import RULES
from tests.soak.budget import InTime
from tests.state.stores.cloud import BUCKET, Asked, Cloud, Lie

EXPECTED: Final = {0, 4, 6, 7}
"""Done; or another run was there, and the next one goes on."""
STOPS: Final = 3
LEASE: Final = 1.0
_ROUND: Final = 60.0


@dataclass
class Machines:
    """Runners of the same state, each in a folder of its own; `draw` says which of them stands still when."""

    folder: Path
    server: SandboxServer
    cloud: Cloud
    draw: random.Random
    lease: float = LEASE
    running: dict[int, subprocess.Popen[str]] = field(default_factory=dict)
    waking: list[threading.Timer] = field(default_factory=list)

    def start(self, number: int, declared: str, *command: str) -> subprocess.Popen[str]:
        """Start a command on one of them."""
        folder = self.folder / str(number)
        (folder / "interactions").mkdir(parents=True, exist_ok=True)
        (folder / "interactions" / "all.json").write_text(declared, encoding="utf-8")
        env = {**clean_environment(), **connection(self.server), **self.cloud.s3, "PYTHONPATH": str(ROOT)}
        place = {"RECONCILER_STATE": f"s3://{BUCKET}/state.json", "RECONCILER_PARALLELISM": "2"}
        self.running[number] = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.runner", str(self.lease), *command],
            cwd=folder,
            env={**env, **place},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return self.running[number]

    def run(self, number: int, declared: str, *command: str) -> tuple[int, str]:
        """Run one to its end."""
        process = self.start(number, declared, *command)
        said, _ = process.communicate(timeout=_ROUND)
        return process.returncode, said

    def stand_still(self) -> None:
        """Stop one of those that run, for less than its lease lives, or for more."""
        alive = [process for process in self.running.values() if process.poll() is None]
        if alive:
            process = self.draw.choice(alive)
            process.send_signal(signal.SIGSTOP)
            timer = threading.Timer(self.draw.choice((0.2, 1.5)) * LEASE, process.send_signal, [signal.SIGCONT])
            self.waking.append(timer)
            timer.start()


@contextmanager
def machines(folder: Path, seed: int) -> Iterator[Machines]:
    """Give machines, a cloud and an API of their own."""
    draw = random.Random(seed)  # noqa: S311
    with Cloud() as cloud, SandboxServer() as server:
        made = Machines(folder, server, cloud, draw)
        try:
            yield made
        finally:
            for timer in made.waking:
                timer.join()
            for process in made.running.values():
                with suppress(ProcessLookupError):
                    process.kill()
                process.communicate()


def compete(made: Machines, number: int, lie: Lie | None = None) -> list[str]:
    """Let so many apply other declarations at the same time, then one that is undisturbed; return what is wrong."""
    assert made.run(0, given(), *APPLY, "--new-state")[0] == 0
    stops = iter(sorted(made.draw.sample(range(10, 25 * number), STOPS * number)))
    at, events = next(stops), 0

    def script(_asked: Asked) -> Lie | None:
        nonlocal at, events
        events += 1
        if events >= at:
            at = next(stops, 10**9)
            made.stand_still()
        return lie

    made.cloud.script = script
    made.server.faults.add("late=0.1 times=always")
    declared = [given(a=f"A/{each}", b=f"B/{each}", c=f"C/{each}", d=f"D/{each}") for each in range(number)]
    processes = [made.start(runner, text, *APPLY, "--lock-timeout", "5") for runner, text in enumerate(declared)]
    wrong = []
    for process in processes:
        said, _ = process.communicate(timeout=_ROUND)
        if process.returncode not in EXPECTED:
            wrong.append(f"ends with {process.returncode}: {said}")
    made.server.faults.clear()
    code, said = made.run(0, declared[0], *APPLY, "--lock-timeout", "10")
    if code:
        wrong.append(f"undisturbed, it ends with {code}: {said}")
    wanted = load(made.folder / "0" / "interactions", RULES, base=made.folder).interactions
    return [*wrong, *judge(made.server, wanted, once=0)]


def test_two_machines_at_once(tmp_path: Path) -> None:
    """What either sends is sent once; whoever lost its lease sends nothing more, and the next apply makes it right."""
    with machines(tmp_path, seed=2) as made:
        wrong = compete(made, 2)
    assert not wrong, "\n".join(wrong)


@pytest.mark.soak
def test_conditions_and_leases_are_needed(tmp_path: Path) -> None:
    """Where a lease is dead at once, and the place writes whatever it is told, the harness finds out."""
    with machines(tmp_path, seed=0) as made:
        made.lease = 0.0
        assert compete(made, 2, Lie(blind=True))


@pytest.mark.soak
@pytest.mark.parametrize("number", [2, 4])
def test_machines_at_once(tmp_path: Path, in_time: InTime, number: int) -> None:
    """So it is with two and with four, whoever stands still when."""
    for seed in range(1000):
        if not in_time():
            break
        folder = tmp_path / str(seed)
        folder.mkdir()
        with machines(folder, seed) as made:
            wrong = compete(made, number)
        assert not wrong, "\n".join([f"seed {seed}", *wrong])
