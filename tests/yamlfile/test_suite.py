"""The YAML test suite, and another parser that passes all of it: what is read otherwise than written is nothing."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml12
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.yamlfile import reader
from reconciler.yamlfile.document import Parsed
from reconciler.yamlfile.reader import parse

CASES: Final = [json.loads(line) for line in (Path(__file__).parent / "suite/cases.jsonl").read_text().splitlines()]
POLICY: Final = {"tag", "key-type", "duplicate-key", "yaml-version"}
"""What is YAML and refused all the same (docs/declarations.md)."""
REFUSED: Final = {
    "a key and its colon must stand on one line": "4MUZ/0 4MUZ/1 4MUZ/2 5MUD 9SA2 K3WX NJ66 UT92 VJP3/1",
    "a tab may not stand where it could indent": "6BCT 6CA3 A2M4 DK95/0 Q5MG R4YG Y79Y/10",
    "between brackets, a plain value can't start with '?'": "652Z HM87/1",
    "between brackets, a plain value can't end with ':'": "4ABK FRK4",
    "between brackets, a key can't be missing": "CFD4",
}
"""Valid documents that are refused: what neither libyaml nor ruamel.yaml reads, or reads rightly."""
TAKEN: Final = {"indentation inside brackets and quotes is not looked at": "9C9N DK95/1 QB6E Y79Y/3"}
"""Invalid documents that are taken: there is one thing only that they can mean."""
MERGE: Final = "<<"
TOKENS: Final = [
    *("a", "b", "key", "x y", "é", " ", "  ", "\n", "\n ", "\n  ", "\n   ", "\n\n", "\n \n", "\t", " \t", "\n\t\n"),
    *(": ", ":", ":\n", "- ", "-", "? ", "?", "[", "]", "{", "}", ",", ", ", "# c", "#", " #x", "k: ", "- - ", "\r\n"),
    *("&a ", "&b", "*a", "*a ", "&a\n", "&a:b", "*a:b", "::", "?x", ":x", "://", "@", "`", "!", "%", "=", "~", "1"),
    *("|", ">", "|\n", "|-\n", "|+\n", ">\n ", "|2\n", ">1-\n", "|\n  x\n", ">\n  x\n   y\n", "null", "true", "-.5"),
    *("'", '"', "''", "'q'", '"q"', '"a\\nb"', '"a\n b"', "'a\n\n b'", "\\"),
    *("---", "--- ", "\n---\n", "...", "\n...\n", "%YAML 1.2\n"),
]
WRAPPED: Final = ["k: {0}\nl: {0}\n", "- {0}\n", "{{k: {0}}}\n", "[{0}, {1}]\n", "a:\n  {0}\n", "k: |\n  {0}\n{1}"]


def codes(parsed: Parsed) -> set[str]:
    """Return the codes of the problems."""
    return {problem.code for problem in parsed.problems}


def meant(text: str) -> list[Any]:
    """Return the values of JSON documents that follow one another."""
    decoder, values = json.JSONDecoder(), []
    while text := text.lstrip():
        value, end = decoder.raw_decode(text)
        values.append(value)
        text = text[end:]
    return values


def verdict(case: dict[str, Any]) -> str:
    """Return what became of a document of the suite."""
    parsed = parse(case["yaml"].encode(), "x.yaml")
    if "fail" in case:
        return "refused" if parsed.problems else "taken"
    if parsed.problems:
        return "policy" if codes(parsed) <= POLICY else "syntax"
    if "json" not in case:
        return "right"
    return "right" if alike([each.value for each in parsed.documents], meant(case["json"])) else "otherwise"


def alike(one: Any, other: Any) -> bool:
    """Whether two values are equal, types included; 450.0 and 450 are the same number."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(alike, one, other))
    numbers = [isinstance(each, int | float) and not isinstance(each, bool) for each in (one, other)]
    if all(numbers):
        return bool(one == other or (math.isnan(one) and math.isnan(other)))
    return type(one) is type(other) and one == other


def listed(reasons: dict[str, str]) -> set[str]:
    """Return the ids of a table of reasons."""
    return {case for cases in reasons.values() for case in cases.split()}


def test_valid_documents_are_read_as_they_are_meant() -> None:
    """Each is read as its JSON says, refused by policy, or stands in the table of what can't be read."""
    verdicts = {case["id"]: verdict(case) for case in CASES if "fail" not in case}
    assert {case for case, became in verdicts.items() if became == "otherwise"} == set()
    assert {case for case, became in verdicts.items() if became == "syntax"} == listed(REFUSED)


def test_invalid_documents_are_refused() -> None:
    """Each is refused, or stands in the table of what is taken all the same."""
    verdicts = {case["id"]: verdict(case) for case in CASES if "fail" in case}
    assert {case for case, became in verdicts.items() if became == "taken"} == listed(TAKEN)


def test_without_libyaml_nothing_is_read_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pure parser refuses more, but what it reads is what is meant."""
    monkeypatch.setattr(reader, "libyaml", lambda: None)
    assert [case["id"] for case in CASES if verdict(case) == "otherwise"] == []


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("route: &crm:night X\nother: *crm:night\n", [{"route": "X", "other": "X"}]),
        ("a: &x?y 1\n", [{"a": 1}]),
        ("u: https://x.org/?a=1&b:c#d\n", [{"u": "https://x.org/?a=1&b:c#d"}]),
        ("a: |\n  x\n   ", [{"a": "x\n \n"}]),
        ("a: |\n  x", [{"a": "x\n"}]),
        ("...\n", []),
        ("# c ...\n...\n\n... # d\na: 1\n...\n...\n# e\n...\nb: 2\n", [{"a": 1}, {"b": 2}]),
        ("a: |\n ...\n  ...\nb: ...\n", [{"a": "...\n ...\n", "b": "..."}]),
        ("a: 1\n\t\nb: 'x'\n \t \n\t\nc: |\n  x\n  \t\n  y\n", [{"a": 1, "b": "x", "c": "x\n\t\ny\n"}]),
        ("a: 'x' #c\n#d#e\nb: a#b\nc: ['#', \"x#y\", x#y] # f#g\n", [{"a": "x", "b": "a#b", "c": ["#", "x#y", "x#y"]}]),
        ("a: |\n  # Title\nb: |\n# c\nc: 1\n", [{"a": "# Title\n", "b": "", "c": 1}]),
        ("[a-, -b, {c-d: e-}]\n", [["a-", "-b", {"c-d": "e-"}]]),
    ],
)
def test_what_looks_odd_and_is_yaml_is_read(text: str, values: list[Any]) -> None:
    """What one of the parsers stumbles over, or takes for something else, means what YAML says."""
    parsed = parse(text.encode(), "x.yaml")
    assert (parsed.problems, [each.value for each in parsed.documents]) == ([], values)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: 1\nb: {c:, d: 1}\n", (2, 5), "can't end with ':'"),
        ("a: [x, -]\n", (1, 8), "a dash alone"),
        ("a: [?x]\n", (1, 6), "can't start with '?'"),
        ("a: 'é'#b\nc: 1\n", (1, 7), "begins no comment"),
        ("a: [b,#c\n d]\n", (1, 7), "begins no comment"),
        ("a: [b] # c\nd: [e]#f\n", (2, 7), "begins no comment"),
        ("a: >-#c\n  x\n", (1, 6), "begins no comment"),
        ("a: &b |#c\n  x\n", (1, 8), "begins no comment"),
        ("a: |\n   \n  # c\n", (3, 3), "follows an empty block"),
        ("a: 1\n%YAML 1.2\n---\nb\n", (2, 1), "a directive stands"),
        ("%YAML 1.3\n---\na: 1\n", (1, 1), "files are read as YAML 1.2"),
    ],
)
def test_what_parsers_misread_is_refused_where_it_stands(text: str, place: tuple[int, int], words: str) -> None:
    """What no parser reads rightly, and what they take though it is no YAML, is one problem with its place."""
    (problem,) = parse(text.encode(), "x.yaml").problems
    assert (problem.line, problem.column) == place
    assert words in problem.message


def plain(value: Any) -> Any:
    """Return a value without what the other parser has wrong: a block scalar of nothing, which is no line end."""
    if isinstance(value, dict):
        return {plain(key): plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value if not isinstance(value, str) or value.strip("\n") else ""


def agrees(text: str) -> bool:
    """Whether it is refused, or read as the other parser reads it, if that does.

    Documents that are a text alone don't count: a declaration file or a configuration of them is refused.
    """
    text += "\n"
    parsed = parse(text.encode(), "x.yaml")
    read = [plain(each.value) for each in parsed.documents]
    if parsed.problems or any(isinstance(value, str) for value in read) or MERGE in text:
        return True
    try:
        other = yaml12.parse_yaml(text, multi=True)
    except ValueError:
        return True
    return alike(read, plain(other))


def soup(parts: list[str]) -> st.SearchStrategy[str]:
    """Draw texts of a few of the parts."""
    return st.lists(st.sampled_from(parts), max_size=7).map("".join)


@settings(max_examples=1500, deadline=None)
@given(wrapped=st.sampled_from(WRAPPED), one=soup(TOKENS), other=soup(TOKENS))
def test_small_documents_are_read_as_another_parser_reads_them(wrapped: str, one: str, other: str) -> None:
    """Whatever indicators stand beside one another, the value is the other parser's, or it is refused."""
    assert agrees(wrapped.format(one, other))


def mutations(seed: int, count: int) -> Iterator[str]:
    """Yield documents of the suite with tokens and parts of other documents put in, and parts left out."""
    source = random.Random(seed)  # noqa: S311 - the same each time
    texts = [case["yaml"] for case in CASES if len(case["yaml"]) < 400]
    for _ in range(count):
        text = source.choice(texts)
        for _ in range(source.randint(1, 3)):
            other = source.choice(texts)
            start, cut = source.randrange(len(other) + 1), source.choice((3, 8, 20, 60))
            put = source.choice(("", source.choice(TOKENS), other[start : start + cut]))
            start, cut = source.randrange(len(text) + 1), source.choice((0, 0, 1, 2, 5))
            text = text[:start] + put + text[start + cut :]
        yield text


@pytest.mark.parametrize("libyaml", [True, False])
def test_mutated_documents_are_read_as_another_parser_reads_them(
    monkeypatch: pytest.MonkeyPatch,
    libyaml: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Two thousand documents that are nearly those of the suite are read alike or refused, with libyaml and without."""
    if not libyaml:
        monkeypatch.setattr(reader, "libyaml", lambda: None)
    assert [text for text in mutations(libyaml, 2000) if not agrees(text)] == []


def test_a_missing_end_of_the_last_line_changes_nothing() -> None:
    """With or without a line end at the end, a file means the same."""
    for case in CASES:
        text = case["yaml"].rstrip("\n")
        one, other = (parse(each.encode(), "x.yaml") for each in (text, text + "\n"))
        assert alike([each.value for each in one.documents], [each.value for each in other.documents]), text
        assert codes(one) == codes(other), text
