"""A soak ends by itself."""

from __future__ import annotations

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from tests.clock import QuickClock
from tests.soak.budget import Budget, while_it_lasts


@given(st.lists(st.tuples(st.floats(0.1, 20), st.floats(0, 400)), max_size=50))
def test_shares_never_exceed_what_there_is(tests: list[tuple[float, float]]) -> None:
    """Whatever each test takes, no share goes beyond the end, an early end leaves more to others, then none begins."""
    clock = QuickClock()
    budget = Budget(1000.0, sum(weight for weight, _ in tests), clock.monotonic)
    for weight, takes in tests:
        in_time = budget.share(weight)
        assert (in_time is None) == (clock.passed >= 1000)
        if in_time:
            began = clock.passed
            clock.passed = 1000.0
            assert not in_time()
            clock.passed = began + takes
    assert budget.share(1.0) is None or clock.passed < 1000


def test_what_goes_on_ends_with_its_share() -> None:
    """Each thing once in any order; none is begun when the time is over, but the first."""
    ticks = count()
    assert sorted(while_it_lasts(range(9), lambda: True)) == list(range(9))
    assert len(list(while_it_lasts(range(9), lambda: next(ticks) < 3))) == 4
    assert len(list(while_it_lasts(range(9), lambda: False))) == 1
