"""How many calls go out at a time: felt for, on servers that throttle or slow down in ways of their own."""

from __future__ import annotations

import heapq
import random
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from reconciler.delivery.answers import Accepted, Answer, NotProcessed
from reconciler.delivery.batch import Invocation
from reconciler.delivery.retry import Budget, History, Retry, Settled, decide
from reconciler.delivery.throttle import RateLimiter, StopSignal
from reconciler.delivery.width import FIRST, WIDEST, Width
from tests.clock import QuickClock
from tests.golden import assert_table
from tests.known import interaction, request

DOCS: Final = Path(__file__).parents[2] / "docs"
ONE: Final = Invocation.of("Crm", (request("r1", interaction("A")),))
CALLS: Final = 600
FIXED: Final = (1, 2, 4, 8, 16)


@dataclass
class Server:
    """An API as a model: it is told when a call arrives, and says what it answers after how long."""

    now: float = 0.0
    inside: int = 0
    most: int = 0
    refused: int = 0

    def arrive(self, now: float) -> tuple[Answer, float]:
        """Take a call."""
        self.now = now
        self.inside += 1
        self.most = max(self.most, self.inside)
        answer, seconds = self.answer()
        self.refused += isinstance(answer, NotProcessed)
        return answer, seconds

    def answer(self) -> tuple[Answer, float]:
        """Take whatever comes, 100 ms each."""
        return Accepted(frozenset()), 0.1


@dataclass
class Uneven(Server):
    """It takes whatever comes, and as long as it happens to: a tenth of a second mostly."""

    draw: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311

    def answer(self) -> tuple[Answer, float]:
        """Answer after a time that says nothing."""
        return Accepted(frozenset()), self.draw.lognormvariate(-2.3, 0.5)


class Concurrent(Server):
    """It takes six at a time."""

    def answer(self) -> tuple[Answer, float]:
        """Refuse the seventh at once."""
        return (NotProcessed("429", throttled=True), 0.01) if self.inside > 6 else super().answer()


@dataclass
class Rated(Server):
    """It takes 30 calls a second, saving up ten; `others` is what the account's other programs take of that."""

    tokens: float = 10.0
    filled: float = 0.0
    others: Callable[[float], float] = lambda _now: 0.0

    def answer(self) -> tuple[Answer, float]:
        """Refuse what comes too often, and say for how long."""
        rate = 30.0 - self.others(self.now)
        self.tokens = min(10.0, self.tokens + (self.now - self.filled) * rate)
        self.filled = self.now
        if self.tokens < 1:
            return NotProcessed("429", retry_after=1.0, throttled=True), 0.01
        self.tokens -= 1
        return super().answer()


class Slowing(Server):
    """It takes four at a time; more of them share what it can do, and then some."""

    def answer(self) -> tuple[Answer, float]:
        """Answer the later, the more there are."""
        return Accepted(frozenset()), 0.1 * max(1.0, self.inside / 4) ** 1.2


SERVERS: Final[dict[str, Callable[[], Server]]] = {
    "takes whatever comes": Server,
    "is uneven": Uneven,
    "takes six at a time": Concurrent,
    "takes 30 a second": Rated,
    "takes 30 a second, shared with others": lambda: Rated(others=lambda now: 20.0 if now % 10 < 5 else 0.0),
    "slows down from four on": Slowing,
}


@dataclass
class Run:
    """An apply in virtual time: the real width, rate limiter and decisions, on a server that is a model."""

    server: Server
    width: Width
    clock: QuickClock = field(default_factory=QuickClock)
    lost: int = 0

    def __post_init__(self) -> None:
        """Start with everything still to be sent."""
        self.limiter = RateLimiter(self.clock)
        self.jitter = random.Random(0).random  # noqa: S311
        self.numbers, self.left, self.in_flight, self.calls = count(), CALLS, 0, 0
        self.due: list[tuple[float, int, Callable[[], None]]] = []
        self.waiting: deque[Callable[[], None]] = deque()

    def seconds(self) -> float:
        """Run to the end, and return how long it took."""
        self.fill()
        while self.due:
            self.clock.passed, _, happen = heapq.heappop(self.due)
            happen()
            while self.waiting and self.calls < self.width.allowed:
                self.waiting.popleft()()
            self.fill()
        return self.clock.passed

    def at(self, seconds: float, happen: Callable[[], None]) -> None:
        """Let something happen so much later."""
        heapq.heappush(self.due, (self.clock.passed + seconds, next(self.numbers), happen))

    def fill(self) -> None:
        """Begin as many attempts as may be in flight."""
        while self.left and self.in_flight < self.width.allowed:
            self.left, self.in_flight = self.left - 1, self.in_flight + 1
            self.attempt(1, self.clock.passed)

    def attempt(self, tries: int, began: float) -> None:
        """Call as soon as there is room and it is this call's turn."""
        if self.calls >= self.width.allowed:
            self.waiting.append(lambda: self.attempt(tries, began))
            return
        self.calls += 1
        before = self.clock.passed
        self.limiter.take_turn(StopSignal(), 1e9)
        wait, self.clock.passed = self.clock.passed - before, before
        self.at(wait, lambda: self.call(tries, began))

    def call(self, tries: int, began: float) -> None:
        """Arrive at the server."""
        answer, seconds = self.server.arrive(self.clock.passed)
        called = self.clock.passed
        self.at(seconds, lambda: self.answered(answer, tries, began, called))

    def answered(self, answer: Answer, tries: int, began: float, called: float) -> None:
        """Heed the answer as the real Retrier does, and go on."""
        now = self.clock.passed
        self.server.inside, self.calls = self.server.inside - 1, self.calls - 1
        if isinstance(answer, NotProcessed):
            self.limiter.slow_down(answer.retry_after, called)
            self.width.throttled(called, now)
        else:
            self.limiter.speed_up()
            self.width.succeeded(called, now)
        decision = decide(answer, ONE, History(tries, now - began, unknown=False), Budget(), self.jitter())
        if isinstance(decision, Retry):
            self.at(decision.wait, lambda: self.attempt(tries + 1, began))
            return
        self.lost += not isinstance(decision, Settled)
        self.in_flight -= 1


def ran(name: str, fixed: int | None) -> tuple[float, Run]:
    """Return how long it took, and the run."""
    run = Run(SERVERS[name](), Width(fixed))
    return run.seconds(), run


@pytest.mark.parametrize("name", SERVERS)
def test_feeling_for_it_is_never_a_storm_and_never_slower_than_four(name: str) -> None:
    """On every server: no more than 16 at a time, few calls refused, none given up, and as fast as four at a time."""
    seconds, run = ran(name, None)
    of_four, four = ran(name, FIRST)
    assert run.server.most <= WIDEST
    assert run.lost <= four.lost
    assert run.server.refused <= CALLS / 10
    assert seconds <= of_four * 1.07


def test_the_table_in_the_docs() -> None:
    """Seconds of 600 calls by how many go out at a time: docs/performance.md shows what is computed here."""
    head = f"| {CALLS} calls to a server that | {' | '.join(map(str, FIXED))} | auto | refused |\n"
    rows = [head, "|" + "---|" * (len(FIXED) + 3) + "\n"]
    for name in SERVERS:
        seconds, run = ran(name, None)
        fixed = [ran(name, width) for width in FIXED]
        cells = [f"{took:.0f}" + (f", {each.lost} given up" if each.lost else "") for took, each in fixed]
        rows.append(f"| {name} | {' | '.join(cells)} | {seconds:.0f} | {run.server.refused} |\n")
    assert_table("".join(rows), DOCS / "performance.md")


def test_each_success_allows_one_more_up_to_the_widest() -> None:
    """It starts with four, and goes up to sixteen."""
    width, seen = Width(None), []
    for now in range(14):
        seen.append(width.allowed)
        width.succeeded(now, now + 0.1)
    assert seen == [*range(4, 17), 16]


def test_429_of_one_moment_halve_once() -> None:
    """Ten calls that were on their way together say one thing; a later one says another."""
    width = Width(None)
    for now in range(12):
        width.succeeded(now, now + 0.1)
    for _ in range(10):
        width.throttled(20.0, 20.1)
    assert width.allowed == 8
    width.throttled(20.2, 20.3)
    assert width.allowed == 4


def test_there_is_always_one() -> None:
    """However often the API throttles, one call may go out."""
    width = Width(None)
    for now in range(9):
        width.throttled(now, now)
    assert width.allowed == 1


def test_a_number_fixes_it() -> None:
    """With a number nothing is felt for."""
    width = Width(7)
    width.throttled(0.0, 0.1)
    width.succeeded(1.0, 99.0)
    assert (width.allowed, width.most) == (7, 7)


def test_no_more_calls_than_allowed() -> None:
    """Threads wait until there is room; that there is, is told as soon as a call has ended."""
    width, inside, most = Width(2), [], []
    barrier = threading.Barrier(6)

    def work() -> None:
        barrier.wait()
        for _ in range(50):
            with width.call():
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) <= 2
    assert len(most) == 300
