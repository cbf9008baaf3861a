"""The difference between two interactions, as a reviewer would name it."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.planning.diff import FieldChange, Secrecy, added, compare, linked_values

CLID: Final = {"type": "clid"}
URL: Final = {"type": "url", "label": "Order", "value": "https://a.example"}
OTHER_URL: Final = {**URL, "value": "https://b.example"}
NAME: Final = {"type": "name", "value": "Ada"}
SECRET: Final = {"type": "interactionproperty", "key": "ToNum"}
FIELD: Final = {"type": "object", "owner": "Case", "key": "Id", "value": "7"}
A, B, C = {"name": "A"}, {"name": "B"}, {"name": "C"}
LATER_B: Final = {"name": "B", "expiryafter": 60}


def linked(*items: dict[str, Any]) -> dict[str, Any]:
    """Return fields with this linkeddata."""
    return {"linkeddata": list(items)}


def skills(*items: dict[str, Any]) -> dict[str, Any]:
    """Return fields with these skills."""
    return {"routingdata": {"skills": list(items)}}


TABLE: Final[list[tuple[str, dict[str, Any], dict[str, Any], list[FieldChange]]]] = [
    ("nothing", {"route": "Day"}, {"route": "Day"}, []),
    ("a route", {"route": "Day"}, {"route": "Night"}, [FieldChange("route", "Day", "Night")]),
    (
        "a field that is new, one that is gone",
        {"routingdata": {"interactiontype": "live"}},
        {"routingdata": {"personalqueue": {"agent": "ada", "loggedintimeout": 5}}},
        [
            FieldChange("interactiontype", "live", None),
            FieldChange("personalqueue.agent", None, "ada"),
            FieldChange("personalqueue.loggedintimeout", None, 5),
        ],
    ),
    (
        "a time of a personal queue",
        {"routingdata": {"personalqueue": {"agent": "ada", "loggedouttimeout": 5}}},
        {"routingdata": {"personalqueue": {"agent": "ada", "loggedouttimeout": 6}}},
        [FieldChange("personalqueue.loggedouttimeout", 5, 6)],
    ),
    ("a skill added at the end", skills(A), skills(A, B), [FieldChange("skills[1]", None, B)]),
    ("a skill put in front is one change", skills(B), skills(A, B), [FieldChange("skills[0]", None, A)]),
    ("a skill removed is named by its old place", skills(A, B), skills(B), [FieldChange("skills[0]", A, None)]),
    ("a skill that expires otherwise", skills(A, B), skills(A, LATER_B), [FieldChange("skills[1]", B, LATER_B)]),
    (
        "the order of skills",
        skills(A, B, C),
        skills(C, A, B),
        [FieldChange("skills order", ["A", "B", "C"], ["C", "A", "B"])],
    ),
    (
        "an order among others that come and go",
        skills(A, B),
        skills(B, C, A),
        [FieldChange("skills[1]", None, C), FieldChange("skills order", ["A", "B"], ["B", "A"])],
    ),
    ("the same skill twice", skills(A), skills(A, A), [FieldChange("skills[1]", None, A)]),
    ("a value", linked(URL), linked(OTHER_URL), [FieldChange("url", URL, OTHER_URL)]),
    ("a second item of a type", linked(URL), linked(URL, OTHER_URL), [FieldChange("url[1]", None, OTHER_URL)]),
    ("an item removed", linked(URL, NAME), linked(URL), [FieldChange("name", NAME, None)]),
    ("an item with a key and owner", linked(), linked(FIELD), [FieldChange("object Case.Id", None, FIELD)]),
    (
        "the order of linkeddata",
        linked(URL, NAME),
        linked(NAME, URL),
        [FieldChange("linkeddata order", ["url", "name"], ["name", "url"])],
    ),
    (
        "sensitive items that stayed are named, for a reader to know they exist",
        linked(CLID, SECRET),
        linked(CLID, SECRET),
        [
            FieldChange("clid", CLID, CLID, Secrecy.SENSITIVE),
            FieldChange("interactionproperty ToNum", SECRET, SECRET, Secrecy.SENSITIVE),
        ],
    ),
    (
        "fields that come with a later version: values before maps, maps before lists",
        {"urgency": 1, "tags": ["a"], "notes": [{"text": "x"}], "routingdata": {"sla": {"hours": 5}}},
        {
            "urgency": 2,
            "tags": ["a", "b"],
            "notes": [{"text": "y"}],
            "routingdata": {"sla": {"hours": 6}, "vip": 1},
        },
        [
            FieldChange("tags", ["a"], ["a", "b"]),
            FieldChange("urgency", 1, 2),
            FieldChange("vip", None, 1),
            FieldChange("sla.hours", 5, 6),
            FieldChange("notes[0]", {"text": "x"}, {"text": "y"}),
        ],
    ),
    (
        "a value that becomes a map",
        {"urgency": 1},
        {"urgency": {"level": 1}},
        [FieldChange("urgency", 1, {"level": 1})],
    ),
    ("a sensitive item added", linked(), linked(CLID), [FieldChange("clid", None, CLID, Secrecy.SENSITIVE)]),
    ("a sensitive item removed", linked(CLID), linked(), [FieldChange("clid", CLID, None, Secrecy.SENSITIVE)]),
]


@pytest.mark.parametrize(("before", "after", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_fields(before: dict[str, Any], after: dict[str, Any], expected: list[FieldChange]) -> None:
    """Only what differs is named, by the place that a reader finds it at."""
    assert list(compare("P", before, "P", after, sensitive_changed=False)) == expected


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_the_way_back(row: tuple[str, dict[str, Any], dict[str, Any], list[FieldChange]]) -> None:
    """What is added in one direction is removed in the other."""
    _, before, after, expected = row
    back = compare("P", after, "P", before, sensitive_changed=False)
    assert len(back) == len(expected)
    assert {field.field.partition("[")[0] for field in back} == {field.field.partition("[")[0] for field in expected}


WORDS: Final = st.sampled_from(["a", "b", "name", "routingdata"])
VALUES: Final = st.recursive(
    st.sampled_from([0, 1, "x", True]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=6,
)
ITEMS: Final = st.lists(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["clid", "url"])}, optional={"key": WORDS, "value": VALUES, "a": VALUES}
    ),
    max_size=3,
)
FIELDS: Final = st.fixed_dictionaries({}, optional={"linkeddata": ITEMS, "route": VALUES, "routingdata": VALUES})


def filled(value: Any) -> Any:
    """Return a value without the maps and lists in its maps that hold nothing, which aren't told from none at all."""
    if not isinstance(value, dict):
        return value
    kept = {name: filled(part) for name, part in value.items()}
    return {name: part for name, part in kept.items() if part not in ({}, [])}


@given(FIELDS, FIELDS)
def test_no_difference_goes_unseen(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Whatever fields there are, something is named where two sides differ, and nothing but secrets where not."""
    changes = compare("P", before, "P", after, sensitive_changed=False)
    assert any(change.before != change.after for change in changes) or filled(before) == filled(after)
    assert {change.secrecy for change in compare("P", after, "P", after, sensitive_changed=False)} <= {
        Secrecy.SENSITIVE
    }


def test_the_provider_comes_first() -> None:
    """A provider that changed, came or went is a field like any other."""
    assert compare("P", {"route": "Day"}, None, {"route": "Night"}, sensitive_changed=False) == (
        FieldChange("provider", "P", None),
        FieldChange("route", "Day", "Night"),
    )
    assert compare(None, {}, "P", {}, sensitive_changed=False) == (FieldChange("provider", None, "P"),)


def test_what_may_have_changed() -> None:
    """Which sensitive value changed isn't known, so each that is on both sides may have."""
    fields = compare("P", linked(CLID), "P", linked(CLID, SECRET), sensitive_changed=True)
    assert [(field.field, field.secrecy) for field in fields] == [
        ("clid", Secrecy.MAYBE_CHANGED),
        ("interactionproperty ToNum", Secrecy.SENSITIVE),
    ]


def test_everything_is_added() -> None:
    """A dispatch names every field, from provider to linkeddata."""
    fields = {"route": "Day", "linkeddata": [CLID, URL], "routingdata": {"interactiontype": "live", "skills": [A]}}
    assert [field.field for field in added("P", fields)] == [
        "provider",
        "route",
        "interactiontype",
        "skills[0]",
        "clid",
        "url",
    ]
    assert all(field.before is None for field in added("P", fields))


def test_values_by_the_names_of_their_fields() -> None:
    """The values that somebody asked to see are found by the name that the difference uses."""
    items = [{**CLID, "value": "+441"}, {**CLID, "value": "+442"}, FIELD]
    assert linked_values({"linkeddata": items}) == {"clid": "+441", "clid[1]": "+442", "object Case.Id": "7"}
    assert linked_values({}) == {}
