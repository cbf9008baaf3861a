"""Whether a file's bytes are text that may be parsed: UTF-8, and nothing that people can't see.

Pure. YAML 1.1 parsers split lines at NEL, LS and PS and YAML 1.2 ones don't, so a file that holds one raw means
different things to different readers.
"""

from __future__ import annotations

import re
from bisect import bisect
from functools import cached_property
from typing import Final, NamedTuple

from reconciler.errors import Problem

_CONTROLS: Final = bytes(code for code in range(0x20) if code not in b"\t\n\r") + b"\x7f"
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_NAMES: Final = {"\x00": "NUL", "\x85": "NEL", "\u2028": "LS", "\u2029": "PS", "\ufeff": "a byte order mark"}
_BREAK: Final = re.compile("\r\n|\r|\n")
_WIDE: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_SAVE: Final = "save the file as UTF-8 without a byte order mark"


def text_problem(data: bytes, name: str) -> Problem | None:
    """Return why the bytes of the file `name` aren't such text, or None."""
    plain = len(data.translate(None, _CONTROLS)) == len(data)
    if plain and data.isascii():
        return None
    return _wide(data, name) or _invalid(data, name) or _control(data.decode(), name)


class Lines:
    """The lines of a text, looked for only once somebody asks where something stands."""

    def __init__(self, text: str) -> None:
        self._text = text

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(found.end() for found in _BREAK.finditer(self._text))]

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column, from 0, of the character at `offset`."""
        line = bisect(self._starts, offset) - 1
        return line, offset - self._starts[line]


class TextMark(NamedTuple):
    """The place of the character at `offset`, worked out once somebody asks."""

    lines: Lines
    offset: int

    @property
    def line(self) -> int:
        """The line, from 0."""
        return self.lines.position(self.offset)[0]

    @property
    def column(self) -> int:
        """The column, from 0."""
        return self.lines.position(self.offset)[1]


def _wide(data: bytes, name: str) -> Problem | None:
    start = data[:2]
    if data.startswith(_WIDE) or (len(start) > 1 and start.count(0) == 1):
        return Problem(name, 1, 1, "encoding", "the file is UTF-16 or UTF-32, not UTF-8", _SAVE)
    if data.startswith(b"\xef\xbb\xbf"):
        return Problem(name, 1, 1, "encoding", "the file starts with a byte order mark", _SAVE)
    return None


def _invalid(data: bytes, name: str) -> Problem | None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        line, column = Lines(before).position(len(before))
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8"
        return Problem(name, line + 1, column + 1, "encoding", message, _SAVE)
    return None


def _control(text: str, name: str) -> Problem | None:
    if not (found := _CONTROL.search(text)):
        return None
    line, column = Lines(text).position(found.start())
    message = f"{_named(found[0])} may not stand in a file as such"
    hint = "remove it, or write it as an escape inside double quotes"
    return Problem(name, line + 1, column + 1, "control-character", message, hint)


def _named(character: str) -> str:
    return f"{_NAMES.get(character, 'the control character')} (U+{ord(character):04X})"


def control_name(text: str) -> str | None:
    """Return the first character in a text that may not stand in a file as such, as people know it."""
    return _named(found[0]) if (found := _CONTROL.search(text)) else None
