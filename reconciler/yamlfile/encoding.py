"""Whether a file's bytes are text that may be parsed: UTF-8, and nothing that people can't see.

Pure. YAML 1.1 parsers split lines at NEL, LS and PS and YAML 1.2 ones don't, so a file that holds one raw means
different things to different readers.
"""

from __future__ import annotations

import re
from bisect import bisect
from functools import cached_property
from typing import Final, NamedTuple

_CONTROLS: Final = bytes(code for code in range(0x20) if code not in b"\t\n\r") + b"\x7f"
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_NAMES: Final = {"\x00": "NUL", "\x85": "NEL", "\u2028": "LS", "\u2029": "PS", "\ufeff": "a byte order mark"}
_BREAK: Final = re.compile("\r\n|\r|\n")
_WIDE: Final = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_SAVE: Final = "save the file as UTF-8 without a byte order mark"


class Refusal(NamedTuple):
    """Why the bytes aren't such text, and where; `line` and `column` count from 1."""

    line: int
    column: int
    code: str
    message: str
    hint: str = ""


def refusal(data: bytes) -> Refusal | None:
    """Return why `data` may not be parsed, or None."""
    plain = len(data.translate(None, _CONTROLS)) == len(data)
    if plain and data.isascii():
        return None
    return _wide(data) or _invalid(data) or _control(data.decode())


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


def _wide(data: bytes) -> Refusal | None:
    start = data[:2]
    if data.startswith(_WIDE) or (len(start) > 1 and start.count(0) == 1):
        return Refusal(1, 1, "encoding", "the file is UTF-16 or UTF-32, not UTF-8", _SAVE)
    if data.startswith(b"\xef\xbb\xbf"):
        return Refusal(1, 1, "encoding", "the file starts with a byte order mark", _SAVE)
    return None


def _invalid(data: bytes) -> Refusal | None:
    try:
        data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        return _refusal(before, len(before), "encoding", f"the byte 0x{data[error.start]:02x} is not UTF-8", _SAVE)
    return None


def _control(text: str) -> Refusal | None:
    if not (found := _CONTROL.search(text)):
        return None
    character = found.group()
    name = _NAMES.get(character, "the control character")
    message = f"{name} (U+{ord(character):04X}) may not stand in a file as such"
    hint = "remove it, or write it as an escape inside double quotes"
    return _refusal(text, found.start(), "control-character", message, hint)


def _refusal(text: str, offset: int, code: str, message: str, hint: str) -> Refusal:
    line, column = Lines(text).position(offset)
    return Refusal(line + 1, column + 1, code, message, hint)
