"""What is declared, what goes wrong, and when: the stories whose runs are killed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

LOST: Final = "drop=after times=5"
"""Every try of a run is processed, and its answer lost."""
LATE: Final = "late-copy times=5"
"""No try of a run arrives in time; each may arrive later."""


def given(once: Mapping[str, str] | None = None, *, again: bool = False, **routes: str) -> str:
    """Return declarations: `a="R"` or `a="PROVIDER/R"` for externalid a; `once` likewise, by name."""
    entries: list[dict[str, Any]] = [{"externalid": name, **_content(text)} for name, text in routes.items()]
    for name, text in (once or {}).items():
        entry = {"once": name, **_content(text)}
        entries.append({**entry, "lifecycle": {"on_change": "again"}} if again else entry)
    return json.dumps({"interactions": entries})


def _content(text: str) -> dict[str, Any]:
    provider, _, route = text.rpartition("/")
    return {"provider": provider or "P", "route": route, "linkeddata": [{"type": "clid", "value": f"+44 {route}"}]}


@dataclass(frozen=True)
class Phase:
    """What is declared and what goes wrong while it is applied; `code` is what apply ends with if nobody kills it."""

    declared: str
    faults: str = ""
    code: int = 0


@dataclass(frozen=True)
class Scenario:
    """`before` makes the state, `run` is killed, `after` is what is declared when it is taken up again.

    `applies`: how many the last phase may need. `once`: how many `once` are processed in all, each content once.
    `same_disk_only`: what no local state can cover, so it isn't tried from the disk before the run.
    `thorough`: killed before each effect as well as after it. `fetches_token`: with client credentials.
    `held`: the last declarations change a `once`; where its dispatch is unknown it must be held.
    """

    name: str
    run: Phase
    before: tuple[Phase, ...] = ()
    after: tuple[Phase, ...] = ()
    applies: int = 1
    once: int = 0
    same_disk_only: bool = False
    held: bool = False
    thorough: bool = False
    fetches_token: bool = False
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def recovery(self) -> tuple[Phase, ...]:
        """The phases after the kill."""
        return self.after or (Phase(self.run.declared),)


SEVERAL: Final = given({"s": "Q/SMS"}, a="A", b="B", c="Q/C")
AB: Final = given(a="A", b="B")
EDITED: Final = given(a="A2", b="Q/B2")
AGAIN_EDITED: Final = given(a="A3", b="B3")
NONE: Final = given()
OPEN: Final = (Phase(AB),)
ONE_EACH: Final = "drop=after externalid=a times=5; late-copy externalid=b times=5"
"""Of two calls to two providers, one is processed and its answer lost, the other may arrive later."""
FAILS_TWICE: Final = "fail action=release externalid=a times=2"
APART: Final = given(a="A", b="Q/B")
ONCE: Final = given({"s": "SMS"}, a="A")

SCENARIOS: Final = {
    scenario.name: scenario
    for scenario in (
        Scenario("dispatch", Phase(SEVERAL), once=1, fetches_token=True),
        Scenario("dispatch-in-parallel", Phase(SEVERAL), once=1, env={"RECONCILER_PARALLELISM": "4"}),
        Scenario("dispatch-then-edited", Phase(AB), after=(Phase(EDITED),)),
        Scenario("dispatch-then-gone", Phase(AB), after=(Phase(NONE),)),
        Scenario("dispatch-arrives-late", Phase(AB, "late-copy"), after=(Phase(EDITED),)),
        Scenario("release", Phase(given(b="B")), OPEN),
        Scenario("release-all", Phase(NONE), OPEN),
        Scenario("release-then-back", Phase(given(b="B")), OPEN, after=(Phase(AB),)),
        Scenario("release-arrives-late", Phase(given(b="B"), "late-copy"), OPEN, after=(Phase(AB),)),
        Scenario("replace", Phase(EDITED), OPEN),
        Scenario("replace-then-edited", Phase(EDITED), OPEN, after=(Phase(AGAIN_EDITED),)),
        Scenario("replace-then-reverted", Phase(EDITED), OPEN, after=(Phase(AB),)),
        Scenario("replace-then-gone", Phase(EDITED), OPEN, after=(Phase(NONE),)),
        Scenario("replace-release-late", Phase(EDITED, "late-copy"), OPEN, after=(Phase(AGAIN_EDITED),)),
        Scenario("replace-dispatch-late", Phase(EDITED, "late-copy action=dispatch"), OPEN, after=(Phase(AB),)),
        Scenario("dispatch-fails", Phase(AB, "fail externalid=a", 4), applies=2, same_disk_only=True),
        Scenario("release-fails", Phase(given(b="B2"), "fail times=2", 4), OPEN, applies=2, same_disk_only=True),
        Scenario("retry-of-failed", Phase(AB), (Phase(AB, "fail times=2", 4),)),
        Scenario("answer-lost", Phase(AB, "drop=after"), once=0),
        Scenario("answer-lost-of-all", Phase(EDITED, "drop=after times=2; drop=before times=1"), OPEN),
        Scenario("settle-processed", Phase(AB), (Phase(AB, LOST, 7),)),
        Scenario("settle-late", Phase(AB), (Phase(AB, LATE, 7),)),
        Scenario("settle-release", Phase(given(b="B")), (*OPEN, Phase(given(b="B"), LOST, 7))),
        Scenario("burn", Phase(EDITED), (Phase(APART, ONE_EACH, 7),)),
        Scenario("burn-gone", Phase(NONE), (Phase(APART, ONE_EACH, 7),)),
        Scenario("burn-then-edited", Phase(EDITED), (Phase(APART, ONE_EACH, 7),), (Phase(AGAIN_EDITED),)),
        Scenario("burn-then-reverted", Phase(EDITED), (Phase(APART, ONE_EACH, 7),), (Phase(APART),)),
        Scenario("burn-then-gone", Phase(EDITED), (Phase(APART, ONE_EACH, 7),), (Phase(NONE),)),
        Scenario(
            "burn-release-fails", Phase(EDITED, FAILS_TWICE), (Phase(APART, ONE_EACH, 7),), (Phase(AGAIN_EDITED),)
        ),
        Scenario("burn-unknown", Phase(EDITED, "drop=after; late-copy"), (Phase(AB, LATE, 7),), (Phase(AB),)),
        Scenario(
            "replace-release-unknown", Phase(EDITED), (*OPEN, Phase(EDITED, "late-copy action=release times=5", 7))
        ),
        Scenario(
            "replace-release-unknown-edited",
            Phase(AGAIN_EDITED),
            (*OPEN, Phase(EDITED, "drop=after action=release times=5", 7)),
        ),
        Scenario(
            "replace-dispatch-unknown-edited",
            Phase(AGAIN_EDITED),
            (*OPEN, Phase(given(a="A2", b="B2"), "late-copy action=dispatch times=5", 7)),
        ),
        Scenario("unsent", Phase(AB), (Phase(AB, "status=403", 1),), (Phase(EDITED),)),
        Scenario("throttled", Phase(AB, "status=429 times=2"), after=(Phase(EDITED),)),
        Scenario("refused-after-unknown", Phase(given(a="A"), "drop=after; status=400", 7), after=(Phase(EDITED),)),
        Scenario("rejected-after-unknown", Phase(given(a="A"), "drop=after; status=403", 1), after=(Phase(EDITED),)),
        Scenario("halved", Phase(AB, "status=400 externalid=a times=2", 4), applies=2, same_disk_only=True),
        Scenario("halved-then-rejected", Phase(AB, "status-after=400; status=403", 1), after=(Phase(EDITED),)),
        Scenario("halved-though-processed", Phase(AB, "status-after=400; status=400 times=2", 4)),
        Scenario("stopped-though-processed", Phase(AB, "status-after=404", 1), after=(Phase(EDITED),)),
        Scenario("once", Phase(ONCE, "drop=after"), once=1),
        Scenario("once-settle-late", Phase(ONCE), (Phase(ONCE, LATE, 7),), once=1),
        Scenario("once-again", Phase(given({"s": "SMS2"}, again=True)), (Phase(ONCE),), once=2),
        Scenario("once-changed", Phase(ONCE), after=(Phase(given({"s": "SMS2"}, a="A")),), once=1, held=True),
        Scenario("once-fails", Phase(ONCE, "fail route=SMS", 4), once=1, held=True, same_disk_only=True),
    )
}
USUAL: Final = (
    "dispatch",
    "dispatch-in-parallel",
    "dispatch-arrives-late",
    "release-fails",
    "replace-then-edited",
    "replace-release-unknown-edited",
    "settle-processed",
    "burn",
    "unsent",
    "halved-though-processed",
    "once-changed",
    "once-fails",
)
"""Those that are killed in each run of the suite: one for each thing that a kill may come between. A soak has all."""
