"""One run at a time, and its end when the user asks for it: two runs at once, Ctrl-C and SIGTERM at any effect."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.record import Call
from tests.crash.conftest import MakeBench
from tests.crash.driver import Driver, Run
from tests.crash.effects import INVOKE
from tests.crash.harness import APPLY, STATE, Bench, Finding, Point, judge
from tests.crash.scenarios import SCENARIOS, Phase, Scenario, given

SLOW = Scenario("slow", Phase(given(a="A", b="Q/B"), "late=0.3 times=always"))
STOPPED, LOCKED = 1, 6
ADDED = given({"s": "Q/SMS", "t": "T"}, a="A", b="B2", c="Q/C", d="D")


def two_runs(bench: Bench, other: Driver, *, cleaned: bool = False) -> Iterator[Finding]:
    """Start a run of edited declarations while a call of the first is in flight; then one more, and judge.

    `cleaned`: somebody removes the lock before, as `git clean` does; then it is the first run that must stop.
    """
    bench.prepare()
    bench.restore(bench.start)
    beside: list[Run] = []

    def start(call: Call) -> None:
        if call.kind == "invoke":
            bench.server.on_call = None
            bench.declare(ADDED)
            if cleaned:
                (bench.folder / f"{STATE}.lock").unlink()
            beside.append(other.run(bench.job([APPLY])))

    bench.server.on_call = start
    first = bench.command(*APPLY, declared=bench.scenario.run)
    (second,) = beside
    assert first.ran
    assert second.ran
    codes = (first.ran[0].code, second.ran[0].code)
    if codes != ((STOPPED, 0) if cleaned else (0, LOCKED)):
        yield Finding("side by side", f"they end with {codes}: {first.ran[0].err}{second.ran[0].err}")
    last = bench.command(*APPLY, declared=Phase(ADDED))
    assert last.ran
    if last.ran[0].code:
        yield Finding("after both", f"apply ends with {last.ran[0].code}: {last.ran[0].out}{last.ran[0].err}")
    yield from (Finding("after both", what) for what in judge(bench.server, bench.declare(ADDED), once=2))


def sending(bench: Bench) -> list[Point]:
    """Return where a call of the run has just been sent, as places to interrupt it."""
    points = bench.points(bench.prepare(), "INT")
    return [
        point for point in points if (point.event.op, point.event.name, point.cut.when) == ("send", INVOKE, "after")
    ]


def test_two_runs_at_once_without_the_lock(make_bench: MakeBench, other_driver: Driver) -> None:
    """Where the lock's file is removed under a run, that run stops once another has it, and nothing is lost."""
    findings = list(two_runs(make_bench(SCENARIOS["dispatch"]), other_driver, cleaned=True))
    assert not findings, "\n".join(map(str, findings))


def test_two_runs_at_once(make_bench: MakeBench, other_driver: Driver) -> None:
    """A second run beside the first is locked out with exit 6; started again, it brings about what is declared."""
    findings = list(two_runs(make_bench(SCENARIOS["dispatch"]), other_driver))
    assert not findings, "\n".join(map(str, findings))


@pytest.mark.parametrize(("name", "signal"), [("dispatch-in-parallel", "INT"), ("replace", "TERM")])
def test_interrupted_anywhere(make_bench: MakeBench, name: str, signal: str) -> None:
    """Interrupted once at any effect, a run ends with 130, each answer saved, and the next one finishes the work."""
    bench = make_bench(SCENARIOS[name])
    run = bench.prepare()
    points = [point for point in bench.points(run, signal) if point.cut.when == "after"]
    findings = list(bench.interrupt_everywhere(points))
    assert not findings, "\n".join(map(str, findings[:5]))


def test_interrupted_in_flight(make_bench: MakeBench) -> None:
    """Interrupted while a call is in flight, a run waits for its answer and saves it."""
    bench = make_bench(SLOW)
    findings = list(bench.interrupt_everywhere(sending(bench)))
    assert not findings, "\n".join(map(str, findings))
