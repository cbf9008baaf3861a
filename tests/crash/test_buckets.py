"""A run whose state is in a bucket may be killed anywhere, and its machine be gone: another goes on with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from tests.crash.buckets import BucketBench
from tests.crash.conftest import MakeBench
from tests.crash.harness import ARRIVE, Arrive
from tests.crash.scenarios import SCENARIOS
from tests.soak.budget import InTime, while_it_lasts
from tests.state.stores.cloud import Cloud


@pytest.fixture
def make_shared(make_bench: MakeBench) -> Iterator[Callable[[str], BucketBench]]:
    """Make a bench for a scenario, with a cloud of its own."""
    with Cloud() as cloud:

        def make(name: str) -> BucketBench:
            bench = make_bench(SCENARIOS[name])
            return BucketBench(bench.folder, bench.server, bench.driver, bench.scenario, tally=bench.tally, cloud=cloud)

        yield make


def test_killed_anywhere(make_shared: Callable[[str], BucketBench]) -> None:
    """After a kill after any effect, one more apply from another folder makes it right."""
    findings = list(make_shared("dispatch").findings())
    assert not findings, "\n".join(map(str, findings[:5]))


@pytest.mark.soak
@pytest.mark.parametrize("arrive", ARRIVE)
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_anywhere_thoroughly(
    make_shared: Callable[[str], BucketBench], in_time: InTime, name: str, arrive: Arrive
) -> None:
    """As test_killed_anywhere, in every scenario, before each effect too, with late calls arriving at each time."""
    bench = make_shared(name)
    bench.scenario = replace(bench.scenario, thorough=True)
    points = while_it_lasts(bench.points(bench.prepare()), in_time)
    findings = list(bench.kill_everywhere(points, arrive))
    assert not findings, "\n".join(map(str, findings[:5]))


@pytest.mark.soak(weight=4)
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_twice_everywhere(make_shared: Callable[[str], BucketBench], in_time: InTime, name: str) -> None:
    """After a kill of the run and another of the one after it, at each pair of places, the third makes it right."""
    bench = make_shared(name)
    findings = list(bench.kill_twice_everywhere(while_it_lasts(bench.points(bench.prepare()), in_time)))
    assert not findings, "\n".join(map(str, findings[:5]))
