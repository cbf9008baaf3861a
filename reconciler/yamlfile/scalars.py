"""What a plain scalar means: the core schema of YAML 1.2, in one table.

Pure. `yes`, `on`, `1_000` and dates are strings; so is everything else that the table doesn't name.
"""

from __future__ import annotations

import math
import re
from typing import Final

MAX_DIGITS: Final = 4300
"""Python reads no longer integers by default; past it `resolve` raises ValueError."""

Scalar = str | int | float | bool | None

_WORDS: Final[dict[str, Scalar]] = {
    "": None,
    **dict.fromkeys(("~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), math.nan),
    **{sign + word: math.inf for sign in ("", "+") for word in (".inf", ".Inf", ".INF")},
    **{"-" + word: -math.inf for word in (".inf", ".Inf", ".INF")},
}
_DECIMAL: Final = re.compile(r"[-+]?[0-9]+").fullmatch
_BASED: Final = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+").fullmatch
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?").fullmatch

SPECIAL: Final = frozenset("0123456789+-.~nNtTfF<")
"""First characters of every plain scalar that may be something else than a string (`<` is for the merge key)."""


def resolve(text: str) -> Scalar:
    """Return the value of a plain scalar; raises ValueError for an integer of more than `MAX_DIGITS` characters."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "0123456789+-.":
        return text
    if _DECIMAL(text):
        return int(_bounded(text))
    if _BASED(text):
        return int(_bounded(text), 0)
    return float(text) if _FLOAT(text) else text


def _bounded(text: str) -> str:
    if len(text) > MAX_DIGITS:
        raise ValueError("the integer is too long to read")
    return text


def describe(value: object) -> str:
    """Return what kind of value this is, in the words of the messages: `an integer`, `a list`."""
    for kinds, words in _KINDS:
        if isinstance(value, kinds):
            return words
    return "null" if value is None else "something else"


_KINDS: Final[tuple[tuple[type, str], ...]] = (
    (bool, "a boolean"),  # before int, of which it is a kind
    (int, "an integer"),
    (float, "a number with a fraction or exponent"),
    (str, "a string"),
    (dict, "a mapping"),
    (list, "a list"),
)
