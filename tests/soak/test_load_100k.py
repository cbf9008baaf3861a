"""A hundred thousand interactions through two hundred mixed faults, in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api import SandboxConfig, SandboxServer
from tests.command import COMMAND, Workplace, clean_environment
from tests.conftest import connection
from tests.faults.harness import check_nothing_doubled
from tests.faults.test_mixed_faults import declare, mixed

COUNT = 100_000
FAULTS = 200
MEGABYTES = 1_200
GROWTH = 1.3
"""Bounds on a run's peak, as such and over an empty plan: memory grows with what is declared, not with faults."""


def measured(place: Workplace, *arguments: str, env: dict[str, str]) -> tuple[int, float, float]:
    """Run the command as a process of its own; return its exit code, peak memory in megabytes, and CPU seconds."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=place.folder,
        env={**clean_environment(), **place.env, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1_000_000 if sys.platform == "darwin" else 1_000
    return process.returncode, usage.ru_maxrss / unit, usage.ru_utime + usage.ru_stime


@pytest.mark.soak
@pytest.mark.timeout(25 * 60)
def test_a_hundred_thousand_through_two_hundred_faults(tmp_path: Path) -> None:
    """Everything is open exactly once after as many runs as it takes, a plan is empty, and memory stays bounded."""
    with SandboxServer(SandboxConfig(keep=2_000)) as server:
        place = Workplace(tmp_path, connection(server))
        assert place.run("init").code == 0
        names = declare(place, COUNT)
        env = {"RECONCILER_REQUEST_BYTES": "20000"}
        server.faults.add(*mixed(FAULTS, 500, seed=7))
        seen: list[tuple[int, float, float]] = []
        while not seen or seen[-1][0] != 0:
            assert len(seen) < FAULTS, seen
            seen.append(measured(place, "apply", "--auto-approve", env=env))
            check_nothing_doubled(server)
            for link in place.state["pending"].values():
                if link.get("held"):
                    assert place.run("state", "resolve", link["address"], "--as", "not-applied").code == 0
        left = server.faults.waiting
        server.faults.clear()
        server.release_late_copies()
        check_nothing_doubled(server)
        state = place.state
        assert (frozenset(state["interactions"]), state["pending"], state["failed"]) == (names, {}, {})
        assert len(server.emulator.open) + server.emulator.record.once_by_content.total() == COUNT
        planned = measured(place, "plan", "--detailed-exitcode", env=env)
        assert planned[0] == 0
    sys.stdout.write(f"\n{len(seen)} runs, {FAULTS - left} faults met, peak {max(run[1] for run in seen):.0f} MB, ")
    sys.stdout.write(
        f"{sum(run[2] for run in seen):.0f} s of CPU; empty plan {planned[1]:.0f} MB, {planned[2]:.1f} s\n"
    )
    assert max(run[1] for run in seen) < min(MEGABYTES, GROWTH * planned[1])
    assert left <= FAULTS // 20
