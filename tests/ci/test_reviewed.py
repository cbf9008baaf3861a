"""Which changes somebody has agreed to, as a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.ci.reviewed import Agreed, known, short, touched, word, words
from reconciler.planning.plan import Action, Change, Plan, Reason, Side


def change(action: Action, address: str = "a", after: str | None = None, before: str | None = None) -> Change:
    """Return a change from one content to another."""
    was, shall = (Side("Crm", digest, "crm.yaml") if digest else None for digest in (before, after))
    return Change(action, address, Reason.CHANGED, was, shall)


def plan(*changes: Change) -> Plan:
    """Return a plan of these changes."""
    return Plan(None, "lineage", 1, changes, declared=0, open=0, releasable=0, unchanged=0)


@pytest.mark.parametrize(
    ("made", "content", "covered"),
    [
        (change(Action.DISPATCH, after="1:x"), {"a": "1:x"}, True),
        (change(Action.DISPATCH, after="1:x"), {"a": "1:y"}, False),
        (change(Action.DISPATCH, after="1:x"), {"b": "1:x"}, False),
        (change(Action.DISPATCH, after="1:x"), {"a": None}, False),
        (change(Action.REPLACE, before="1:w", after="1:x"), {"a": "1:x"}, True),
        (change(Action.RELEASE, before="1:x"), {"a": None}, True),
        (change(Action.RELEASE, before="1:x"), {"a": "1:x"}, False),
        (change(Action.RELEASE, before="1:x"), {}, False),
        (change(Action.FORGET, before="1:x"), {}, False),
        (change(Action.RECORD, after="1:x"), {}, True),
        (change(Action.HOLD, before="1:x"), {}, True),
    ],
)
def test_what_is_covered(made: Change, content: dict[str, str | None], *, covered: bool) -> None:
    """A change is covered where it leads to what a proposal left its address with; what sends nothing always is."""
    assert Agreed(content, frozenset()).uncovered(plan(made)) == (() if covered else (made,))


@given(
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from("xy")),
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from("xy")),
)
def test_what_a_proposal_touches(before: dict[str, str], after: dict[str, str]) -> None:
    """Applied to what was declared before, what it touched gives what is declared after, and nothing else is in it."""
    found = touched(before, after)
    assert {address: digest for address, digest in {**before, **found}.items() if digest} == after
    assert all(before.get(address) != digest for address, digest in found.items())


def test_what_a_person_approves_is_known_again() -> None:
    """Each of the changes, and no other one, is known by the text that goes from job to job; too many as a whole."""
    some = [change(Action.DISPATCH, f"a{number}", "1:x") for number in range(40)]
    agreed = Agreed({}, frozenset(known(words(some))))
    assert agreed.uncovered(plan(*some[:7])) == ()
    assert agreed.uncovered(plan(change(Action.DISPATCH, "a1", "1:y"))) != ()
    assert len({*map(word, some)}) == 40
    many = [change(Action.DISPATCH, f"a{number}", "1:x") for number in range(10_001)]
    assert words(many) == short(many[::-1]) != short(many[1:])
