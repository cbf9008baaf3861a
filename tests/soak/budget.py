"""The time that `make soak` takes: its tests share it by weight, and what it doesn't suffice for is skipped.

Their order is another one each time, so that several runs reach them all. A test that could go on for long does what it
does in random order until its share is over.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

import pytest

SECONDS: Final = 20 * 60.0
"""From then on no test begins; the one that is running ends within its timeout, ten minutes more (Makefile)."""
Thing = TypeVar("Thing")
InTime = Callable[[], bool]


class Budget:
    """Time, shared by weight: what one doesn't use is for the others."""

    def __init__(self, seconds: float, weights: float, now: Callable[[], float] = time.monotonic) -> None:
        self._ends = now() + seconds
        self._weights = weights
        self._now = now

    def share(self, weight: float) -> InTime | None:
        """Return what tells whether the share of the next one lasts; None if all is over."""
        now = self._now()
        if now >= self._ends:
            return None
        share = min(self._ends, now + (self._ends - now) * weight / max(self._weights, weight))
        self._weights -= weight
        return lambda: self._now() < share


def weight(item: pytest.Item) -> float:
    """Return how much of the time is for a test, beside others."""
    mark = item.get_closest_marker("soak")
    return float(mark.kwargs.get("weight", 1)) if mark else 0.0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the tests of a soak in random order, the same in all its processes; first of all what can't be cut short."""
    if config.option.markexpr == "soak":
        random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID")).shuffle(items)  # noqa: S311  # any order will do
        items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


@pytest.fixture(scope="session")
def budget(request: pytest.FixtureRequest) -> Budget:
    """Give the time of this process."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return Budget(SECONDS, sum(map(weight, request.session.items)) / processes)


@pytest.fixture(autouse=True)
def in_time(request: pytest.FixtureRequest) -> InTime:
    """Tell whether a test's share of the time lasts; only a soak's can end."""
    if not request.node.get_closest_marker("soak"):
        return lambda: True
    share: InTime | None = request.getfixturevalue("budget").share(weight(request.node))
    if share is None:
        pytest.skip("the time is over")
    return share


def while_it_lasts(things: Iterable[Thing], in_time: InTime) -> Iterator[Thing]:
    """Yield the things in random order, one at least, as long as there is time."""
    chosen = list(things)
    random.shuffle(chosen)
    for number, thing in enumerate(chosen):
        if number and not in_time():
            return
        yield thing
