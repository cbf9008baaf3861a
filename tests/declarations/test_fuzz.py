"""Thousands of mutated examples: each is valid, or has problems with a place; nothing else ever happens."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from reconciler.declarations.loader import load
from reconciler.errors import DeclarationError
from reconciler.interaction import Interaction
from reconciler.render.problems import problems_text
from tests.known import RULES

EXAMPLES = [path.read_bytes() for path in sorted((Path(__file__).parents[2] / "interactions").iterdir())]
SEEDS = [0, 1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 10))]
TOKENS = re.compile(rb"\s+|[\w.]+|.", re.DOTALL)
SPLICES = [
    *(
        b"&a ",
        b"*a",
        b"<<: *a",
        b"!!str ",
        b"? ",
        b"- ",
        b": ",
        b"\t",
        b"\0",
        b"\r",
        b"\xc2\x85",
        b"\xff",
        b"[",
        b"{",
        b"}",
    ),
    *(
        b"|\n",
        b">-\n",
        b"---\n",
        b"...\n",
        b"%YAML 1.2\n",
        b'"\\ud83d"',
        b'"\\ud83d\\ude00"',
        b"'",
        b'"',
        b"#",
        b"null",
        b"yes",
    ),
    *(
        b"0123",
        b"-1",
        b"1e999",
        b"9" * 5000,
        b"[" * 100,
        b"action: release\n",
        b"requests: []\n",
        b"\xef\xbb\xbf",
        b"~",
        b"@",
    ),
]


def mutated(data: bytes, source: random.Random) -> bytes:
    """Return the data with one to four changes: bytes flipped, parts cut or doubled, tokens moved or put in."""
    for _ in range(source.randint(1, 4)):
        start = source.randrange(len(data) + 1)
        end = min(len(data), start + source.choice((1, 1, 2, 8, 40)))
        kind = source.randrange(5)
        if kind == 0 and start < len(data):
            data = data[:start] + bytes([data[start] ^ (1 << source.randrange(8))]) + data[start + 1 :]
        elif kind == 1:
            data = data[:start] + data[end:]
        elif kind == 2:
            data = data[:end] + data[start:]
        elif kind == 3:
            data = data[:start] + source.choice(SPLICES) + data[start:]
        else:
            tokens = TOKENS.findall(data) or [b""]
            tokens.insert(source.randrange(len(tokens)), source.choice(tokens))
            data = b"".join(tokens)
    return data


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_examples_are_valid_or_have_problems_with_a_place(tmp_path: Path, seed: int) -> None:
    """No mutation ends in another exception, in a hang, or in a problem without line and column."""
    source = random.Random(seed)  # noqa: S311 - the same mutations each time
    path = tmp_path / "x.yaml"
    for _ in range(1000):
        data = mutated(source.choice(EXAMPLES), source)
        path.write_bytes(data)
        try:
            declared = load(path, RULES, base=tmp_path)
        except DeclarationError as error:
            problems = error.problems
        else:
            assert all(isinstance(interaction, Interaction) for interaction in declared.interactions)
            continue
        assert problems
        assert all(problem.line >= 1 and problem.column >= 1 and problem.code for problem in problems), data
        assert problems_text(problems).replace("\n", "").isprintable(), data
