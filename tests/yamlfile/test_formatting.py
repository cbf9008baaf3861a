"""The canonical form of YAML: what a file says stays, and so do its comments."""

from __future__ import annotations

import json
import random
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from reconciler.yamlfile.formatting import formatted
from reconciler.yamlfile.reader import parse

SUITE = Path(__file__).parent / "suite" / "cases.jsonl"
OURS = [*Path("interactions").rglob("*.yaml"), *Path("docs").rglob("*.y*ml")]

CASES = {
    "blocks and spaces": (
        "a:   1   # one\nb:\n- x: {c:  [ 1,2 , 3 ]}\n  y:   z\n-   w\n\n\n\nc: ''\n",
        "a: 1  # one\nb:\n  - x: {c: [1, 2, 3]}\n    y: z\n  - w\n\nc: ''\n",
    ),
    "scalars as they are written": (
        "a: [yes, 1_000, 0o7, 007, 1.50, ~, 2001-12-14 10:00:00]\nb: \"+44\"\nc: '07'\nd:\n",
        "a: [yes, 1_000, 0o7, 007, 1.50, ~, 2001-12-14 10:00:00]\nb: \"+44\"\nc: '07'\nd:\n",
    ),
    "comments stand like what they are about": (
        "# top\na:\n# of the list\n- b: 1\n  # of c\n  c: 2\n# - b: 3\n\n# of d\nd: 4 # end\n# last\n",
        "# top\na:\n  # of the list\n  - b: 1\n    # of c\n    c: 2\n# - b: 3\n\n# of d\nd: 4  # end\n# last\n",
    ),
    "anchors, merges and comments behind them": (
        "x: &x {a: 1}\ny: &unused\n    b: 1\nz:\n- <<: *x # both\n  c: 1\n",
        "x: &x {a: 1}\ny: &unused\n  b: 1\nz:\n  - <<: *x  # both\n    c: 1\n",
    ),
    "blocks below brackets, below a comment": (
        "a:\n# one\n- {b: 1} # two\n- c: 2\n  d: 3\ne:\n# three\n- [f]\n- g: 4\n  h: 5\n",
        "a:\n  # one\n  - {b: 1}  # two\n  - c: 2\n    d: 3\ne:\n  # three\n  - [f]\n  - g: 4\n    h: 5\n",
    ),
    "block scalars": (
        'a: |\n     one\n       two\n\n     three  \nb: >-\n   long\n   text\nc: "one\n   two"\n',
        'a: |\n  one\n    two\n\n  three  \nb: >-\n  long\n  text\nc: "one two"\n',
    ),
    "documents": (
        "# first\n---\na:   1\n# second\n---  # two\nb:   2\n---\n# nothing\n",
        "# first\n---\na: 1\n# second\n---  # two\nb: 2\n---\n# nothing\n",
    ),
    "other ends of lines": ("a:   1\r\nb: 2\r\n", "a: 1\nb: 2\n"),
    "no more than a comment": ("\n\n  # nothing yet  \n", "# nothing yet\n"),
    "nothing": ("", ""),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_the_canonical_form(text: str, expected: str) -> None:
    """A file gets this form, and has it for good."""
    assert formatted(text.encode(), "a.yaml") == expected.encode()
    assert formatted(expected.encode(), "a.yaml") == expected.encode()


@pytest.mark.parametrize("text", ["a: {b: 1, # why\n  c: 2}\n", "%YAML 1.2\n---\na: 1\n... # suffix\n", "a: [\n"])
def test_what_would_lose_something_is_left_alone(text: str) -> None:
    """A comment inside a flow collection has no place in the canonical form: the file is named with its problem."""
    found = formatted(text.encode(), "a.yaml")
    assert not isinstance(found, bytes)
    assert [problem.file for problem in found] == ["a.yaml"]


def test_all_that_can_be_read_keeps_its_values() -> None:
    """Of YAML's own test suite and of our files, each is formatted without a change to what it says, or left alone."""
    texts = [json.loads(line)["yaml"].encode() for line in SUITE.read_text(encoding="utf-8").splitlines()]
    ours = [path.read_bytes() for path in OURS]
    done = 0
    for data in [*texts, *ours]:
        was = parse(data, "a.yaml")
        found = formatted(data, "a.yaml")
        if isinstance(found, bytes):
            done += 1
            assert repr([each.value for each in parse(found, "a.yaml").documents]) == repr(
                [each.value for each in was.documents]
            )
            assert formatted(found, "a.yaml") == found
        else:
            assert was.problems or data not in ours
    assert done > 150


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufeff\u2028\u2029"))
VALUES = st.recursive(
    TEXTS | st.integers() | st.booleans() | st.none() | st.sampled_from(["07700", "yes", "# no", "a: b", "x\n y\n"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_any_layout_of_any_values_keeps_them_and_its_comments(value: dict[str, Any], rng: random.Random) -> None:
    """However it is laid out, a file reads the same when formatted, with the same comments, and is formatted once."""
    text = with_comments(laid_out(value, rng), rng)
    was = parse(text.encode(), "a.yaml")
    found = formatted(text.encode(), "a.yaml")
    if not isinstance(found, bytes):
        assert was.problems or found[0].code == "not-formatted"
        return
    assert repr(parse(found, "a.yaml").documents[0].value) == repr(was.documents[0].value)
    assert found.count(b"# remark") == text.count("# remark")
    assert formatted(found, "a.yaml") == found


def laid_out(value: dict[str, Any], rng: random.Random) -> str:
    """Return YAML of one of many layouts."""
    yaml = YAML(typ="rt", pure=True)
    yaml.default_flow_style = rng.choice([None, False, True])
    yaml.width = rng.choice([20, 80, 1000])
    mapping = rng.choice([2, 3, 4, 8])
    yaml.indent(mapping=mapping, sequence=mapping + rng.choice([0, 2]), offset=rng.choice([0, mapping - 2]))
    out = StringIO()
    yaml.dump(value, out)
    return out.getvalue()


def with_comments(text: str, rng: random.Random) -> str:
    """Return the text with remarks in lines of their own, wherever that leaves its values alone."""
    lines = text.splitlines()
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(lines) + 1)
        trial = [*lines[:at], " " * rng.randrange(5) + "# remark", *lines[at:]]
        documents = [parse("\n".join(each).encode(), "a.yaml").documents for each in (lines, trial)]
        if len({repr([each.value for each in found]) for found in documents}) == 1:
            lines = trial
    return "\n".join(lines) + "\n"
