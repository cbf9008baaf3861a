"""Budget, back-off and rate, by the waits that a run asks for; and how waiting shows."""

from __future__ import annotations

import os
import pty
import subprocess
from contextlib import AbstractContextManager
from unittest import mock

import pytest

from reconciler.delivery.retry import BACKOFF_CAP, backoff
from tests.api import SandboxServer
from tests.clock import QuickClock
from tests.command import Workplace
from tests.faults.harness import FOUR, SPREAD, apply, check_recovers, invokes, many, pending


def loaded(value: float) -> AbstractContextManager[object]:
    """Let apply use loaded dice."""
    return mock.patch("reconciler.cli.apply.random.random", return_value=value)


@pytest.mark.parametrize("fault", ["status=500", "status=429", "status=503 path=token"])
def test_back_off_is_exponential_with_full_jitter(
    place: Workplace, server: SandboxServer, clock: QuickClock, fault: str
) -> None:
    """The nth wait lies anywhere from nothing to half a second times two to the n, whatever the fault."""
    place.declare(FOUR)
    server.faults.add(f"{fault} times=always")
    apply(place)
    again = [wait for wait in clock.waits if wait > 0]
    assert len(again) >= 4
    if "429" not in fault:  # there, the rate limiter adds its own waits
        assert all(0 <= wait <= 0.5 * 2**number for number, wait in enumerate(clock.waits, start=1))


def test_back_off_uses_its_whole_range(place: Workplace, server: SandboxServer, clock: QuickClock) -> None:
    """Jitter is full: with the dice at either end, the waits are none at all and the whole of each step."""
    place.declare(FOUR)
    server.faults.add("status=500 times=always")
    with loaded(0.0):
        apply(place)
    assert clock.waits == [0.0, 0.0, 0.0, 0.0]
    clock.waits.clear()
    with loaded(0.999999):
        apply(place)
    assert clock.waits == pytest.approx([1, 2, 4, 8], rel=0.01)
    assert backoff(50, 1.0) == BACKOFF_CAP


@pytest.mark.parametrize(
    ("status", "retry_after", "least", "most"),
    [
        (429, "7", 7, 7),
        (503, "7", 7, 7),
        (500, "date+7", 5, 9),
        (408, "date-7", 0, 1),
        (503, "raw:soon", 0, 1),
    ],
)
def test_retry_after_is_honoured(
    place: Workplace,
    server: SandboxServer,
    clock: QuickClock,
    *,
    status: int,
    retry_after: str,
    least: float,
    most: float,
) -> None:
    """Retry-After in seconds or as a date is the least wait; nonsense and the past count as none."""
    place.declare(FOUR)
    server.faults.add(f"status={status} retry-after='{retry_after}'")
    assert apply(place).code == 0
    assert least <= clock.waits[0] <= most
    assert len(invokes(server)) == 2


@pytest.mark.parametrize(("status", "code"), [(503, 7), (429, 1)])
def test_the_budget_is_time_as_well(
    place: Workplace, server: SandboxServer, clock: QuickClock, status: int, code: int
) -> None:
    """A wait that would pass 120 seconds in all isn't begun: three tries instead of five."""
    place.declare(FOUR)
    server.faults.add(f"status={status} retry-after=50 times=always")
    assert apply(place).code == code
    assert len(invokes(server)) == 3
    assert sum(clock.waits) <= 120
    check_recovers(place, server)


@pytest.mark.parametrize("retry_after", ["121", "date+86400"])
@pytest.mark.parametrize(("status", "code"), [(503, 7), (429, 1)])
def test_a_wait_beyond_the_budget_is_not_waited(
    place: Workplace, server: SandboxServer, clock: QuickClock, *, status: int, code: int, retry_after: str
) -> None:
    """An API that asks for a day gets one call of each Invocation at most, and the run ends without waiting."""
    place.declare(many(30))
    server.faults.add(f"status={status} retry-after={retry_after} times=always")
    ran = place.run("apply", "--auto-approve", env=SPREAD)
    assert ran.code == code
    assert sum(clock.waits) <= 120
    if status == 429:
        assert len(invokes(server)) == 1
        assert "asked for a longer wait than this run may take" in ran.out
        assert len(pending(place, unsent=True)) == 30
    server.faults.clear()
    clock.passed += 1_000_000
    check_recovers(place, server, frozenset(f"id-{number:03}" for number in range(30)))


def test_after_429s_the_run_slows_down(place: Workplace, server: SandboxServer, clock: QuickClock) -> None:
    """Each 429 doubles the gap between calls; each success takes a fifth off it, until calls run free again."""
    place.declare(many(200))
    server.faults.add("status=429 times=3")
    with loaded(0.0):
        assert place.run("apply", "--auto-approve", env=SPREAD).code == 0
    gaps = [wait for wait in clock.waits if wait]
    # After three 429s: 0.2, 0.4, 0.8; then 0.8 less a fifth each time.
    assert gaps[:3] == pytest.approx([0.2, 0.4, 0.8])
    assert gaps[3:7] == pytest.approx([0.8, 0.64, 0.512, 0.4096])
    wide = [gap for gap in gaps[3:] if gap > 0.1]
    assert wide == sorted(wide, reverse=True)
    assert len(gaps) < len(invokes(server)) - 3


def test_other_invocations_wait_with_the_throttled_one(
    place: Workplace, server: SandboxServer, clock: QuickClock
) -> None:
    """The limit is the account's: after a 429 with Retry-After nothing at all goes out before that time."""
    place.declare(many(60))
    server.faults.add("status=429 retry-after=30 nth=2")
    assert apply(place, request_bytes="1000", parallelism="4").code == 0
    assert max(clock.waits) > 25
    check_recovers(place, server, frozenset(f"id-{number:03}" for number in range(60)))


# -- how it shows ------------------------------------------------------------------------------------------------------


def test_waiting_shows_in_a_pipe(place: Workplace, server: SandboxServer) -> None:
    """Without a terminal, each wait is a line on stderr with its reason and its length."""
    place.declare(FOUR)
    server.faults.add("status=503 message='Back soon' retry-after=2 times=2")
    ran = apply(place)
    assert ran.code == 0
    assert ran.err.count("the API answered 503: Back soon; trying again in 2.0 s\n") == 2
    assert "\r" not in ran.err
    assert "trying again" not in ran.out


def test_waiting_shows_in_json_logs(place: Workplace, server: SandboxServer) -> None:
    """With --log-format json each wait is a record."""
    place.declare(FOUR)
    server.faults.add("status=503 retry-after=2")
    ran = place.run("apply", "--auto-approve", "--log-format", "json")
    assert '"message": "the API answered 503: Service Unavailable; trying again in 2.0 s"' in ran.err


@pytest.mark.parametrize("columns", ["80", "40"])
def test_waiting_shows_on_a_terminal(place: Workplace, server: SandboxServer, columns: str) -> None:
    """On a terminal the progress line tells how long the wait is, within the width of the terminal."""
    place.declare(FOUR)
    server.faults.add(f"status=503 message='{'Maintenance, ' * 20}' retry-after=1")
    leader, follower = pty.openpty()
    with place.spawn(
        "apply", "--auto-approve", env={"COLUMNS": columns}, stdout=subprocess.DEVNULL, stderr=follower
    ) as process:
        os.close(follower)
        shown = _read_all(leader)
        assert process.wait(30) == 0
    (line,) = {part for part in shown.split("\r") if "trying again" in part}
    line = line.removesuffix("\x1b[K")
    assert line.endswith("; trying again in 1.0 s")
    assert len(line) < int(columns)
    assert "0/4" in line


def _read_all(descriptor: int) -> str:
    data = b""
    try:
        while part := os.read(descriptor, 4096):
            data += part
    except OSError:
        pass  # Linux ends a terminal whose other side is closed with an error
    os.close(descriptor)
    return data.decode()
