"""What happens, a line each, while it happens: in its order, whole, and never in the way of the apply itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from datetime import datetime, timedelta
from typing import Any

import pytest

from reconciler.cli.clock import SystemClock
from reconciler.state.stores.local import LocalStore
from tests.api import SandboxServer
from tests.command import COMMAND, Workplace, clean_environment
from tests.formats import check
from tests.state.stores.three import IDS, THREE

PATIENCE = 60.0
ALIKE = "interactions: [{externalid: A, route: R}, {externalid: B, route: R}, {externalid: C, route: R}]\n"
ONE = "interactions: [{externalid: A, route: R}]\n"


def read(text: str | bytes) -> list[dict[str, Any]]:
    """Return the lines, each as its schema says, the first of which is the version."""
    lines = text.splitlines()
    for line in lines:
        check("events", line)
    found = [json.loads(line) for line in lines]
    assert (found[0]["event"], found[0]["major"]) == ("version", 1)
    assert sorted(line["time"] for line in found) == [line["time"] for line in found]
    return found


def kinds(lines: list[dict[str, Any]]) -> list[str]:
    """Return the kinds of lines, in their order."""
    return [line["event"] for line in lines]


def followed(place: Workplace, *more: str) -> list[dict[str, Any]]:
    """Apply with the events on stdout, where nothing else is, and hold that they end with the exit code."""
    ran = place.run("apply", "--auto-approve", "--events=-", *more)
    lines = read(ran.out)
    assert (lines[-1]["event"], lines[-1]["exit_code"]) == ("finished", ran.code)
    return lines


def test_the_order_of_lines(place: Workplace) -> None:
    """Version, plan, sent, answered, settled once it is journalled, folded, finished with the counts."""
    place.declare(ALIKE)
    lines = followed(place)
    assert kinds(lines) == ["version", "planned", "sent", "answered", "settled", "folded", "finished"]
    _, planned, sent, answered, settled, folded, finished = lines
    assert (planned["requests"], planned["plan"]["summary"]["dispatch"]) == (3, 3)
    assert {request["address"] for request in sent["requests"]} == {"A", "B", "C"}
    assert (answered["answer"], answered["status"], answered["reason"]) == ("accepted", 200, None)
    assert [request["requestid"] for request in settled["requests"]] == [
        request["requestid"] for request in sent["requests"]
    ]
    assert (settled["done"], settled["failed"], settled["expected"]) == (3, 0, 3)
    assert (folded["state"]["open"], finished["counts"]["dispatched"]) == (3, 3)
    assert kinds(followed(place)) == ["version", "planned", "finished"]


@pytest.mark.usefixtures("clock")
def test_throttled(place: Workplace, server: SandboxServer) -> None:
    """After a 429 a line says how long is waited, why, and until when; the second attempt has the same number."""
    place.declare(ONE)
    server.faults.add("status=429 retry-after=3 message=slow")
    lines = followed(place)
    assert kinds(lines)[2:-2] == ["sent", "answered", "waiting", "sent", "answered", "settled"]
    refused, waiting, again = lines[3:6]
    assert (refused["answer"], refused["status"]) == ("not-processed", 429)
    assert (waiting["cause"], waiting["seconds"]) == ("retry-after", 3)
    assert "slow" in waiting["reason"]
    until, time = (datetime.fromisoformat(waiting[key]) for key in ("until", "time"))
    assert abs(until - time - timedelta(seconds=waiting["seconds"])) < timedelta(milliseconds=2)
    assert (again["invocation"], again["attempt"]) == (refused["invocation"], 2)


@pytest.mark.usefixtures("clock")
def test_retry_after(place: Workplace, server: SandboxServer) -> None:
    """What the API asked for is told as that."""
    place.declare(ONE)
    server.faults.add("status=503 retry-after=30")
    (waiting,) = (line for line in followed(place) if line["event"] == "waiting")
    assert (waiting["cause"], waiting["seconds"]) == ("retry-after", 30)


@pytest.mark.usefixtures("clock")
def test_lost_answers(place: Workplace, server: SandboxServer) -> None:
    """No answer is no status; nothing is settled, and the counts say that it is unknown."""
    place.declare(ONE)
    server.faults.add("drop=after times=5")
    lines = followed(place)
    assert kinds(lines)[2:-2] == ["sent", "answered", "waiting"] * 4 + ["sent", "answered"]
    assert {(line["answer"], line["status"]) for line in lines if line["event"] == "answered"} == {("unknown", None)}
    assert (lines[-1]["exit_code"], lines[-1]["counts"]["unknown"]) == (7, 1)


@pytest.mark.usefixtures("clock")
def test_releases_that_are_tried_again(place: Workplace, server: SandboxServer) -> None:
    """The wait before a further try of a release belongs to no Invocation."""
    place.declare(ONE)
    server.faults.add("drop=after times=5")
    followed(place)
    place.declare(ONE.replace("route: R", "route: S"))
    server.faults.add("fail action=release externalid=A times=2")
    waits = [line for line in followed(place) if line["event"] == "waiting"]
    assert {(line["cause"], line["invocation"]) for line in waits} == {("release-attempt", None)}


def test_errors(place: Workplace) -> None:
    """A run that ends early says why, and then its exit code; where a guard refuses, the plan stands before."""
    place.declare(THREE)
    place.env["RECONCILER_MAX_DISPATCHES"] = "2"
    refused, unknown = followed(place), followed(place, "--target=nix")
    with LocalStore(place.state_path).hold("apply"):
        locked = followed(place)
    assert kinds(refused) == ["version", "planned", "error", "finished"]
    assert kinds(locked) == kinds(unknown) == ["version", "error", "finished"]
    assert [each[-2]["error"]["code"] for each in (refused, unknown, locked)] == ["refused", "usage", "locked"]


def test_a_plan_has_events_too(place: Workplace) -> None:
    """`plan --events` says what it comes to, beside what people read."""
    place.declare(THREE)
    ran = place.run("plan", "--detailed-exitcode", "--events=e.jsonl")
    assert "Plan: 3 to dispatch" in ran.out
    lines = read((place.folder / "e.jsonl").read_bytes())
    assert (kinds(lines), lines[-1]["exit_code"]) == (["version", "planned", "finished"], 2)


def test_ctrl_c(place: Workplace, server: SandboxServer) -> None:
    """What is in flight is settled, what was not sent is settled as that, and the exit code is 130."""
    place.env |= {"RECONCILER_PARALLELISM": "1", "RECONCILER_REQUEST_BYTES": "1000"}
    entries = "".join(f"  - {{externalid: {name}, route: {name * 600}}}\n" for name in "abc")
    place.declare(f"interactions:\n{entries}")
    server.on_call = lambda call: os.kill(os.getpid(), signal.SIGINT) if call.requests else None
    lines = followed(place)
    results = [request["result"] for line in lines if line["event"] == "settled" for request in line["requests"]]
    assert sorted(results) == ["succeeded", "unsent", "unsent"]
    assert lines[-1]["exit_code"] == 130


def test_killed(place: Workplace, server: SandboxServer) -> None:
    """After a kill each line that is there is whole: what was sent is known, and that it was cut, by no end."""
    place.declare(ALIKE)
    server.faults.add("hang")
    with place.spawn("apply", "--auto-approve", "--events=e.jsonl") as process:
        server.wait_until(lambda: server.hanging == 1, PATIENCE)
        process.kill()
    text = (place.folder / "e.jsonl").read_bytes()
    assert text.endswith(b"\n")
    assert kinds(read(text)) == ["version", "planned", "sent"]
    server.release()


# -- nothing stands in the way ---------------------------------------------------------------------------------------


def test_a_full_disk(place: Workplace, server: SandboxServer) -> None:
    """Where the events can't be written, that is said once, and all is done."""
    place.declare(THREE)
    ran = place.run("apply", "--auto-approve", "--events=/dev/full")
    assert (ran.code, set(server.emulator.open)) == (0, IDS)
    assert ran.err.count("events can't be written: No space left on device; the run goes on without") == 1


@pytest.mark.parametrize("stdout", [False, True])
def test_a_reader_that_is_gone(place: Workplace, server: SandboxServer, *, stdout: bool) -> None:
    """Whoever stops reading the events stops nothing, be they on a pipe of their own or on stdout."""
    place.declare(THREE)
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        [*COMMAND, "apply", "--auto-approve", f"--events={'-' if stdout else f'/dev/fd/{writer}'}"],
        cwd=place.folder,
        env={**clean_environment(), **place.env},
        stdin=subprocess.DEVNULL,
        stdout=writer if stdout else subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[writer],
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    os.close(writer)
    assert (process.returncode, set(server.emulator.open)) == (0, IDS), process.stderr
    assert process.stderr.count("Broken pipe; the run goes on without") == (0 if stdout else 1)
    assert "Traceback" not in process.stderr


def test_a_pipe_that_nobody_reads_yet(place: Workplace) -> None:
    """It is waited for before anything is locked or sent; Ctrl-C ends that, once and for all."""
    place.declare(ONE)
    os.mkfifo(place.folder / "pipe")
    with place.spawn("apply", "--auto-approve", "--events=pipe", "--sandbox") as process:
        assert process.stderr
        assert "SANDBOX" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "interrupted; nothing was sent" in err


@pytest.mark.parametrize("name", ["reconciler.state.json", "interactions/crm.yaml", "mine.txt"])
def test_the_file_is_nobody_elses(place: Workplace, name: str) -> None:
    """A state, a declaration or a file of somebody else is not overwritten; the events of an earlier run are."""
    place.declare(ONE, "crm.yaml")
    (place.folder / "mine.txt").write_text("mine", encoding="utf-8")
    before = (place.folder / name).read_bytes()
    assert place.run("apply", "--auto-approve", f"--events={name}").code == 64
    assert (place.folder / name).read_bytes() == before
    for _ in range(2):
        assert place.run("apply", "--auto-approve", "--events=e.jsonl").code == 0
    assert kinds(read((place.folder / "e.jsonl").read_bytes())) == ["version", "planned", "finished"]
    assert (place.folder / "e.jsonl").stat().st_mode & 0o777 == 0o600


def test_stdout_is_for_one(place: Workplace) -> None:
    """Events and a result can't both be on stdout; that is said as the result that was asked for."""
    ran = place.run("apply", "--auto-approve", "--events=-", "--format=json")
    assert (ran.code, ran.json["error"]["code"]) == (64, "usage")
    assert place.run("plan", "--events=-", "--format=markdown").code == 64


def test_no_sensitive_value(place: Workplace, server: SandboxServer) -> None:
    """What the API echoes of a sensitive value is in no line."""
    linked = '[{type: clid, value: "+447700900123"}]'
    place.declare(f"interactions: [{{externalid: A, route: R, linkeddata: {linked}}}]\n")
    server.faults.add("status=503 message='not +447700900123' retry-after=0", "status=400 message='nor +447700900123'")
    text = json.dumps(followed(place))
    assert "7700900123" not in text
    assert text.count("(sensitive)") >= 2


# -- heartbeats ------------------------------------------------------------------------------------------------------


class Pulse(SystemClock):
    """A clock that stands, until it is moved on; knows how often somebody began to wait."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.waits = 0

    def monotonic(self) -> float:
        """See throttle.Clock."""
        return self.passed

    def wait(self, seconds: float, until: threading.Event) -> None:
        """See throttle.Clock."""
        due = self.passed + seconds
        self.waits += 1
        while self.passed < due and not until.wait(0.001):
            pass

    def move(self, seconds: float) -> None:
        """Let so many seconds pass, and whoever waited for them go on to the next wait."""
        until, waits = threading.Event(), self.waits
        self.passed += seconds
        while self.waits == waits and seconds >= 10:
            until.wait(0.001)


def test_heartbeats(place: Workplace, server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds of nothing are a line; less are none."""
    pulse = Pulse()
    monkeypatch.setattr("reconciler.cli.events.SystemClock", lambda: pulse)
    place.declare(ONE)

    def slow(call: Any) -> None:
        if call.requests:
            pulse.move(10)
            pulse.move(10)
            pulse.move(5)

    server.on_call = slow
    assert kinds(followed(place))[2:-3] == ["sent", "heartbeat", "heartbeat", "answered"]
