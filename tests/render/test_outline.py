"""What a plan says to people, before it is text or Markdown: each change once, alike ones together, the worst first."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.interaction import Interaction
from reconciler.planning.plan import Action
from reconciler.planning.saved_plan import SavedPlan, decode, encode
from reconciler.render.outline import ORDER, Group, outline
from reconciler.state.model import Failed
from tests.render import plans

CLID = {"type": "clid", "value": "+447700900123"}
KINDS = st.sampled_from(["new", "gone", "changed", "failed", "lost", "kept"])


def mixed(kinds: list[tuple[str, str, str]]) -> SavedPlan:
    """Return the plan of an interaction for each of (what happens to it, its route, its file)."""
    desired: list[Interaction] = []
    was: list[Interaction] = []
    failures: list[Failed] = []
    links = []
    for number, (kind, route, file) in enumerate(kinds):
        made = plans.interaction(f"id-{number}", file, number + 1, route=route, linkeddata=[CLID])
        if kind in {"new", "changed", "failed", "lost"}:
            desired.append(made)
        if kind in {"gone", "changed"}:
            was.append(plans.interaction(made.address, file, route="Before", linkeddata=[CLID]))
        if kind == "failed":
            failures.append(plans.failed(made, "dispatch", 1 + number % 2, "no"))
        if kind == "lost":
            links.append(plans.pending(made))
    return plans.saved(desired, was, failures, links)


def fields(group: Group, address: str) -> Any:
    """Return what is shown of one change alone."""
    made = next(change for change in group.changes if change.address == address)
    return (made.action, made.attempt, made.failure, made.reason, [step.kind for step in made.steps], made.differences)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(KINDS, st.sampled_from(["Day", "Night"]), st.sampled_from(["a.yaml", "b.yaml"])), max_size=30)
)
def test_each_change_is_in_one_group_of_equals(kinds: list[tuple[str, str, str]]) -> None:
    """Every change is in exactly one group, and all in a group are alike in what is shown, and no two groups are."""
    saved = mixed(kinds)
    groups = [group for section in outline(saved).sections for group in section.groups]
    listed = Counter(change.address for group in groups for change in group.changes)
    assert listed == Counter(change.address for change in saved.plan.changes)
    assert len({group.shape for group in groups}) == len(groups)
    for group in groups:
        first, *others = group.changes
        assert all(fields(group, other.address) == fields(group, first.address) for other in others)
        if group.shape.action is Action.RELEASE:
            assert (
                len({(change.before.source, change.before.provider) for change in group.changes if change.before}) == 1
            )


@pytest.mark.parametrize("name", ["nothing", "one", "forty", "ten_thousand", "hostile"])
def test_the_worst_stands_first(name: str) -> None:
    """Sections follow one order, releases first, none is empty, and all that is said is printable."""
    made = outline(getattr(plans, name)())
    actions = [section.action for section in made.sections]
    assert actions == [action for action in ORDER if action in actions]
    assert all(section.number for section in made.sections)
    said = [*made.tallies, *made.warnings, *made.approved, *(part for pair in made.where for part in pair)]
    said += [group.place for section in made.sections for group in section.groups]
    assert all(text.isprintable() for text in said)


def test_ten_thousand_changes_are_a_few_groups() -> None:
    """What happens to thousands alike is said once, with how many there are in which files."""
    made = outline(plans.ten_thousand(alike=True))
    assert [(section.action, section.number, len(section.groups)) for section in made.sections] == [
        (Action.RELEASE, 2_000, 1),
        (Action.REPLACE, 3_000, 1),
        (Action.DISPATCH, 5_000, 1),
    ]
    assert [section.groups[0].place for section in made.sections] == ["was interactions/old.yaml", "9 files", "9 files"]
    assert made.tallies == (
        "By file: interactions/old.yaml 2000, interactions/0.yaml 890, interactions/1.yaml 890, 7 more",
        "By route: CrmDay 5000, CrmNight 3000, CrmCallRouting 2000",
    )


def test_what_stays_is_not_shown() -> None:
    """Of a replace only what differs is told: a sensitive value that stays is no difference."""
    was = plans.interaction("A", linkeddata=[CLID])
    now = plans.interaction("A", linkeddata=[CLID], route="CrmNight")
    (section,) = outline(plans.saved([now], [was])).sections
    assert [field.name for field in section.groups[0].shape.fields] == ["route"]


@pytest.mark.parametrize(("number", "renamed"), [("+447700900123", True), ("+447700900124", False)])
def test_another_externalid_alone_is_a_rename(number: str, renamed: bool) -> None:  # noqa: FBT001  # a table
    """A release and a dispatch of the same content, sensitive values included, name each other; others don't."""
    old = plans.interaction("Old", linkeddata=[CLID])
    new = plans.interaction("New", linkeddata=[{**CLID, "value": number}])
    saved = plans.saved([new], [old])
    assert {change.address: change.renamed for change in saved.plan.changes} == (
        {"Old": "New", "New": "Old"} if renamed else {"Old": "", "New": ""}
    )
    assert any("rename" in warning for warning in outline(saved).warnings) == renamed


def test_a_saved_plan_says_the_same() -> None:
    """What is told of a plan file is what was told when it was saved."""
    for made in (plans.one(), plans.forty(), plans.hostile()):
        again = outline(decode(encode(made), "p"))
        expected = outline(made)
        assert replace(again, saved=made, sections=()) == replace(expected, sections=())
        assert [[group.shape for group in section.groups] for section in again.sections] == [
            [group.shape for group in section.groups] for section in expected.sections
        ]
