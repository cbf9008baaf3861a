"""The scalar table is the core schema of YAML 1.2, and nothing else."""

from __future__ import annotations

import math

import pytest

from reconciler.yamlfile.scalars import MAX_DIGITS, SPECIAL, describe, resolve

INTEGERS = {"0": 0, "007": 7, "-12": -12, "+447700900123": 447700900123, "0o17": 15, "0x1F": 31, "00": 0}
FLOATS = {
    "1.": 1.0,
    ".5": 0.5,
    "-1.5e3": -1500.0,
    "12e03": 12000.0,
    "1e999": math.inf,
    ".inf": math.inf,
    "-.INF": -math.inf,
}
WORDS = {"": None, "~": None, "null": None, "NULL": None, "true": True, "True": True, "FALSE": False}
STRINGS = [
    *("yes", "no", "on", "off", "y", "n", "Yes", "NO", "nULL", "tRUE", "1_000", "0b11", "0o8", "0xg", "-0x1F", "1:30"),
    *("2001-12-14", "+", "-", ".", "..", "1e", "e5", "1.2.3", "+.nan", ".infinity", "=", "<<", "07700 900123", "١٢"),
]


@pytest.mark.parametrize(("text", "value"), [*INTEGERS.items(), *FLOATS.items(), *WORDS.items()])
def test_what_the_table_names_is_not_a_string(text: str, value: object) -> None:
    """Integers, floats, booleans and nulls are those of the core schema, type included."""
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize("text", STRINGS)
def test_everything_else_is_a_string(text: str) -> None:
    """YAML 1.1's words, separators, binaries, sexagesimals and dates are strings."""
    assert resolve(text) == text


@pytest.mark.parametrize("text", [text for text in (*INTEGERS, *FLOATS, *WORDS) if text])
def test_the_fast_path_misses_nothing(text: str) -> None:
    """Whatever isn't a string starts with a special character, so the builder asks the table for it."""
    assert text[0] in SPECIAL


def test_nan_is_a_float() -> None:
    """`.nan` is not a number, and not a string."""
    assert math.isnan(float(str(resolve(".nan"))))


@pytest.mark.parametrize("text", ["1" * (MAX_DIGITS + 1), "0x" + "f" * MAX_DIGITS])
def test_an_endless_integer_is_refused(text: str) -> None:
    """An integer past Python's own limit raises ValueError, however it is written; one within it is read."""
    with pytest.raises(ValueError, match="too long"):
        resolve(text)
    assert resolve("1" * MAX_DIGITS) == int("1" * MAX_DIGITS)


@pytest.mark.parametrize(
    ("value", "words"),
    [(True, "a boolean"), (1, "an integer"), (None, "null"), ("x", "a string"), ([], "a list"), ({}, "a mapping")],
)
def test_values_are_described_in_plain_words(value: object, words: str) -> None:
    """The messages name a value's kind, never the value."""
    assert describe(value) == words
