"""Where the promise stops: an API that breaks an assumption, a lost disk; docs/reliability.md tells each result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pytest

from tests.api import FailedDuplicate, Redispatch, SandboxConfig
from tests.crash.conftest import MakeBench
from tests.crash.harness import APPLY, PLAN, Bench
from tests.crash.scenarios import LATE, LOST, NONE, Phase, Scenario, given

A: Final = given(a="A")
EDITED: Final = given(a="A2")
ONCE: Final = given({"s": "SMS"})
FORGETS: Final = SandboxConfig(remember_requests=0)
FORGETS_AND_OPENS: Final = SandboxConfig(remember_requests=0, redispatch=Redispatch.OPENS)
IGNORES: Final = SandboxConfig(failed_duplicate=FailedDuplicate.IGNORED)
PROCESSES: Final = SandboxConfig(failed_duplicate=FailedDuplicate.PROCESSED)
LISTS: Final = SandboxConfig(done_duplicate_fails=True)
OPEN: Final = Phase(A)


@dataclass(frozen=True)
class Case:
    """`result` in words, and in numbers: what the last plan ends with, copies of `a` open, doubles, once processed.

    The exit code of each apply stands in its phase. `late`: the calls that were on their way arrive at the end.
    """

    result: str
    config: SandboxConfig
    phases: tuple[Phase, ...]
    plan: int = 0
    copies: int = 0
    doubles: int = 0
    once: int = 0
    late: bool = False


CASES: Final = {
    "forgets-dispatch": Case(
        "the resend is dispatched while the first is open; refused as such, it is released and dispatched once more",
        FORGETS,
        (Phase(A, "drop=after", 4), Phase(A)),
        copies=1,
        doubles=1,
    ),
    "forgets-dispatch-that-opens-again": Case(
        "the interaction is open twice, and nothing here knows of the second",
        FORGETS_AND_OPENS,
        (Phase(A, "drop=after"),),
        copies=2,
        doubles=1,
    ),
    "forgets-once": Case("it is dispatched twice", FORGETS, (Phase(ONCE, "drop=after"),), once=2),
    "forgets-release": Case(
        "the resend fails, for nothing is open; after release_attempts failures it is given up, as it should be",
        FORGETS,
        (OPEN, Phase(NONE, "drop=after", 4), Phase(NONE, "", 4), Phase(NONE, "", 4), Phase(NONE)),
    ),
    "forgets-release-of-a-replace": Case(
        "the replace waits until its release is given up, then is dispatched: closed for some runs, not doubled",
        FORGETS,
        (OPEN, Phase(EDITED, "drop=after action=release", 4), *[Phase(EDITED, "", 4)] * 2, Phase(EDITED)),
        copies=1,
    ),
    "forgets-burnt": Case(
        "the burn releases what was dispatched: nothing is doubled or lost",
        FORGETS,
        (Phase(given(b="B")), Phase(given(a="A", b="B"), "drop=after externalid=a; status=403", 1), Phase(EDITED)),
        copies=1,
    ),
    "forgets-and-late": Case(
        "a late copy of a settled dispatch is dispatched again while it is open",
        FORGETS_AND_OPENS,
        (Phase(A, LATE, 7), Phase(A)),
        copies=6,
        doubles=5,
        late=True,
    ),
    "forgets-and-late-burnt": Case(
        "a late copy of a burnt dispatch opens what is declared no more, and nothing here knows of it",
        FORGETS,
        (Phase(A, "late-copy; status=403", 1), Phase(NONE)),
        copies=1,
        late=True,
    ),
    "ignores-dispatch": Case(
        "a dispatch that failed, its answer lost, is taken as done: it is not open, and marked `settled`",
        IGNORES,
        (Phase(A, "fail; drop=after"),),
    ),
    "ignores-release": Case(
        "a release that failed, its answer lost, is taken as done: it stays open, and nothing here knows of it",
        IGNORES,
        (OPEN, Phase(NONE, "fail; drop=after")),
        copies=1,
    ),
    "ignores-release-of-a-replace": Case(
        "the dispatch is sent while the old one is open, and fails in every run until the old one ends or a person "
        "releases it",
        IGNORES,
        (OPEN, Phase(EDITED, "fail; drop=after", 4), Phase(EDITED, "", 4)),
        plan=2,
        copies=1,
        doubles=2,
    ),
    "ignores-once": Case("it is taken as done, and never dispatched", IGNORES, (Phase(ONCE, "fail; drop=after"),)),
    "ignores-burnt": Case(
        "a failed dispatch that is burnt was not open: nothing is doubled or lost",
        IGNORES,
        (Phase(A, "fail; drop=after times=5", 7), Phase(EDITED)),
        copies=1,
    ),
    "processes-dispatch": Case(
        "a duplicate of a failed dispatch is a further attempt: nothing is doubled or lost",
        PROCESSES,
        (Phase(A, "fail; drop=after"),),
        copies=1,
    ),
    "processes-once": Case(
        "a duplicate of a failed dispatch is a further attempt: it is dispatched once",
        PROCESSES,
        (Phase(ONCE, "fail; drop=after"),),
        once=1,
    ),
    "lists-dispatch": Case(
        "the next run releases it and dispatches it once more: not doubled, but interrupted",
        LISTS,
        (Phase(A, "drop=after", 4), Phase(A)),
        copies=1,
    ),
    "lists-release": Case(
        "the release is taken as failed, and after release_attempts failures as gone, as it is",
        LISTS,
        (OPEN, Phase(NONE, "drop=after", 4), Phase(NONE, "", 4), Phase(NONE, "", 4), Phase(NONE)),
    ),
    "lists-once": Case(
        "it is held until a person says what became of it: never dispatched twice",
        LISTS,
        (Phase(ONCE, "drop=after", 7), Phase(ONCE, "", 7)),
        plan=7,
        once=1,
    ),
    "lists-burnt": Case(
        "nothing is doubled or lost: what a burn and the release after it answer does not matter",
        LISTS,
        (Phase(A, LOST, 7), Phase(EDITED)),
        copies=1,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_result(make_bench: MakeBench, name: str) -> None:
    """Against an API that breaks an assumption, exactly so much doubles or is lost as is documented."""
    case = CASES[name]
    bench = make_bench(Scenario(name, case.phases[-1]), config=case.config)
    bench.command("apply", "--auto-approve", "--new-state", "--allow-empty", declared=Phase(NONE))
    codes = [_code(bench, phase) for phase in case.phases]
    assert codes == [phase.code for phase in case.phases]
    if case.late:
        bench.deliver(bench.late())
    planned = bench.command(*PLAN)
    emulator = bench.server.emulator
    assert planned.ran
    assert {
        "plan": planned.ran[0].code,
        "copies": emulator.copies["a"],
        "doubles": len(emulator.doubles),
        "once": emulator.record.once_by_content.total(),
    } == {"plan": case.plan, "copies": case.copies, "doubles": case.doubles, "once": case.once}, case.result


def test_disk_lost_and_edited(make_bench: MakeBench) -> None:
    """With the disk lost and the declaration changed before the next run, what is open is dispatched over."""
    bench = make_bench(Scenario("disk-lost-and-edited", Phase(A)))
    bench.prepare()
    bench.write(bench.start.files)
    assert [_code(bench, phase) for phase in (Phase(EDITED), Phase(EDITED))] == [4, 4]
    assert len(bench.server.emulator.doubles) == 2


def test_disk_lost_after_failures(make_bench: MakeBench) -> None:
    """With the disk lost after a definite failure, its requestid is sent and fails again; the run after is right."""
    bench = make_bench(Scenario("disk-lost-after-failures", Phase(A, "fail", 4)))
    bench.prepare()
    bench.write(bench.start.files)
    assert [_code(bench, phase) for phase in (OPEN, OPEN)] == [4, 0]
    assert (len(bench.server.emulator.doubles), set(bench.server.emulator.open)) == (0, {"a"})


def test_old_state_put_back(make_bench: MakeBench) -> None:
    """An old state put back on purpose sends the requestids of then, which are ignored; in a new lineage it doesn't."""
    bench = make_bench(Scenario("old-state-put-back", Phase(A)))
    bench.prepare()
    assert _code(bench, Phase(NONE)) == 0
    bench.write(bench.start.files)
    assert _code(bench, Phase(A)) == 0
    assert not bench.server.emulator.open
    bench.write(bench.start.files)
    bench.command("state", "new-lineage")
    assert _code(bench, Phase(A)) == 0
    assert set(bench.server.emulator.open) == {"a"}


def _code(bench: Bench, phase: Phase) -> int:
    run = bench.command(*APPLY, declared=phase)
    assert run.ran
    return run.ran[0].code
