"""A run whose state is on a branch may be killed anywhere, and its machine be gone: another goes on with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.crash.branches import BranchBench
from tests.crash.conftest import MakeBench
from tests.crash.scenarios import SCENARIOS
from tests.soak.budget import InTime, while_it_lasts

MakeShared = Callable[[str], BranchBench]


@pytest.fixture
def make_shared(make_bench: MakeBench) -> MakeShared:
    """Make a bench for a scenario, with a repository of its own."""

    def make(name: str) -> BranchBench:
        bench = make_bench(SCENARIOS[name])
        return BranchBench(bench.folder, bench.server, bench.driver, bench.scenario, tally=bench.tally)

    return make


def test_killed_at_a_push(make_shared: MakeShared) -> None:
    """A push may go on after the run that began it is dead; whether it counts, the next run sees by itself."""
    bench = make_shared("dispatch-then-edited")
    points = [point for point in bench.points(bench.prepare()) if point.event.op == "push"]
    findings = list(bench.kill_everywhere(points[1:3]))
    assert not findings, "\n".join(map(str, findings[:5]))


@pytest.mark.soak(weight=2)
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_anywhere(make_shared: MakeShared, in_time: InTime, name: str) -> None:
    """After a kill around any write of the branch and any call, one more apply from another clone makes it right."""
    bench = make_shared(name)
    bench.scenario = replace(bench.scenario, thorough=True)
    findings = list(bench.kill_everywhere(while_it_lasts(bench.points(bench.prepare()), in_time)))
    assert not findings, "\n".join(map(str, findings[:5]))
