"""The plan and the problems as JSON: what scripts rest on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.errors import Problem
from reconciler.planning.guards import Approvals, refusals
from reconciler.planning.plan import Action
from reconciler.planning.planner import plan
from reconciler.planning.saved_plan import SavedPlan
from reconciler.render.machine import plan_json, problems_json
from reconciler.state.model import State
from tests.golden import assert_golden
from tests.known import LIMITS, LINEAGE, NOW, POLICY, interaction, opened
from tests.render import plans
from tests.render.test_text import CLID, everything

GOLDEN: Final = Path(__file__).parent / "machine"
WARNING: Final = Problem("interactions/sms.yaml", 7, 9, "key-with-spaces", "the key has spaces", warning=True)
ERROR: Final = Problem("interactions/crm.yaml", 0, 0, "encoding", "the file is UTF-16\n", "save it as UTF-8")


def decoded(text: str) -> Any:
    """Return the JSON, which must be ASCII and end with a line break."""
    assert text.isascii()
    assert text.endswith("}\n")
    return json.loads(text)


def test_everything() -> None:
    """Every action, with refusals and a warning, key by key."""
    made = everything()
    refused = refusals(made, replace(LIMITS, max_releases=2), Approvals())
    assert_golden(
        plan_json(SavedPlan(made, Approvals(releases=6), refused, (WARNING,), "prod", "reconciler.prod.state.json")),
        GOLDEN / "everything.json",
    )


def test_the_summary_names_every_action() -> None:
    """A script finds each count, zeros included, and they add up to the changes."""
    raw = decoded(plan_json(SavedPlan(everything(), Approvals())))
    counts = {action.value: raw["summary"][action.value] for action in Action}
    assert sum(counts.values()) == len(raw["changes"])
    nothing = decoded(plan_json(SavedPlan(plan([], State(LINEAGE), POLICY, NOW), Approvals())))
    assert nothing["summary"] == {**dict.fromkeys(counts, 0), "unchanged": 0, "declared": 0, "left_out": 0}
    assert (nothing["target"], nothing["changes"], nothing["refusals"], nothing["warnings"]) == (None, [], [], [])


def test_no_digest_and_no_sensitive_value() -> None:
    """Neither a number nor what it could be guessed from is in the output."""
    was = interaction("A", linkeddata=[CLID])
    wanted = interaction("A", linkeddata=[{**CLID, "value": "+447700900999"}])
    made = plan([wanted], State(LINEAGE, interactions={"A": opened(was)}), POLICY, NOW)
    text = plan_json(SavedPlan(made, Approvals()))
    for part in ("+44", "7700", was.digest[2:], wanted.digest[2:]):
        assert part not in text
    (field,) = decoded(text)["changes"][0]["fields"]
    assert (field["sensitive"], field["maybe_changed"]) == (True, True)


def test_what_was_stored_in_clear_and_is_sensitive_now_stays_out() -> None:
    """A type that becomes sensitive is so for what is in the state already."""
    name = {"type": "name", "value": "Ada"}
    known = State(LINEAGE, interactions={"A": opened(interaction("A", linkeddata=[name]))})
    policy = replace(POLICY, sensitive=frozenset({"name"}))
    for desired in ([], [interaction("A")], [interaction("A", linkeddata=[{**name, "value": "Eve"}])]):
        text = plan_json(SavedPlan(plan(desired, known, policy, NOW), Approvals()))
        assert "Ada" not in text
        assert "Eve" not in text


@pytest.mark.parametrize(
    ("problems", "valid"), [([], True), ([WARNING], True), ([ERROR], False), ([ERROR, WARNING], False)]
)
def test_problems(problems: list[Problem], *, valid: bool) -> None:
    """What validate prints: valid as long as there is nothing but warnings."""
    raw = decoded(problems_json(problems))
    assert (raw["format_version"], raw["valid"], len(raw["problems"])) == (1, valid, len(problems))


def test_a_problem() -> None:
    """A problem has every key, with null for no hint; line 0 is the file as a whole."""
    assert decoded(problems_json([ERROR, WARNING]))["problems"] == [
        {
            "severity": "error",
            "code": "encoding",
            "file": "interactions/crm.yaml",
            "line": 0,
            "column": 0,
            "message": "the file is UTF-16\n",
            "hint": "save it as UTF-8",
        },
        {
            "severity": "warning",
            "code": "key-with-spaces",
            "file": "interactions/sms.yaml",
            "line": 7,
            "column": 9,
            "message": "the key has spaces",
            "hint": None,
        },
    ]


@settings(max_examples=30)
@given(st.lists(st.sampled_from(plans.HOSTILE) | st.text(max_size=30), min_size=1, max_size=2))
def test_hostile_values_are_ascii(values: list[str]) -> None:
    """Whatever is declared, the JSON can be printed on a terminal, and says exactly what was declared."""
    saved = plans.hostile(values)
    raw = decoded(plan_json(saved))
    assert [change["address"] for change in raw["changes"]] == [change.address for change in saved.plan.changes]
