"""Several processes at once over one folder: one writes, the others wait or are told who does, readers see no half."""

from __future__ import annotations

import contextlib
import getpass
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reconciler.state.journal import Record
from reconciler.state.model import Kind, Outcome, Pending, Result
from reconciler.state.stores.local import LocalStore
from reconciler.state.transitions import fold
from reconciler.times import stamp
from tests.api import SandboxServer
from tests.api.record import Handling
from tests.command import Workplace
from tests.conftest import ROOT

PATIENCE = 60.0
ALL = 20
MANY = "interactions:\n" + "".join(f"  - {{externalid: id-{n}, provider: P{n}, route: R}}\n" for n in range(ALL))
IDS = {f"id-{n}" for n in range(ALL)}

WRITERS, ROUNDS, READERS = 4, 10, 2


@contextlib.contextmanager
def ended(*processes: subprocess.Popen[Any]) -> Iterator[None]:
    """See that the processes are gone afterwards, whatever happens."""
    with contextlib.ExitStack() as stack:
        for process in processes:
            stack.enter_context(process)
            stack.callback(process.kill)
        yield


def heard(process: subprocess.Popen[str], text: str) -> None:
    """Read stderr up to the line that holds the text."""
    assert process.stderr is not None
    assert any(text in line for line in process.stderr)


def dispatched_once(server: SandboxServer, ids: set[str]) -> None:
    """Check that each was dispatched exactly once, under one requestid that was sent once."""
    entries = list(server.emulator.record.processed)
    assert sorted(str(entry.request.externalid) for entry in entries) == sorted(ids)
    assert {entry.outcome for entry in entries} == {Handling.DISPATCHED}


def test_six_applies_at_once(place: Workplace, server: SandboxServer) -> None:
    """Of six that wait for the lock and then race for it one does the work, and the others find nothing to do."""
    place.declare(MANY)
    with contextlib.ExitStack() as stack:
        with LocalStore(place.state_path).hold("apply"):
            runs = [place.spawn("apply", "--auto-approve", "--lock-timeout", "60") for _ in range(6)]
            stack.enter_context(ended(*runs))
            for run in runs:
                heard(run, "Waiting up to 60 s for the lock of ")
        ends = [run.communicate(timeout=PATIENCE) for run in runs]
    assert [run.returncode for run in runs] == [0] * 6, ends
    said = sorted("Applied: 20 dispatched" if "Applied: 20" in out else "No changes" for out, _ in ends)
    assert said == ["Applied: 20 dispatched", *["No changes"] * 5]
    dispatched_once(server, IDS)
    assert set(place.state["interactions"]) == IDS


def test_who_is_locked_out_is_told_by_whom(place: Workplace, server: SandboxServer) -> None:
    """Whatever writes ends with 6 at once and names user, host, pid, command, time and job; what looks still works."""
    place.declare(MANY)
    server.faults.add("hang")
    owner = place.spawn(
        "apply", "--auto-approve", env={"CI_JOB_URL": "https://gitlab.example/j/8", "RECONCILER_PARALLELISM": "1"}
    )
    with ended(owner):
        server.wait_until(lambda: server.hanging == 1, PATIENCE)
        expected = (
            f"Error: the state is locked by {re.escape(getpass.getuser())}@{re.escape(socket.gethostname())}, "
            rf"pid {owner.pid}, `apply`, since 20\d\d-\d\d-\d\dT\S+, https://gitlab\.example/j/8\n"
            r"  Wait until it is done, or use --lock-timeout SECONDS to wait for it here\.\n"
        )
        for arguments in (
            ["apply", "--auto-approve"],
            ["apply", "--auto-approve", "--lock-timeout", "0.01"],
            ["state", "rm", "id-0"],
            ["state", "mv", "once:a", "once:b"],
            ["state", "resolve", "id-0", "--as", "applied"],
            ["state", "new-lineage"],
        ):
            ran = place.run(*arguments)
            assert (ran.code, ran.out) == (6, "")
            assert re.search(expected, ran.err), ran.err
        for arguments in (["plan"], ["validate"], ["state", "list"], ["state", "show", "id-0"]):
            assert place.run(*arguments).code == 0
        server.release()
        owner.communicate(timeout=PATIENCE)
    assert owner.returncode == 0
    dispatched_once(server, IDS)


def test_a_killed_owner_holds_no_lock(place: Workplace, server: SandboxServer) -> None:
    """What a process leaves behind that was killed in an apply locks nobody out, and its requests are settled."""
    place.declare(MANY)
    server.faults.add("hang processed=yes")
    owner = place.spawn("apply", "--auto-approve", env={"RECONCILER_PARALLELISM": "1"})
    with ended(owner):
        server.wait_until(lambda: server.hanging == 1, PATIENCE)
        owner.kill()
        owner.wait(PATIENCE)
    assert f'"pid":{owner.pid}' in (place.folder / "reconciler.state.json.lock").read_text(encoding="utf-8")
    assert place.run("apply", "--auto-approve").code == 0
    assert set(server.emulator.open) == set(place.state["interactions"]) == IDS
    outcomes = [entry.outcome for entry in server.emulator.record.processed]
    assert (outcomes.count(Handling.DISPATCHED), outcomes.count(Handling.IGNORED)) == (ALL, 1)


@pytest.mark.parametrize("route", ["R", "S"])
def test_a_plan_during_an_apply_is_never_of_half_a_state(place: Workplace, server: SandboxServer, route: str) -> None:
    """Plans and reads in a loop see everything before or everything after each step, and never an error."""
    enough = 3
    place.declare(MANY)
    if route != "R":
        assert place.run("apply", "--auto-approve").code == 0
        place.declare(MANY.replace("route: R", f"route: {route}"))
    before = LocalStore(place.state_path).read().state
    server.faults.add("hang")  # it isn't over before it was looked at
    run = place.spawn(
        "apply", "--auto-approve", env={"RECONCILER_PARALLELISM": "2", "RECONCILER_MAX_RELEASE_PERCENT": "100"}
    )
    looks, last, seen = 0, before.serial, set()
    with ended(run):
        while run.poll() is None:
            state = LocalStore(place.state_path).read().state
            known = {link.address for link in state.pending.values()} | state.interactions.keys()
            assert known == (IDS if state.serial > before.serial else set(before.interactions))
            assert state.serial >= last
            ran = place.run("plan", "--detailed-exitcode", "--format", "json")
            assert ran.code in {0, 2, 5}, ran
            assert ran.json
            looks, last = looks + 1, state.serial
            seen.add(len(state.pending))
            if looks > enough and max(seen) > 0:
                server.release()
        _, err = run.communicate()
    seen.add(len(LocalStore(place.state_path).read().state.pending))
    assert (run.returncode, looks > enough) == (0, True), err
    assert seen > {0}
    assert place.run("plan", "--detailed-exitcode").code == 0
    assert not server.emulator.doubles


def test_state_commands_take_turns(place: Workplace, server: SandboxServer) -> None:
    """What several processes take out of the state at once is all gone, and nothing else."""
    place.declare(MANY)
    assert place.run("apply", "--auto-approve").code == 0
    runs = [place.spawn("state", "rm", f"id-{n}", "--lock-timeout", "60") for n in range(4)]
    with ended(*runs):
        ends = [run.communicate(timeout=PATIENCE) for run in runs]
    assert [run.returncode for run in runs] == [0] * 4, ends
    assert set(place.state["interactions"]) == IDS - {f"id-{n}" for n in range(4)}
    assert place.state["serial"] == 2 + 4
    assert set(server.emulator.open) == IDS


# -- the files alone ---------------------------------------------------------------------------------------------------


def write(path: Path, name: str, rounds: int) -> None:
    """Save an intent, append its outcome, and fold it or leave it to the next writer; so many times over."""
    for number in range(rounds):
        with LocalStore(path).hold(name, timeout=PATIENCE) as store:
            state = store.read().state
            address, at = f"{name}-{number}", stamp(datetime.now(UTC))
            link = Pending(address, 0, Kind.DISPATCH, None, "1:" + "0" * 64, at, "file.yaml")
            intent = replace(state, serial=state.serial + 1, pending={**state.pending, address: link})
            store.save(intent)
            outcome = Outcome(address, Result.SUCCEEDED)
            store.append([Record(intent.lineage, intent.serial, at, (outcome,))])
            if number % 2:
                store.save(fold(intent, [(outcome, at)]))


def read(path: Path, enough: int) -> None:
    """Read until all is there, and say so once begun; what was once there stays, and the serial never goes back."""
    serial, known, reads = -1, 0, 0
    while known < enough:
        state = LocalStore(path).read().state
        assert state.serial >= serial
        assert len(state.interactions) >= known
        serial, known, reads = state.serial, len(state.interactions), reads + 1
        if reads == 1:
            print("reading", flush=True)  # noqa: T201  # the writers wait for it
    sys.stdout.write(json.dumps(reads))


def test_writers_and_readers_hammer_the_files(place: Workplace) -> None:
    """With writers taking turns, nothing that one saved or appended is lost, and readers see every step whole."""

    def start(call: str) -> subprocess.Popen[str]:
        code = f"from pathlib import Path; from tests.cli.test_races import read, write; {call}"
        return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)

    path = f"Path({str(place.state_path)!r})"
    readers = [start(f"read({path}, {WRITERS * ROUNDS})") for _ in range(READERS)]
    with ended(*readers):
        assert [reader.stdout and reader.stdout.readline() for reader in readers] == ["reading\n"] * READERS
        writers = [start(f"write({path}, 'writer{n}', {ROUNDS})") for n in range(WRITERS)]
        with ended(*writers):
            for process in (*writers, *readers):
                out, _ = process.communicate(timeout=PATIENCE)
                assert process.returncode == 0
                assert process in writers or int(out) > 1
    state = LocalStore(place.state_path).read().state
    assert set(state.interactions) == {f"writer{n}-{number}" for n in range(WRITERS) for number in range(ROUNDS)}
    assert not state.pending
