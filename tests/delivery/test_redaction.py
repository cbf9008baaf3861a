"""Sensitive values are taken out of whatever the API says, in whatever encoding it echoes them."""

from __future__ import annotations

import html
import json
from typing import Any, Final
from urllib.parse import quote, quote_plus

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.delivery.batch import Invocation
from reconciler.delivery.redaction import HIDDEN, LONGEST, Redactor, conceal, hide
from reconciler.delivery.retry import NO_REASON
from reconciler.interaction import Interaction, packed, public_fields
from reconciler.state.model import Kind, Outcome, Result
from tests.known import failed, interaction, opened, pending, request, state

NUMBER: Final = "+44 7700 900123"
ODD: Final = 'Ann "The\tAnt" O\'Neil & Søn / <co>'
SENSITIVE: Final = frozenset({"clid", "interactionproperty:ToNum"})

CHARACTERS: Final = st.characters(codec="latin-1", exclude_characters="\0")


def redactor(*items: dict[str, Any]) -> Redactor:
    """Return the redactor of an Invocation that carries the items."""
    dispatch = request("r1", interaction("A", linkeddata=list(items)))
    return Redactor(Invocation.of("Crm", (dispatch, request("r2", interaction("B"), Kind.RELEASE))), SENSITIVE)


def clid(value: str) -> dict[str, Any]:
    """Return a sensitive item."""
    return {"type": "clid", "value": value}


@pytest.mark.parametrize(
    "encode",
    [
        str,
        repr,
        json.dumps,
        lambda value: json.dumps(value, ensure_ascii=False),
        lambda value: json.dumps(json.dumps(value, ensure_ascii=False), ensure_ascii=False),
        lambda value: orjson.dumps({"value": value}).decode(),
        html.escape,
        quote,
        lambda value: quote(value, safe=""),
        quote_plus,
        lambda value: " ".join(value.split()),
        lambda value: value.upper(),
        lambda value: f"x{value}y",
        lambda value: f"{value}{value}",
    ],
)
@pytest.mark.parametrize("value", [NUMBER, ODD])
def test_no_encoding_slips_through(encode: Any, value: str) -> None:
    """However a value is echoed, no word of four letters or more of it is left."""
    clean = redactor(clid(value)).clean(f"the API answered 400: wrong {encode(value)} there")
    assert HIDDEN in clean
    assert clean.startswith("the API answered 400: wrong ")
    assert not [word for word in ("7700", "900123", "O'Neil", "The", "<co>") if word.lower() in clean[28:-6].lower()]


@pytest.mark.parametrize("echo", ["447700900123", "7700900123", "07700900123", "00447700900123"])
def test_a_phone_number_in_another_spelling(echo: str) -> None:
    """A number that the API wrote its own way is found by its last nine digits."""
    clean = redactor(clid(NUMBER)).clean(f"no such number: {echo}.")
    assert "7700" not in clean
    assert "900123" not in clean


def test_what_is_not_sensitive_stays() -> None:
    """Types and keys that are not sensitive are shown: the message would be of no use without them."""
    items = [
        {"type": "name", "value": "Ada"},
        {"type": "interactionproperty", "key": "Other", "value": "shown"},
        {"type": "interactionproperty", "key": "ToNum", "value": "hidden"},
    ]
    assert redactor(*items).clean("Ada shown hidden") == f"Ada shown {HIDDEN}"


def test_a_short_value_counts_by_itself() -> None:
    """A value of less than four characters is not cut out of the middle of words and numbers."""
    assert redactor(clid("40")).clean("answered 400: 40 is wrong") == f"answered 400: {HIDDEN} is wrong"


def test_the_longest_spelling_goes_first() -> None:
    """A value that holds another leaves nothing of itself behind."""
    assert redactor(clid("900123"), clid("7900123456")).clean("7900123456") == HIDDEN


def test_nothing_to_hide_changes_nothing() -> None:
    """Without sensitive values, or without text, the text is as it was."""
    assert redactor().clean("the API answered 400: no") == "the API answered 400: no"
    assert redactor(clid(NUMBER)).clean("") == ""
    assert redactor(clid(" ")).clean("a b") == "a b"


def test_our_own_words_stay() -> None:
    """What we say ourselves holds nothing of the API's, even if a value reads like a part of it."""
    assert redactor(clid("named")).clean(NO_REASON) == NO_REASON


def test_a_long_message_is_cut_after_it_was_cleaned() -> None:
    """Half a value would not be found, so what is shown is cut last."""
    clean = redactor(clid(NUMBER)).clean("x" * (LONGEST - 8) + NUMBER)
    assert len(clean) <= LONGEST
    assert "+44" not in clean


@pytest.mark.parametrize("start", range(19_980, 20_001))
def test_a_huge_message_leaves_no_half_value(start: int) -> None:
    """Only so much of a message is looked at, and a value that stands across that border is not left behind."""
    assert "+44" not in redactor(clid(NUMBER)).clean(" " * start + NUMBER * 2 + " " * 5_000)


def test_outcomes_are_cleaned() -> None:
    """The reasons that are stored are clean, and all else of an outcome stays."""
    outcomes = (
        Outcome("r1", Result.FAILED, f"no {NUMBER}"),
        Outcome("r2", Result.FAILED, NO_REASON, resent=True),
        Outcome("r3", Result.SUCCEEDED),
    )
    assert redactor(clid(NUMBER)).clean_outcomes(outcomes) == (
        Outcome("r1", Result.FAILED, f"no {HIDDEN}"),
        *outcomes[1:],
    )


@given(st.text(CHARACTERS, min_size=4), st.text(CHARACTERS), st.text(CHARACTERS))
def test_a_value_is_never_left(value: str, before: str, after: str) -> None:
    """Wherever in a text a value stands, it is gone afterwards."""
    assert value.lower() not in hide(before + value + after, [value]).lower().replace(HIDDEN, "\0")


# -- what became sensitive after it was stored -------------------------------------------------------------------------

ITEMS: Final = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["clid", "url", "a:b", 'odd"}']),
        "value": st.sampled_from([NUMBER, "no such route", " "]),
    },
    optional={"key": st.sampled_from(["ToNum", "b:c", ""]), "label": st.just('"type":"clid","value":')},
)
RULES: Final = st.frozensets(st.sampled_from(["clid", "url", "url:", "a:b", "a:b:ToNum", "clid:b:c", 'odd"}', "none"]))
LINKED: Final = st.lists(ITEMS, max_size=3).map(lambda items: interaction("A", linkeddata=items))


def in_clear(content: Interaction) -> bytes:
    """Return the fields of an interaction as they are stored where nothing is sensitive."""
    return packed(public_fields(content.request, frozenset()))


@given(content=LINKED, other=LINKED, sensitive=RULES)
def test_nothing_that_became_sensitive_stays_in_a_state(
    content: Interaction, other: Interaction, sensitive: frozenset[str]
) -> None:
    """Whatever was stored in clear, open or pending, is what would be stored now; a state without such stays itself."""
    known = state(
        interactions={"A": opened(content, fields=in_clear(content)), "B": opened(other, fields=in_clear(other))},
        pending={"p1": pending(other, fields=in_clear(other)), "p2": pending(content, Kind.RELEASE)},
        failed={"f1": failed(content, reason=NO_REASON)},
    )
    now = [packed(public_fields(entry.request, sensitive)) for entry in (content, other)]
    concealed = conceal(known, sensitive, {})
    assert [entry.fields for entry in concealed.interactions.values()] == now
    assert concealed.pending["p1"].fields == now[1]
    assert concealed.failed == known.failed
    assert conceal(concealed, sensitive, {}) is concealed
    assert (concealed is known) == (concealed == known)


def test_what_the_api_said_of_it_is_concealed_too() -> None:
    """A reason may hold a value that became sensitive: it is known from the fields, or else from the declaration."""
    content = interaction("A", linkeddata=[{"type": "url", "value": "https://crm.test/1"}])
    other, gone = content._replace(address="B"), content._replace(address="C")
    said: dict[str, Any] = {"reason": "no https://crm.test/1"}
    known = state(
        interactions={"C": opened(gone, fields=in_clear(gone))},
        pending={"p1": pending(content, held="no https://crm.test/1", fields=in_clear(content))},
        failed={"f1": failed(other, **said), "f2": failed(gone, "release", **said), "f3": failed(content, **said)},
    )
    concealed = conceal(known, frozenset({"url"}), {"B": other})
    assert {failure.reason for failure in concealed.failed.values()} == {f"no {HIDDEN}"}
    assert concealed.pending["p1"].held == f"no {HIDDEN}"
    edited = interaction("B", linkeddata=[{"type": "url", "value": "no"}])
    assert conceal(known, frozenset({"url"}), {"B": edited}).failed["f1"].reason == said["reason"]
