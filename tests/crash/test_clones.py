"""Several runs at once on a branch, each in a clone, stopped and killed at any time: each interaction exactly once."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
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
from tests.state.stores.repositories import bare, clone

LEASE: Final = 0.8
EXPECTED: Final = {0, 6, 7, -signal.SIGKILL}
"""Done; another run was there; held for a person, or killed: the next one goes on."""
VERSIONS: Final = [given({"s": "SMS"}, a=f"P/{v}", b=f"Q/{v}", c=f"R/{v}", d=f"S/{v}", e=f"P/{v}2") for v in "ABC"]


@dataclass
class Clones:
    """Who applies, each time in another clone."""

    folder: Path
    server: SandboxServer

    def start(self, version: str, *more: str) -> subprocess.Popen[str]:
        """Start an apply of these declarations."""
        folder = clone(self.folder / f"run{time.monotonic_ns()}", (self.folder / "remote.git").as_uri())
        (folder / "interactions").mkdir()
        (folder / "interactions" / "all.json").write_text(version, encoding="utf-8")
        shared = {"RECONCILER_STATE": "git:state", "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(
            [sys.executable, "-m", "tests.crash.runner", f"{LEASE}", *APPLY, "--lock-timeout=60", *more],
            cwd=folder,
            env={**clean_environment(), **connection(self.server), **shared},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, version: str, *more: str) -> None:
        """Apply once more, alone, and judge."""
        process = self.start(version, *more)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
        path = self.folder / "wanted.json"
        path.write_text(version, encoding="utf-8")
        wanted = load(path, RULES, base=self.folder).interactions
        assert not list(judge(self.server, wanted, once=int("SMS" in version))), said


def disturbed(process: subprocess.Popen[str], draw: random.Random) -> tuple[int, str]:
    """Let a run go on, now and then stopped for a while, longer than its lease too; or killed."""
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.append(process.communicate()[0]))
    reader.start()
    mortal = draw.random() < 0.2
    while reader.is_alive():
        time.sleep(draw.uniform(0, LEASE))
        process.send_signal(signal.SIGKILL if mortal and draw.random() < 0.3 else signal.SIGSTOP)
        time.sleep(draw.uniform(0, 2 * LEASE))
        process.send_signal(signal.SIGCONT)
    reader.join()
    return process.returncode, said[0]


def side_by_side(clones: Clones, runs: int, draw: random.Random) -> None:
    """Have so many runs at once, each of one of the versions, and judge what comes of them and one more."""
    ended: list[tuple[int, str]] = []

    def run(version: str, own: random.Random) -> None:
        ended.append(disturbed(clones.start(version), own))

    chosen = [(draw.choice(VERSIONS), random.Random(draw.random())) for _ in range(runs)]  # noqa: S311
    threads = [threading.Thread(target=run, args=each) for each in chosen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == runs
    odd = [said for code, said in ended if code not in EXPECTED or "Traceback" in said]
    assert not odd, odd[0]
    clones.finish(draw.choice(VERSIONS))


@pytest.mark.soak(weight=3)
@pytest.mark.parametrize("runs", [2, 4])
def test_runs_that_are_stopped_again_and_again(tmp_path: Path, runs: int, in_time: InTime) -> None:
    """Whatever one does while others sleep, are killed, or wake up after their lease: all is as declared, once."""
    bare(tmp_path / "remote.git")
    with SandboxServer() as server:
        server.faults.add("late=0.05 times=always")
        clones, draw = Clones(tmp_path, server), random.Random(runs)  # noqa: S311
        clones.finish(given(), "--new-state")
        side_by_side(clones, runs, draw)
        while in_time():
            side_by_side(clones, runs, draw)
