"""A machine that is short of threads, files or memory: what can be done is done, and what can't is said."""

from __future__ import annotations

import re
import shlex
import signal
import sys

import pytest

from tests.api import SandboxServer
from tests.command import COMMAND, Ran, Workplace

NINE = "interactions:\n" + "".join(f"  - {{externalid: id-{n}, provider: P{n}, route: R}}\n" for n in range(9))
QUICK = {"RECONCILER_TIMEOUT": "5"}
# A thread takes as much address space as a stack may grow to, so this many KiB are room for so many threads.
STACK = 500_000
BROKEN = {-signal.SIGABRT, -signal.SIGKILL, -signal.SIGSEGV}
"""Without memory: orjson is written in Rust, which aborts, Python waits for a thread that never got to run, and at a
size that depends on the machine's environment, a library crashes while it is loaded."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of address space are Linux's")


def limited(place: Workplace, limits: str, *arguments: str, python_holds: bool = True) -> Ran:
    """Run the command under limits, as a shell sets them; where there is no memory at all, Python breaks in itself."""
    ran = place.shell(f"{limits} && exec timeout -s KILL 150 {shlex.join([*COMMAND, *arguments])}", env=QUICK)
    assert "mistake" not in ran.err
    assert "Traceback" not in ran.err or not python_holds
    return ran


@pytest.mark.parametrize("threads", [0, 1, 2, 3])
def test_threads(place: Workplace, server: SandboxServer, threads: int) -> None:
    """With fewer threads than asked for it takes longer; with too few, nothing is sent, and nothing is pending."""
    place.declare(NINE)
    ran = limited(place, f"ulimit -s {STACK} -v {threads * STACK + 400_000}", "apply", "--auto-approve")
    if threads < 2:
        assert (ran.code, "no thread left for this run; nothing was sent" in ran.err) == (1, True), ran
        assert (server.calls, place.state["pending"]) == ([], {})
    else:
        assert ran.code == 0, ran
    makes_it_right(place, server)


def test_a_sandbox_without_threads(place: Workplace) -> None:
    """A sandbox that can't serve says so."""
    for arguments in (["sandbox", "--port", "0"], ["--sandbox", "apply", "--auto-approve"]):
        place.declare(NINE)
        ran = limited(place, f"ulimit -s {STACK} -v 400000", *arguments)
        assert (ran.code, "no thread left for this run" in ran.err) == (1, True), ran


@pytest.mark.parametrize("files", [5, 8, *(pytest.param(n, marks=pytest.mark.soak) for n in (6, 7, 9, 10, 14))])
def test_files(place: Workplace, server: SandboxServer, files: int) -> None:
    """With too few files to open it ends with an error, and a run that may open more makes it right."""
    place.declare(NINE)
    ran = limited(place, f"ulimit -n {files}", "apply", "--auto-approve")
    assert ran.code in {0, 1}, ran
    makes_it_right(place, server)


@pytest.mark.parametrize(
    "kilobytes",
    [20_000, 43_000, 47_000, *(pytest.param(n, marks=pytest.mark.soak) for n in range(18_000, 66_000, 600))],
)
def test_memory(place: Workplace, server: SandboxServer, kilobytes: int) -> None:
    """With too little memory it ends with an error, whatever it was for, and a run that has more makes it right."""
    place.declare(re.sub("provider: P.", "provider: P", NINE))
    ran = limited(place, f"ulimit -s 1000 -v {kilobytes}", "apply", "--auto-approve", python_holds=False)
    assert ran.code in {0, 1} | BROKEN, ran
    makes_it_right(place, server)


def makes_it_right(place: Workplace, server: SandboxServer) -> None:
    """Check that after one more apply all nine are open, and none was dispatched twice."""
    ran = place.run("apply", "--auto-approve")
    assert ran.code == 0, ran
    assert len(server.emulator.open) == len(place.state["interactions"]) == 9
    assert server.emulator.record.doubles == []
