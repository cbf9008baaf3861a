"""The plan as text: whole outputs at several widths, in colour and without, and hostile values made harmless."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.interaction import Interaction, OnChange, Place
from reconciler.planning.guards import Approvals, Refusal, refusals
from reconciler.planning.plan import Action, Plan, Reason
from reconciler.planning.planner import plan
from reconciler.planning.saved_plan import SavedPlan
from reconciler.render.markdown.gfm import size
from reconciler.render.markdown.plan import LIMIT, plan_markdown
from reconciler.render.style import Style
from reconciler.render.text import Detail, View, columns, plan_text
from reconciler.state.model import Kind, State, Target
from tests.golden import assert_golden
from tests.known import LIMITS, LINEAGE, NOW, POLICY, failed, interaction, opened, pending
from tests.render import plans

GOLDEN: Final = Path(__file__).parent / "text"
COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
CLID: Final = {"type": "clid", "value": "+447700900123"}
URL: Final = {"type": "url", "label": "Click me", "value": "https://developer.newvoicemedia.com"}
LONG: Final = {"type": "url", "value": f"https://crm.example/{'a' * 150}?q={'b' * 60}"}
SKILLS: Final = [
    {"name": "skillOptional", "expiryafter": 0},
    {"name": "skillMandatory"},
    {"name": "s", "expiryafter": 9},
]


def declared(address: str, line: int, file: str = "interactions/crm.yaml", **more: Any) -> Interaction:
    """Return an interaction with a place."""
    return interaction(address, place=Place(file, line), **more)


def example() -> Plan:
    """Return the plan that the design shows."""
    provider, route, old = "CrmIntegration", "CrmCallRouting", Place("interactions/old.yaml", 1)
    skills = [{"name": "skillOptional"}, {"name": "skillMandatory"}]
    was = interaction("ObjectId_001", provider, route, linkeddata=[CLID], routingdata={"skills": skills[:1]})
    new: dict[str, Any] = {"linkeddata": [{**CLID, "value": "+44"}], "routingdata": {"skills": skills}}
    rest = [interaction(f"X{number:03}", provider, route) for number in range(238)]
    gone = interaction("ObjectId_009", provider, route, place=old)
    retried = declared("ObjectId_017", 61, provider=provider, route=route)
    state = State(
        LINEAGE,
        12,
        Target("https://emea.api.newvoicemedia.com"),
        {entry.address: opened(entry) for entry in (was, gone, *rest)},
        failed={"f2": failed(retried, attempts=2)},
    )
    desired = [
        declared("ObjectId_001", 3, provider=provider, route="CrmNight", **new),
        declared("ObjectId_002", 14, provider=provider, route=route, linkeddata=[CLID]),
        retried,
        *rest,
    ]
    return plan(desired, state, POLICY, NOW)


def everything() -> Plan:
    """Return a plan with every action, and reasons of every sort; with wide, long and many values."""
    was = [
        declared("Changed", 1, provider="Old", linkeddata=[CLID, URL], routingdata={"skills": SKILLS[:1]}),
        declared("Gone", 1),
        declared("GivenUp", 1),
        declared("Gone-Thrice", 1),
        declared("Kept", 1),
        declared("Moved", 1, "interactions/old.yaml"),
        declared("once:again", 1),
        declared("once:gone", 1),
        declared("Releasing", 1),
        declared("Doubted", 1),
    ]
    odd = declared("Odd", 70, linkeddata=[CLID])
    links = {
        "p1": pending(declared("Lost", 1, route="Earlier")),
        "p2": pending(declared("Releasing", 1), Kind.RELEASE),
        "p3": pending(declared("once:held", 1, route="Earlier")),
        "p4": pending(declared("once:lost", 1)),
        "p5": pending(declared("Old", 1), at="2025-12-31T00:00:00Z"),
        "p6": pending(declared("Burning", 1), Kind.BURN),
        "p7": pending(declared("Burning", 1), Kind.TOLERANT, 1),
        "p8": pending(declared("Resent", 30)),
        "p9": pending(declared("Ahead", 1), at="2026-02-01T00:00:00Z"),
    }
    failures = {
        "f1": failed(declared("GivenUp", 1), "release", attempts=3, reason="the API answered 400: no such 相互作用"),
        "f2": failed(declared("Gone-Thrice", 1), "release", attempts=3),
        "f3": failed(odd, attempts=1, resent=True),
        "f4": failed(declared("Guarded", 1), resent=True),
        "f5": failed(declared("Doubted", 1), "release", resent=True),
    }
    desired = [
        declared(
            "Changed",
            3,
            linkeddata=[{**CLID, "value": "+44"}, {**URL, "label": "Click here"}, LONG],
            routingdata={"interactiontype": "live", "skills": SKILLS, "personalqueue": {"agent": "ada"}},
        ),
        declared("New-対話-" + "長" * 30, 12, f"interactions/{'deep/' * 12}crm.yaml", linkeddata=[CLID, LONG]),
        declared("GivenUp", 21, route="Night"),
        declared("Kept", 25, route="Night", on_change=OnChange.KEEP),
        declared("Moved", 30),
        declared("once:again", 40, route="Night", on_change=OnChange.AGAIN),
        declared("once:held", 50),
        declared("Lost", 60),
        declared("Old", 61),
        declared("Ahead", 65),
        declared("Burning", 62),
        declared("Resent", 30),
        odd,
        declared("Guarded", 63, prevent_release=True),
        declared("Doubted", 64, prevent_release=True),
    ]
    state = State(
        LINEAGE,
        12,
        Target("https://emea.api.newvoicemedia.com", "prod-uk"),
        {entry.address: opened(entry) for entry in was},
        links,
        failures,
    )
    return plan(desired, state, POLICY, NOW)


def told(made: Plan, refused: tuple[Refusal, ...] = ()) -> SavedPlan:
    """Return a plan with what stands against it."""
    return SavedPlan(made, Approvals(), refused, state="reconciler.state.json")


def text_of(saved: SavedPlan, width: int) -> str:
    """Return a saved plan as text."""
    return plan_text(saved, View(width=width))


def test_the_plan_of_the_design() -> None:
    """A plan like the one that the design shows comes out as it is shown there."""
    assert_golden(plan_text(told(example())), GOLDEN / "design-80.txt")


def test_every_action_is_in_the_example() -> None:
    """The plan of everything holds each action, and each reason but those of settings."""
    changes = everything().changes
    assert {change.action for change in changes} == set(Action)
    assert set(Reason) - {change.reason for change in changes} == {
        Reason.HELD_FAILED,
        Reason.HELD_NEVER_GONE,
        Reason.HELD_POLICY,
        Reason.MAYBE_CLOSED,
        Reason.UNWANTED,
    }


@pytest.mark.parametrize("width", [40, 80, 120])
def test_everything(width: int) -> None:
    """Every action at each width, with the guards that stand against it."""
    made = everything()
    refused = refusals(made, replace(LIMITS, max_releases=2, max_dispatches=1), Approvals())
    assert_golden(plan_text(told(made, refused), View(width=width)), GOLDEN / f"everything-{width}.txt")


def test_everything_in_colour() -> None:
    """Colour is put on the symbol and action only, and takes no columns."""
    coloured = plan_text(told(everything()), View(style=Style(colour=True)))
    assert_golden(coloured, GOLDEN / "everything-80-colour.txt")
    assert COLOUR.sub("", coloured) == plan_text(told(everything()))


@pytest.mark.parametrize("width", [40, 80])
def test_hostile_values(width: int) -> None:
    """ANSI, bidi and line breaks in whatever is declared or answered come out as visible escapes."""
    assert_golden(text_of(plans.hostile(), width), GOLDEN / f"hostile-{width}.txt")


@pytest.mark.parametrize("name", ["nothing", "one", "forty"])
def test_plans(name: str) -> None:
    """A plan without a change, one with a single one, and a long one with guards."""
    assert_golden(text_of(getattr(plans, name)(), 80), GOLDEN / f"{name}-80.txt")


def test_no_target_is_said() -> None:
    """A plan against nothing in particular says so."""
    made = plan([], State(LINEAGE), POLICY, NOW)
    assert plan_text(told(made)) == (
        "reconciler · no target · state reconciler.state.json, serial 0, 0 open\n\n"
        "No changes: 0 interactions open, as declared.\n"
    )


def test_values_that_were_asked_for() -> None:
    """A sensitive value is shown only where it was asked for, beside its field, escaped."""
    made = plan([interaction("A", linkeddata=[CLID])], State(LINEAGE), POLICY, NOW)
    assert "(sensitive)" in plan_text(told(made))
    assert "+44" not in plan_text(told(made))
    assert "declared: +44\\x07" in plan_text(told(made), View(values={"A": {"clid": "+44\x07"}}))


texts = st.sampled_from(plans.HOSTILE) | st.text(max_size=30)


@settings(max_examples=30)
@given(st.lists(texts, min_size=1, max_size=2), st.integers(20, 200))
def test_nothing_unprintable_comes_out(values: list[str], width: int) -> None:
    """Whatever is declared, the text is printable characters and line breaks, and no line starts as it likes."""
    text = text_of(plans.hostile(values), width)
    assert text.replace("\n", "").isprintable()
    starts = ("  ", "reconciler · ", "Refused: ", "Warning: ", "Exception: ", "By ", "Plan: ")
    assert not [line for line in text.splitlines() if line and not line.startswith(starts)]


@settings(max_examples=30)
@given(st.integers(48, 200))
def test_details_keep_the_width(width: int) -> None:
    """Only the address, the place, a header, a refusal and a command may be wider than asked for: none is cut."""
    for line in plan_text(told(everything()), View(width=width)).splitlines():
        if line.startswith(" " * 8) and "interactions/" not in line and " reconciler " not in line:
            assert columns(line) <= width


@pytest.mark.parametrize("alike", [True, False])
def test_thousands_of_changes_can_be_read(alike: bool) -> None:  # noqa: FBT001  # a table
    """Ten thousand changes are a few lines, with the command that shows all of them."""
    text = plan_text(plans.ten_thousand(alike=alike))
    assert len(text.splitlines()) < 60
    assert "  To see all of it: reconciler plan --full\n" in text


@pytest.mark.parametrize("number", [3, 100])
def test_huge_addresses_stay_within_a_job_summary(number: int) -> None:
    """However long addresses, files and values are: as text not a mebibyte, as Markdown what a comment holds."""
    huge = ["長" * 30_000 + str(each) for each in range(number)]
    gone = [interaction(f"old{name}", place=Place(f"{name}.yaml", 1)) for name in huge]
    state = State(LINEAGE, 1, None, {entry.address: opened(entry) for entry in gone})
    desired = [declared(name, 1, f"{name}.yaml", route=name) for name in huge]
    saved = told(plan(desired, state, POLICY, NOW))
    saved = replace(saved, refusals=refusals(saved.plan, replace(LIMITS, max_releases=0), Approvals()))
    assert len(plan_text(saved).encode()) < 1_048_576
    assert size(plan_markdown(saved, None)) <= LIMIT


def test_each_change_is_shown_where_all_is_asked_for() -> None:
    """`--full` names every address and place, however many there are; `--concise` shows no field's lines."""
    saved = plans.ten_thousand(alike=True)
    full = plan_text(saved, View(detail=Detail.FULL))
    assert not [change.address for change in saved.plan.changes if change.address not in full]
    assert "To see all" not in full
    concise = plan_text(saved, View(width=120, detail=Detail.CONCISE))
    assert "3000 × Moved_0000 … Moved_2996   route CrmCallRouting → CrmNight · 9 files" in concise
    assert "5000 new" in concise


def test_nothing_is_left_out_when_it_is_narrow() -> None:
    """At any width each value is there in full, over as many lines as it takes."""
    squeezed = re.sub(r"\s", "", plan_text(told(everything()), View(width=40)))
    for part in (LONG["value"], "長" * 30, "deep/" * 12, "no such 相互作用".replace(" ", "")):
        assert part in squeezed
