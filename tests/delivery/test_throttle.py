"""When calls go out: at once, until the API throttles; and not at all once the brake is pulled."""

from __future__ import annotations

import queue
import threading
from datetime import datetime

from reconciler.delivery.throttle import FIRST_INTERVAL, LONGEST_INTERVAL, Brake, Pace
from tests.known import NOW

FOREVER = 1e9


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.passed = 100.0

    def now(self) -> datetime:
        """See pace.Clock."""
        return NOW

    def monotonic(self) -> float:
        """See pace.Clock."""
        return self.passed

    def wait(self, seconds: float, until: threading.Event) -> None:
        """See pace.Clock."""
        if not until.is_set():
            self.passed += seconds


def gaps(pace: Pace, clock: Clock, turns: int) -> list[float]:
    """Take some turns and return the seconds before each."""
    found = []
    for _ in range(turns):
        before = clock.passed
        assert pace.take_turn(Brake(), FOREVER)
        found.append(round(clock.passed - before, 6))
    return found


def test_there_is_no_gap_at_first() -> None:
    """Until the API throttles, calls follow each other without a wait."""
    clock = Clock()
    assert gaps(Pace(clock), clock, 3) == [0, 0, 0]


def test_each_429_doubles_the_gap() -> None:
    """The first 429 sets a small gap between any two calls, each further one doubles it."""
    clock = Clock()
    pace = Pace(clock)
    for factor in (1, 2, 4):
        pace.slow_down(0)
        assert gaps(pace, clock, 3) == [round(FIRST_INTERVAL * factor, 6)] * 3


def test_the_gap_has_a_limit() -> None:
    """However often the API throttles, calls go on."""
    clock = Clock()
    pace = Pace(clock)
    for _ in range(50):
        pace.slow_down(0)
    assert gaps(pace, clock, 2) == [LONGEST_INTERVAL, LONGEST_INTERVAL]


def test_retry_after_holds_everybody() -> None:
    """Nothing goes out for as long as the API asked, and then with a gap."""
    clock = Clock()
    pace = Pace(clock)
    pace.slow_down(30)
    assert gaps(pace, clock, 2) == [30, FIRST_INTERVAL]


def test_a_shorter_retry_after_does_not_shorten_a_longer_one() -> None:
    """Two calls in flight may both be throttled: the longer wait counts."""
    clock = Clock()
    pace = Pace(clock)
    pace.slow_down(30)
    pace.slow_down(1)
    assert gaps(pace, clock, 1) == [30]


def test_success_closes_the_gap() -> None:
    """Each success takes a fifth off the gap, until there is none."""
    clock = Clock()
    pace = Pace(clock)
    pace.slow_down(0)
    gaps(pace, clock, 1)
    pace.speed_up()
    gaps(pace, clock, 1)
    assert gaps(pace, clock, 1) == [round(FIRST_INTERVAL * 0.8, 6)]
    for _ in range(20):
        pace.speed_up()
    gaps(pace, clock, 1)
    assert gaps(pace, clock, 2) == [0, 0]


def test_patience() -> None:
    """A turn that is further away than the caller can wait is not taken, and costs nobody else a gap."""
    clock = Clock()
    pace = Pace(clock)
    pace.slow_down(30)
    assert not pace.take_turn(Brake(), 29.9)
    assert clock.passed == 100
    assert gaps(pace, clock, 1) == [30]


def test_a_pulled_brake_ends_the_wait() -> None:
    """Whoever waits for a turn is let go as soon as sending ends."""
    clock, brake = Clock(), Brake()
    pace = Pace(clock)
    pace.slow_down(1000)
    brake.pull()
    assert pace.take_turn(brake, FOREVER)
    assert clock.passed == 100


def test_turns_are_shared_among_threads() -> None:
    """The gap is between any two calls of the run, whichever threads they come from."""
    waits: queue.SimpleQueue[float] = queue.SimpleQueue()

    class Waits(Clock):
        def wait(self, seconds: float, until: threading.Event) -> None:
            assert not until.is_set()
            waits.put(round(seconds, 6))

    pace = Pace(Waits())
    pace.slow_down(0)
    threads = [threading.Thread(target=pace.take_turn, args=(Brake(), FOREVER)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits.get_nowait() for _ in threads) == [round(FIRST_INTERVAL * turn, 6) for turn in range(1, 6)]


def test_the_brake() -> None:
    """A brake that something wrong pulled is no interruption; one that a person pulled is."""
    wrong, asked = Brake(), Brake()
    wrong.pull()
    asked.interrupt()
    assert (wrong.pulled.is_set(), wrong.interrupted) == (True, False)
    assert (asked.pulled.is_set(), asked.interrupted) == (True, True)
