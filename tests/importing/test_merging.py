"""What an interaction must say itself, over defaults, to be as wanted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.declarations.validation import merge
from reconciler.importing.merging import own_item

LEAVES = st.one_of(st.sampled_from(["x", "y"]), st.lists(st.sampled_from(["x", "y"]), max_size=2))
GIVEN = st.recursive(LEAVES, lambda part: st.dictionaries(st.sampled_from("abc"), part, max_size=3), max_leaves=6)
SAID = st.recursive(
    st.one_of(LEAVES, st.none()),
    lambda part: st.dictionaries(st.sampled_from("abc"), part, max_size=3),
    max_leaves=6,
)


def items(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return interactions without identity, of these parts."""
    return st.fixed_dictionaries({}, optional=dict.fromkeys(("route", "linkeddata", "routingdata"), parts))


@given(own=items(SAID), defaults=items(SAID), wanted=items(GIVEN))
def test_it_means_what_is_wanted(own: dict[str, Any], defaults: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Whatever it said before and inherits; and where it means that already, it says what it said."""
    base, wanted = merge({}, defaults), merge({}, wanted)
    said = own_item(own, wanted, base, None)
    assert merge(base, said) == wanted
    assert own_item(said, wanted, base, None) == said
    if merge(base, own) == wanted:
        assert said == own


@pytest.mark.parametrize(
    ("own", "inherited", "wanted", "said"),
    [
        ({}, "P", "P", {}),
        ({}, "P", None, {"provider": None}),
        ({}, None, "P", {"provider": "P"}),
        ({"provider": "P"}, "P", "P", {"provider": "P"}),
        ({"provider": None}, "P", "Q", {"provider": "Q"}),
        ({"lifecycle": {"on_change": "keep"}}, None, None, {"lifecycle": {"on_change": "keep"}}),
    ],
)
def test_provider_and_lifecycle(own: dict[str, Any], inherited: str | None, wanted: str | None, said: Any) -> None:
    """A provider is said where another one would be inherited; a lifecycle that isn't imported stays."""
    assert own_item(own, {"provider": wanted} if wanted else {}, {}, inherited) == said
