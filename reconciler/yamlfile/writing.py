"""Plain values as YAML in its canonical form, as `fmt` leaves it.

Pure. ruamel.yaml takes milliseconds for what this writes in microseconds; tests hold that both agree.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from reconciler.yamlfile.scalars import resolve

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_./@-]*(?: [A-Za-z0-9_./@-]+)*").fullmatch
_BOOLEANS: Final = frozenset({"y", "n", "yes", "no", "on", "off"})
"""What YAML 1.1, which other readers go by, takes for a boolean."""
_ESCAPES: Final = {
    **{character: rf"\x{ord(character):02X}" for character in map(chr, [*range(0x20), *range(0x7F, 0xA0)])},
    **dict(zip('\0\a\b\t\n\v\f\r\x1b"\\\x85\u2028\u2029', (f"\\{each}" for each in '0abtnvfre"\\NLP'), strict=True)),
    **{character: rf"\u{ord(character):04X}" for character in "\ufeff\ufffe\uffff"},
}
_escaped: Final = re.compile(f"[{re.escape(''.join(_ESCAPES))}]").sub


def items_text(items: Iterable[dict[str, Any]], column: int = 2) -> str:
    """Return the lines of a list of maps whose dashes stand in a column, counted from 0."""
    return "".join(f"{line}\n" for item in items for line in _item(item, " " * column))


def scalar_text(value: Any) -> str:
    """Return a string, integer, boolean or null; a string stands in quotes unless nobody can take it for another."""
    if isinstance(value, str):
        plain = _PLAIN(value) and resolve(value) is value and value.lower() not in _BOOLEANS
        return value if plain else f'"{_escaped(lambda found: _ESCAPES[found[0]], value)}"'
    return "null" if value is None else str(value).lower()


def _item(value: Any, margin: str) -> Iterator[str]:
    if not isinstance(value, dict) or not value:
        yield f"{margin}- {_short(value)}"
        return
    lead = f"{margin}- "
    for line in _mapping(value, margin + "  "):
        yield lead + line[len(lead) :]
        lead = ""


def _mapping(value: dict[str, Any], margin: str) -> Iterator[str]:
    for key, part in value.items():
        if not part or not isinstance(part, dict | list):
            yield f"{margin}{key}: {_short(part)}"
            continue
        yield f"{margin}{key}:"
        if isinstance(part, dict):
            yield from _mapping(part, margin + "  ")
        else:
            for item in part:
                yield from _item(item, margin + "  ")


def _short(value: Any) -> str:
    if isinstance(value, dict | list):
        return "{}" if isinstance(value, dict) else "[]"
    return scalar_text(value)
