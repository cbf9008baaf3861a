"""What a selector selects, and what of a plan is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.delivery.intent import intend
from reconciler.interaction import Interaction, Place
from reconciler.planning.plan import Action
from reconciler.planning.planner import plan
from reconciler.planning.saved_plan import fingerprint
from reconciler.planning.selection import Selection, closest, known, select, selectors
from tests.known import AT, NOW, POLICY, TARGET, failed, interaction, opened, pending, state

DECLARED = [
    interaction("crm-1", "Crm", "Day", place=Place("interactions/crm.yaml", 1)),
    interaction("crm-2", "Crm", "Night", place=Place("interactions/crm.yaml", 2)),
    interaction("a[1]", None, "Day", place=Place("interactions/uk/odd.yaml", 1)),
    interaction("once:sms", "Sms", "Send", place=Place("interactions/uk/odd.yaml", 2)),
]
GONE = interaction("gone", "Old", "Sunset", place=Place("interactions/old.yaml", 1))
MOVED = interaction("crm-1", "Crm", "Evening", place=Place("interactions/before.yaml", 1))
LATE = interaction("late", "Late", "Late", place=Place("interactions/late.yaml", 1))
BAD = interaction("bad", "Bad", "Bad", place=Place("interactions/bad.yaml", 1))
STATE = state(
    interactions={"gone": opened(GONE), "crm-1": opened(MOVED), "a1": opened(interaction("a1"), source="")},
    pending={"p1": pending(LATE)},
    failed={"f1": failed(BAD)},
)
AMONG = known(DECLARED, STATE)
ALL = {"crm-1", "crm-2", "a[1]", "once:sms", "gone", "late", "bad", "a1"}


@pytest.mark.parametrize(
    ("selector", "addresses"),
    [
        ("crm-1", {"crm-1"}),
        ("crm-*", {"crm-1", "crm-2"}),
        ("CRM-*", set()),
        ("crm-[!1]", {"crm-2"}),
        ("a[1]", {"a[1]"}),  # an address, so no pattern, which would be that of a1
        ("*", ALL),
        ("sms", set()),
        ("once:*", {"once:sms"}),
        ("file:interactions/crm.yaml", {"crm-1", "crm-2"}),
        ("file:./interactions//crm.yaml", {"crm-1", "crm-2"}),
        ("file:interactions/before.yaml", {"crm-1"}),
        ("file:interactions/old.yaml", {"gone"}),
        ("file:interactions/uk", {"a[1]", "once:sms"}),
        ("file:interactions/uk/", {"a[1]", "once:sms"}),
        ("file:interactions/u", set()),
        ("file:.", ALL - {"a1"}),  # whose file is not known
        ("file:*/late.*", {"late"}),
        ("file:", set()),
        ("route:Day", {"crm-1", "a[1]", "a1"}),
        ("route:Evening", {"crm-1"}),
        ("route:Sunset", {"gone"}),
        ("route:", set()),
        ("provider:Crm", {"crm-1", "crm-2", "a1"}),
        ("provider:Bad", {"bad"}),
        ("provider:", {"a[1]"}),
        ("", set()),
    ],
)
def test_what_a_selector_selects(selector: str, addresses: set[str]) -> None:
    """An address, a pattern, or a file, route or provider: as declared, or as open, pending or failed."""
    chosen, idle = select(Selection((selector,)), AMONG)
    assert chosen == addresses
    assert idle == (() if addresses else (selector,))
    assert select(Selection((), (selector,)), AMONG).addresses == ALL - addresses


def test_targets_add_up_and_excludes_take_away() -> None:
    """What any target selects, less what any exclusion does; every selector that selects nothing is named."""
    selection = Selection(("crm-*", "gone", "nobody"), ("route:Night", "nothing"))
    assert select(selection, AMONG) == (frozenset({"crm-1", "gone"}), ("nobody", "nothing"))


@pytest.mark.parametrize(
    ("selector", "meant"),
    [
        ("crm-9", "crm-2"),
        ("sms", "once:sms"),
        ("interactions/uk", "file:interactions/uk"),
        ("Night", "route:Night"),
        ("file:interactions/crm.yml", "file:interactions/crm.yaml"),
        ("provider:Cmr", "provider:Crm"),
        ("quite another", None),
    ],
)
def test_what_was_meant_perhaps(selector: str, meant: str | None) -> None:
    """A selector that selects nothing is told the nearest that selects something."""
    assert closest(selector, AMONG) == meant


def test_the_selectors_of_a_file() -> None:
    """One a line, without the space around it; `#` begins a comment only where the line begins."""
    assert selectors("# all\n crm-1 \r\n\n\tfile:a b.yaml\na#b\n  # none\n") == ("crm-1", "file:a b.yaml", "a#b")


NAMES = [interaction(name, route=route) for name in "abcdef" for route in ("Day", "Night")]
PARTS = st.lists(st.sampled_from(NAMES), unique_by=lambda entry: entry.address)


@given(declared=PARTS, held=PARTS, lost=PARTS, bad=PARTS, targets=st.frozensets(st.sampled_from("abcdef"), min_size=1))
def test_what_is_not_selected_stays_as_it_is(
    declared: list[Interaction],
    held: list[Interaction],
    lost: list[Interaction],
    bad: list[Interaction],
    targets: frozenset[str],
) -> None:
    """An intent of a part has the changes of the whole for what is selected, and leaves all else of the state alone."""
    before = state(
        interactions={entry.address: opened(entry) for entry in held},
        pending={f"p-{entry.address}": pending(entry) for entry in lost},
        failed={f"f-{entry.address}": failed(entry) for entry in bad},
    )
    whole = plan(declared, before, POLICY, NOW, TARGET)
    part = whole.only(Selection(tuple(targets)), targets)
    assert part.changes == tuple(change for change in whole.changes if change.address in targets)
    assert part.left_out == sum(
        change.action is not Action.RECORD for change in whole.changes if change not in part.changes
    )
    after = intend(part, {entry.address: entry for entry in declared}, before, AT, TARGET).state

    def rest(known: dict[str, object]) -> dict[str, object]:
        return {key: value for key, value in known.items() if getattr(value, "address", key) not in targets}

    assert rest(dict(after.interactions)) == rest(dict(before.interactions))
    assert rest(dict(after.pending)) == rest(dict(before.pending))
    assert rest(dict(after.failed)) == rest(dict(before.failed))


def test_the_selection_is_in_the_fingerprint() -> None:
    """The same changes by another selection are another plan: what is left out was not reviewed alike."""
    whole = plan(DECLARED[:1], state(), POLICY, NOW, TARGET)
    made = [whole, whole.only(Selection(("crm-1",)), ["crm-1"]), whole.only(Selection((), ("crm-2",)), ["crm-1"])]
    assert len({fingerprint(each) for each in made}) == len(made)
