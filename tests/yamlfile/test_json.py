"""A `.json` file is read as JSON: what `json.loads` reads, strictly, with the place of every key and value."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reconciler.yamlfile.builder import MAX_DEPTH
from reconciler.yamlfile.document import Parsed, Path
from reconciler.yamlfile.encoding import text_problem
from reconciler.yamlfile.reader import parse
from reconciler.yamlfile.scalars import MAX_DIGITS

TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from('\t\n"\\/😀é{}[]:,#'), max_size=8)
VALUES = st.recursive(
    TEXT | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
SPACES = ["", " ", "\n", "\r\n", "\t", " \t\r\n\t"]
MUTATED = '{"a": [1, -2.5e3, true, null, {"b": "x\\u00e9\\ud83d\\ude00\\n/"}],\n\t"c d": {}, "e": [[], 0], "f": "é"}\n'
PUT_IN = [
    *"{}[]:,\"\\/#'",
    "\n",
    "\t",
    "0",
    "01",
    "1.",
    "NaN",
    "-Infinity",
    "\\u12",
    "\\ud83d",
    "tru",
    "a",
    '"a":',
    '"',
]


def read(text: str) -> Parsed:
    """Read it as the file of a `.json` name."""
    return parse(text.encode(), "x.JSON")


def written(value: Any, spaces: Iterator[str], *, escaped: bool) -> str:
    """Return the value as JSON, with white space at every place where it may stand."""
    s = [next(spaces) for _ in range(4)]
    if isinstance(value, dict):
        members = [
            f"{next(spaces)}{json.dumps(key, ensure_ascii=escaped)}{next(spaces)}:"
            f"{written(part, spaces, escaped=escaped)}"
            for key, part in value.items()
        ]
        return f"{s[0]}{{{s[1]}{','.join(members)}{s[2]}}}{s[3]}"
    if isinstance(value, list):
        return f"{s[0]}[{s[1]}{','.join(written(part, spaces, escaped=escaped) for part in value)}{s[2]}]{s[3]}"
    return s[0] + json.dumps(value, ensure_ascii=escaped) + s[3]


def places(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield the path to each part of a value, and the part."""
    yield path, value
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(part, (*path, key))


def offset(text: str, line: int, column: int) -> int:
    """Return where a line and column, from 0, are."""
    starts = [0, *(found.end() for found in re.finditer("\r\n|\r|\n", text))]
    return starts[line] + column


@settings(max_examples=300, deadline=None)
@given(value=VALUES, escaped=st.booleans(), seed=st.integers(0, 2**32))
def test_json_is_read_as_json_and_every_part_where_it_stands(value: Any, escaped: bool, seed: int) -> None:  # noqa: FBT001 - a property's input
    """Whatever the white space and the escapes, values come back, and each key and value is at its mark."""
    choose = random.Random(seed)  # noqa: S311 - reproducible
    text = written(value, iter(lambda: choose.choice(SPACES), None), escaped=escaped)
    assume(text_problem(text.encode(), "") is None)
    parsed = read(text)
    assert parsed.problems == []
    (document,) = parsed.documents
    assert repr(document.value) == repr(value)
    for path, part in places(value):
        mark = document.mark(path)
        assert json.JSONDecoder().raw_decode(text, offset(text, mark.line, mark.column))[0] == part
        if path and isinstance(path[-1], str):
            mark = document.mark(path, key=True)
            assert json.JSONDecoder().raw_decode(text, offset(text, mark.line, mark.column))[0] == path[-1]


def strictly(text: str) -> Any:
    """Read as the standard library does, but nothing twice, no NaN, and no half of a surrogate pair."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError
        return dict(pairs)

    def refuse(_: str) -> None:
        raise ValueError

    value = json.loads(text, object_pairs_hook=once, parse_constant=refuse)
    json.dumps(value, ensure_ascii=False).encode()
    return value


def test_what_is_refused_is_what_the_standard_library_refuses() -> None:
    """Of ten thousand mutations each is read alike by both, or refused by both; a problem has its place."""
    source = random.Random(17)  # noqa: S311 - the same each time
    outcomes = set()
    for _ in range(10_000):
        text = MUTATED
        for _ in range(source.randint(1, 3)):
            start = source.randrange(len(text) + 1)
            text = text[:start] + source.choice(["", *PUT_IN]) + text[start + source.choice((0, 0, 1, 2, 9)) :]
        parsed = read(text)
        try:
            value = strictly(text)
        except ValueError:
            assert parsed.problems or not text.strip(), text
            assert all(each.line >= 1 and each.column >= 1 for each in parsed.problems)
        else:
            assert (parsed.problems, [each.value for each in parsed.documents]) == ([], [value]), text
        outcomes.add(bool(parsed.problems))
    assert outcomes == {True, False}


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        ('{"a": 1,\n "a": 2}', (2, 2), "duplicate-key"),
        ('{"a": [1,\n]}', (2, 1), "json-syntax"),
        ('{"a" 1}', (1, 6), "json-syntax"),
        ('{"a": 1 "b"', (1, 9), "json-syntax"),
        ("{'a': 1}", (1, 2), "json-syntax"),
        ('{a: "b"}', (1, 2), "json-syntax"),
        ('{"a": b}', (1, 7), "json-syntax"),
        ("[01]", (1, 2), "json-syntax"),
        ("[+1]", (1, 2), "json-syntax"),
        ("[NaN]", (1, 2), "json-syntax"),
        ("[-Infinity]", (1, 2), "json-syntax"),
        ("[.inf]", (1, 2), "json-syntax"),
        ("[True]", (1, 2), "json-syntax"),
        ("[1] # no", (1, 5), "json-syntax"),
        ("---\n{}", (1, 1), "json-syntax"),
        ("{}\n{}", (2, 1), "json-syntax"),
        ('["a', (1, 2), "json-syntax"),
        ('["a\tb"]', (1, 4), "json-syntax"),
        ('["a\nb"]', (1, 4), "json-syntax"),
        ('["\\x41"]', (1, 3), "json-syntax"),
        ('["é", "\\ud83d"]', (1, 7), "surrogate"),
        ('{"\\udc00": 1}', (1, 2), "surrogate"),
        ('["\x7f"]', (1, 3), "control-character"),
        (f"[{'1' * (MAX_DIGITS + 1)}]", (1, 2), "long-number"),
        ("[" * 100_000, (1, MAX_DEPTH + 1), "too-deep"),
        ('{"a":' * 100_000, (1, 5 * MAX_DEPTH + 1), "too-deep"),
    ],
)
def test_what_is_no_json_is_refused_where_it_stands(text: str, place: tuple[int, int], code: str) -> None:
    """As strict as YAML is read: one problem, with its place and code, and nothing of the file in its words."""
    assert [(each.line, each.column, each.code) for each in read(text).problems] == [(*place, code)]


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_an_empty_file_declares_nothing(text: str) -> None:
    """As an empty YAML file does."""
    assert read(text) == Parsed()


def test_a_key_of_two_less_signs_merges_nothing() -> None:
    """Quoted, it is a key like any other."""
    assert read('{"<<": {"a": 1}}').documents[0].value == {"<<": {"a": 1}}


def test_a_large_file_with_an_emoji_as_json_writes_it() -> None:
    """What the pure YAML parser took too long for is read, pairs of surrogates joined."""
    values = [{"externalid": f"id-{number}", "route": "😀"} for number in range(10_000)]
    assert read(json.dumps(values)).documents[0].value == values
