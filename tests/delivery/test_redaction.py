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
from reconciler.delivery.redaction import HIDDEN, LONGEST, Scrubber, hide
from reconciler.delivery.retry import NO_REASON
from reconciler.state.model import Kind, Outcome, Result
from tests.known import interaction, request

NUMBER: Final = "+44 7700 900123"
ODD: Final = 'Ann "The\tAnt" O\'Neil & Søn / <co>'
SENSITIVE: Final = frozenset({"clid", "interactionproperty:ToNum"})

CHARACTERS: Final = st.characters(codec="latin-1", exclude_characters="\0")


def scrubber(*items: dict[str, Any]) -> Scrubber:
    """Return the scrubber of an Invocation that carries the items."""
    dispatch = request("r1", interaction("A", linkeddata=list(items)))
    return Scrubber(Invocation.of("Crm", (dispatch, request("r2", interaction("B"), Kind.RELEASE))), SENSITIVE)


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
    clean = scrubber(clid(value)).clean(f"the API answered 400: wrong {encode(value)} there")
    assert HIDDEN in clean
    assert clean.startswith("the API answered 400: wrong ")
    assert not [word for word in ("7700", "900123", "O'Neil", "The", "<co>") if word.lower() in clean[28:-6].lower()]


@pytest.mark.parametrize("echo", ["447700900123", "7700900123", "07700900123", "00447700900123"])
def test_a_phone_number_in_another_spelling(echo: str) -> None:
    """A number that the API wrote its own way is found by its last nine digits."""
    clean = scrubber(clid(NUMBER)).clean(f"no such number: {echo}.")
    assert "7700" not in clean
    assert "900123" not in clean


def test_what_is_not_sensitive_stays() -> None:
    """Types and keys that are not sensitive are shown: the message would be of no use without them."""
    items = [
        {"type": "name", "value": "Ada"},
        {"type": "interactionproperty", "key": "Other", "value": "shown"},
        {"type": "interactionproperty", "key": "ToNum", "value": "hidden"},
    ]
    assert scrubber(*items).clean("Ada shown hidden") == f"Ada shown {HIDDEN}"


def test_a_short_value_counts_by_itself() -> None:
    """A value of less than four characters is not cut out of the middle of words and numbers."""
    assert scrubber(clid("40")).clean("answered 400: 40 is wrong") == f"answered 400: {HIDDEN} is wrong"


def test_the_longest_spelling_goes_first() -> None:
    """A value that holds another leaves nothing of itself behind."""
    assert scrubber(clid("900123"), clid("7900123456")).clean("7900123456") == HIDDEN


def test_nothing_to_hide_changes_nothing() -> None:
    """Without sensitive values, or without text, the text is as it was."""
    assert scrubber().clean("the API answered 400: no") == "the API answered 400: no"
    assert scrubber(clid(NUMBER)).clean("") == ""
    assert scrubber(clid(" ")).clean("a b") == "a b"


def test_our_own_words_stay() -> None:
    """What we say ourselves holds nothing of the API's, even if a value reads like a part of it."""
    assert scrubber(clid("named")).clean(NO_REASON) == NO_REASON


def test_a_long_message_is_cut_after_it_was_cleaned() -> None:
    """Half a value would not be found, so what is shown is cut last."""
    clean = scrubber(clid(NUMBER)).clean("x" * (LONGEST - 8) + NUMBER)
    assert len(clean) <= LONGEST
    assert "+44" not in clean


@pytest.mark.parametrize("start", range(19_980, 20_001))
def test_a_huge_message_leaves_no_half_value(start: int) -> None:
    """Only so much of a message is looked at, and a value that stands across that border is not left behind."""
    assert "+44" not in scrubber(clid(NUMBER)).clean(" " * start + NUMBER * 2 + " " * 5_000)


def test_outcomes_are_cleaned() -> None:
    """The reasons that are stored are clean, and all else of an outcome stays."""
    outcomes = (
        Outcome("r1", Result.FAILED, f"no {NUMBER}"),
        Outcome("r2", Result.FAILED, NO_REASON, resent=True),
        Outcome("r3", Result.SUCCEEDED),
    )
    assert scrubber(clid(NUMBER)).clean_outcomes(outcomes) == (
        Outcome("r1", Result.FAILED, f"no {HIDDEN}"),
        *outcomes[1:],
    )


@given(st.text(CHARACTERS, min_size=4), st.text(CHARACTERS), st.text(CHARACTERS))
def test_a_value_is_never_left(value: str, before: str, after: str) -> None:
    """Wherever in a text a value stands, it is gone afterwards."""
    assert value.lower() not in hide(before + value + after, [value]).lower().replace(HIDDEN, "\0")
