"""When calls go out: at once, until the API throttles; and not at all once the stop signal is given."""

from __future__ import annotations

import queue
import threading

from reconciler.delivery.throttle import FIRST_INTERVAL, LONGEST_INTERVAL, RateLimiter, StopSignal
from tests.clock import QuickClock
from tests.known import NOW

FOREVER = 1e9


def clocked() -> QuickClock:
    """Return a clock that has been running for a while."""
    return QuickClock(NOW, 100.0)


def gaps(limiter: RateLimiter, clock: QuickClock, turns: int) -> list[float]:
    """Take some turns and return the seconds before each."""
    found = []
    for _ in range(turns):
        before = clock.passed
        assert limiter.take_turn(StopSignal(), FOREVER)
        found.append(round(clock.passed - before, 6))
    return found


def test_there_is_no_gap_at_first() -> None:
    """Until the API throttles, calls follow each other without a wait."""
    clock = clocked()
    assert gaps(RateLimiter(clock), clock, 3) == [0, 0, 0]


def test_each_429_doubles_the_gap() -> None:
    """The first 429 sets a small gap between any two calls, each further one doubles it."""
    clock = clocked()
    limiter = RateLimiter(clock)
    for factor in (1, 2, 4):
        limiter.slow_down(0, clock.monotonic())
        assert gaps(limiter, clock, 3) == [round(FIRST_INTERVAL * factor, 6)] * 3


def test_the_gap_has_a_limit() -> None:
    """However often the API throttles, calls go on."""
    clock = clocked()
    limiter = RateLimiter(clock)
    for _ in range(50):
        limiter.slow_down(0, clock.monotonic())
    assert gaps(limiter, clock, 2) == [LONGEST_INTERVAL, LONGEST_INTERVAL]


def test_retry_after_holds_everybody() -> None:
    """Nothing goes out for as long as the API asked, and then with a gap."""
    clock = clocked()
    limiter = RateLimiter(clock)
    limiter.slow_down(30, clock.monotonic())
    assert gaps(limiter, clock, 2) == [30, FIRST_INTERVAL]


def test_a_shorter_retry_after_does_not_shorten_a_longer_one() -> None:
    """Two calls in flight may both be throttled: the longer wait counts."""
    clock = clocked()
    limiter = RateLimiter(clock)
    limiter.slow_down(30, clock.monotonic())
    limiter.slow_down(1, clock.monotonic())
    assert gaps(limiter, clock, 1) == [30]


def test_success_closes_the_gap() -> None:
    """Each success takes a fifth off the gap, until there is none."""
    clock = clocked()
    limiter = RateLimiter(clock)
    limiter.slow_down(0, clock.monotonic())
    gaps(limiter, clock, 1)
    limiter.speed_up()
    gaps(limiter, clock, 1)
    assert gaps(limiter, clock, 1) == [round(FIRST_INTERVAL * 0.8, 6)]
    for _ in range(20):
        limiter.speed_up()
    gaps(limiter, clock, 1)
    assert gaps(limiter, clock, 2) == [0, 0]


def test_patience() -> None:
    """A turn that is further away than the caller can wait is not taken, and costs nobody else a gap."""
    clock = clocked()
    limiter = RateLimiter(clock)
    limiter.slow_down(30, clock.monotonic())
    assert not limiter.take_turn(StopSignal(), 29.9)
    assert clock.passed == 100
    assert gaps(limiter, clock, 1) == [30]


def test_a_pulled_brake_ends_the_wait() -> None:
    """Whoever waits for a turn is let go as soon as sending ends."""
    clock, stop_signal = clocked(), StopSignal()
    limiter = RateLimiter(clock)
    limiter.slow_down(1000, clock.monotonic())
    stop_signal.give()
    assert limiter.take_turn(stop_signal, FOREVER)
    assert clock.passed == 100


def test_turns_are_shared_among_threads() -> None:
    """The gap is between any two calls of the run, whichever threads they come from."""
    waits: queue.SimpleQueue[float] = queue.SimpleQueue()

    class Waits(QuickClock):
        def wait(self, seconds: float, until: threading.Event) -> None:
            assert not until.is_set()
            waits.put(round(seconds, 6))

    limiter = RateLimiter(Waits())
    limiter.slow_down(0, 0.0)
    threads = [threading.Thread(target=limiter.take_turn, args=(StopSignal(), FOREVER)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits.get_nowait() for _ in threads) == [round(FIRST_INTERVAL * turn, 6) for turn in range(1, 6)]


def test_the_brake() -> None:
    """A stop signal that something wrong gave is no interruption; one that a person gave is."""
    wrong, asked = StopSignal(), StopSignal()
    wrong.give()
    asked.interrupt()
    assert (wrong.given.is_set(), wrong.interrupted) == (True, False)
    assert (asked.given.is_set(), asked.interrupted) == (True, True)
