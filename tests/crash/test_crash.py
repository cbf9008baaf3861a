"""A run may be killed anywhere, with or without its disk: the next apply brings about what is declared, once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.crash.conftest import MakeBench
from tests.crash.harness import ARRIVE, Arrive, seeded
from tests.crash.scenarios import SCENARIOS, USUAL
from tests.soak.budget import InTime, while_it_lasts

DOUBLE_KILLS = 3


@pytest.mark.parametrize("name", USUAL)
def test_killed_anywhere(make_bench: MakeBench, name: str) -> None:
    """After a kill before, amid or after any effect, on any disk that may be left, one more apply makes it right."""
    findings = list(make_bench(SCENARIOS[name]).findings())
    assert not findings, "\n".join(map(str, findings[:5]))


@pytest.mark.parametrize("name", USUAL)
def test_killed_twice(make_bench: MakeBench, name: str) -> None:
    """After a kill of the run and another of the one after it, the third makes it right; at seeded places."""
    bench = make_bench(SCENARIOS[name])
    points = bench.points(bench.prepare())
    findings = list(bench.kill_twice(seeded(points, DOUBLE_KILLS, seed=len(points))))
    assert not findings, "\n".join(map(str, findings[:5]))


@pytest.mark.soak
@pytest.mark.parametrize("arrive", ARRIVE)
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_anywhere_thoroughly(make_bench: MakeBench, in_time: InTime, name: str, arrive: Arrive) -> None:
    """As test_killed_anywhere, in every scenario, before each effect too, with late calls arriving at each time."""
    bench = make_bench(replace(SCENARIOS[name], thorough=True))
    points = while_it_lasts(bench.points(bench.prepare()), in_time)
    findings = list(bench.kill_everywhere(points, arrive))
    assert not findings, "\n".join(map(str, findings[:5]))


@pytest.mark.soak(weight=4)
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_twice_everywhere(make_bench: MakeBench, in_time: InTime, name: str) -> None:
    """As test_killed_twice, in every scenario, at each pair of places."""
    bench = make_bench(SCENARIOS[name])
    findings = list(bench.kill_twice_everywhere(while_it_lasts(bench.points(bench.prepare()), in_time)))
    assert not findings, "\n".join(map(str, findings[:5]))
