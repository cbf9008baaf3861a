"""A release of what may be open: it fails because nothing is, or for a passing reason, so one try proves too little."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass

import pytest

from tests.api import SandboxServer
from tests.api.record import Call
from tests.clock import QuickClock
from tests.command import Ran, Workplace
from tests.faults.harness import apply, check_done, failures, invokes, pending

OLD = "provider: P\ninteractions: [{externalid: A, route: Old}]\n"
NEW = (
    "provider: P\ninteractions: [{externalid: A, route: New}, {externalid: B, route: New}, {externalid: C, route: N}]\n"
)
NAMES = frozenset({"A", "B", "C"})
PROCESSED, LOST = "drop=after times=5", "late-copy times=5"


@pytest.fixture
def doubtful(place: Workplace, server: SandboxServer) -> Workplace:
    """Give a folder where A was dispatched, nobody knows it, and something else is declared now."""
    leave_in_doubt(place, server, PROCESSED)
    return place


def leave_in_doubt(place: Workplace, server: SandboxServer, faults: str) -> None:
    """Dispatch A with an outcome that stays unknown, then declare something else."""
    place.declare(OLD)
    server.faults.add(faults)
    assert apply(place).code == 7
    server.faults.clear()
    place.declare(NEW)


def sent(server: SandboxServer, address: str) -> list[tuple[str, str]]:
    """Return action and outcome of what was processed of an interaction, in order, without ignored copies."""
    history = server.emulator.record.history(address)
    return [(entry.request.action, entry.outcome.value) for entry in history if entry.outcome.value != "ignored"]


DISPATCHED, RELEASED, FAILED = ("dispatch", "dispatched"), ("release", "released"), ("release", "failed")


@pytest.mark.parametrize("failed", [0, 1, 2])
def test_it_is_tried_again_before_what_stands_behind_it(
    doubtful: Workplace, server: SandboxServer, clock: QuickClock, failed: int
) -> None:
    """While it fails it is tried again, after growing pauses, in the same run; the dispatch comes after its success."""
    before = len(clock.waits)
    server.faults.add(*["fail action=release externalid=A"] * failed)
    ran = apply(doubtful)
    assert ran.code == 0, ran.out
    assert sent(server, "A") == [DISPATCHED, *[FAILED] * failed, RELEASED, DISPATCHED]
    pauses = [seconds for seconds in clock.waits[before:] if seconds > 1]
    assert pauses == pytest.approx([2.0, 4.0][:failed], abs=1)
    assert ran.err.count("a release of what may be open failed; trying again in ") == failed
    assert "failed" not in ran.err.splitlines()[-1]
    check_done(doubtful, server, NAMES)


@pytest.mark.parametrize("attempts", [1, 2, 3, 5])
def test_after_release_attempts_failures_it_is_taken_as_gone(
    place: Workplace, server: SandboxServer, attempts: int
) -> None:
    """Where nothing is open each try fails, and the dispatch goes out in the same run; none is told of as a failure."""
    leave_in_doubt(place, server, LOST)
    ran = apply(place, release_attempts=str(attempts))
    assert ran.code == 0, ran.out
    told = [line for line in ran.err.splitlines() if "requests answered" in line]
    assert told[-1] == "5/5 requests answered"  # a burn, a release however often it was tried, three dispatches
    assert sent(server, "A") == [FAILED, *[FAILED] * attempts, DISPATCHED]  # the burn first
    server.release_late_copies()
    check_done(place, server, NAMES)


def test_others_do_not_wait(doubtful: Workplace, server: SandboxServer) -> None:
    """While a release waits to be tried again, what is declared besides is dispatched."""
    server.faults.add("fail action=release externalid=A")
    assert apply(doubtful).code == 0
    order = [(request.action, request.externalid) for call in invokes(server)[5:] for request in call.requests]
    assert order == [
        ("release", "A"),
        ("release", "A"),
        *[("dispatch", name) for name in "BC"],
        ("release", "A"),
        ("dispatch", "A"),
    ]


def test_each_try_is_saved_before_anything_is_sent(doubtful: Workplace, server: SandboxServer) -> None:
    """All tries are pending under requestids of their own before the first request is sent, and none stays."""
    saved: list[list[str]] = []

    def look(_call: Call) -> None:
        saved.append(sorted(doubtful.state["pending"]))

    server.on_call = look
    server.faults.add(*["fail action=release externalid=A"] * 2)
    assert apply(doubtful).code == 0
    server.on_call = None
    later = {requestid for call in invokes(server)[5:] for requestid in call.requestids}
    assert len(later) == 7  # a burn, three tries, three dispatches
    assert later == set(saved[0])
    assert doubtful.state["pending"] == {}


@dataclass
class Interrupting(QuickClock):
    """A clock during whose long waits the user loses patience."""

    def wait(self, seconds: float, until: threading.Event) -> None:
        """See throttle.Clock."""
        if seconds > 1:
            signal.raise_signal(signal.SIGINT)
        super().wait(seconds, until)


def test_interrupted_between_tries(doubtful: Workplace, server: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in a pause ends the run at once; the next one makes the tries that are left, and no other."""
    server.faults.add("fail action=release externalid=A times=2")
    with monkeypatch.context() as patch:
        patch.setattr("reconciler.cli.apply.SystemClock", Interrupting)
        ran = apply(doubtful)
    assert ran.code == 130, ran.out
    assert sent(server, "A") == [DISPATCHED, FAILED]
    assert [link["kind"] for link in doubtful.state["pending"].values()].count("tolerant-release") == 2
    assert pending(doubtful, unsent=True) == {"A"}
    assert apply(doubtful).code == 0
    assert sent(server, "A") == [DISPATCHED, FAILED, FAILED, RELEASED, DISPATCHED]
    check_done(doubtful, server, NAMES)


@pytest.mark.parametrize("answer", ["status=400", "status=403", "status=429", "drop=before", "drop=after"])
def test_an_answer_that_is_none_does_not_count(doubtful: Workplace, server: SandboxServer, answer: str) -> None:
    """A try counts as failed only where a valid 200 says so: otherwise what stands behind it waits for the next run."""
    server.faults.add("fail action=release externalid=A", f"{answer} action=release nth=3 times=always")
    assert apply(doubtful).code in {1, 7}
    assert ("dispatch", "dispatched") not in sent(server, "A")[1:]
    server.faults.clear()
    assert apply(doubtful).code == 0
    check_done(doubtful, server, NAMES)


@pytest.mark.parametrize("answer", ["applied", "not-applied"])
def test_where_none_is_taken_as_gone_a_person_is_asked(place: Workplace, server: SandboxServer, answer: str) -> None:
    """With release_attempts 0 nothing is burnt or released on suspicion: what may be open is held, the rest goes on."""
    leave_in_doubt(place, server, PROCESSED if answer == "applied" else LOST)
    place.env["RECONCILER_RELEASE_ATTEMPTS"] = "0"
    ran = apply(place)
    assert ran.code == 7, ran.out
    assert "may be open, and with release_attempts: 0 no failed release proves that it is not" in ran.out
    assert set(server.emulator.open) - {"A"} == {"B", "C"}
    assert place.run("state", "resolve", "A", "--as", answer).code == 0
    ran = apply(place)
    assert (ran.code, failures(place)) == (0, {}), ran.out
    check_done(place, server, NAMES)


def shown(ran: Ran) -> list[str]:
    """Return the numbered lines of a plan."""
    return [line.strip() for line in ran.out.splitlines() if line.strip()[:2] in {"1.", "2.", "3.", "4."}]


def test_a_plan_shows_the_tries_as_one(doubtful: Workplace) -> None:
    """A reviewer reads how often it is tried, and machines read each request."""
    assert shown(doubtful.run("plan")) == [
        "1. burn the requestid of the earlier dispatch, by a release under it",
        "2. release, in case it is open; tried up to 3 times",
        "3. dispatch as declared now",
    ]
    (change, *_) = doubtful.run("plan", "--format", "json").json["changes"]
    assert [request["kind"] for request in change["requests"]] == ["burn", *["tolerant-release"] * 3, "dispatch"]
