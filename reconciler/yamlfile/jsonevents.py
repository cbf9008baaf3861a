"""The text of a JSON file to the events that the builder takes, PyYAML's, with the place of each.

Pure. Strict as RFC 8259 is; strings are decoded by the standard library, whose parser gives no positions. What comes
twice, nests too deep or is too long to read is the builder's business, as it is for YAML.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from json import JSONDecodeError, JSONDecoder
from typing import Any, Final, NoReturn

from reconciler.yamlfile.builder import YamlRefused
from reconciler.yamlfile.encoding import Lines, TextMark

_decoded: Final = JSONDecoder().raw_decode
_space: Final = re.compile(r"[ \t\n\r]+").match
_plain: Final = re.compile(
    r"(?:true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)(?![\w.+-])", re.ASCII
).match
_IMPLICIT: Final = (True, True)
_HINTS: Final = {
    **dict.fromkeys("]}", "if a comma stands before it, remove that"),
    **dict.fromkeys("#/", "JSON has no comments; a .yaml file may have"),
    **dict.fromkeys("+0", "if it is meant as text, write it in double quotes"),
    "'": "JSON has double quotes only",
}


def json_events(text: str, events: Any) -> Iterator[Any]:
    """Yield the events of the one document, none if there is nothing; raises YamlRefused where it is not JSON.

    `events` holds their classes.
    """
    return _Reader(text, events).stream()


class _Reader:
    __slots__ = ("_at", "_events", "_lines", "_text")

    def __init__(self, text: str, events: Any) -> None:
        self._text, self._events, self._at, self._lines = text, events, 0, Lines(text)

    def stream(self) -> Iterator[Any]:
        if not self._next():
            return
        yield self._events.DocumentStartEvent(self._mark())
        yield from self._value()
        if self._next():
            self._refuse("something follows the value")

    def _next(self) -> str:
        """Skip white space, and return the character there, empty at the end."""
        if found := _space(self._text, self._at):
            self._at = found.end()
        return self._text[self._at : self._at + 1]

    def _value(self) -> Iterator[Any]:
        start, events = self._next(), self._events
        if start == '"':
            yield self._string()
        elif start == "{":
            yield from self._collection(events.MappingStartEvent, self._member, events.MappingEndEvent, "}")
        elif start == "[":
            yield from self._collection(events.SequenceStartEvent, self._value, events.SequenceEndEvent, "]")
        elif found := _plain(self._text, self._at):
            yield events.ScalarEvent(None, None, _IMPLICIT, found.group(), self._mark())
            self._at = found.end()
        else:
            self._refuse("a value is expected")

    def _collection(
        self, start_event: Any, part: Callable[[], Iterator[Any]], end_event: Any, end: str
    ) -> Iterator[Any]:
        yield start_event(None, None, _IMPLICIT, self._mark())
        self._at += 1
        if self._next() != end:
            yield from part()
            while (found := self._next()) == ",":
                self._at += 1
                yield from part()
            if found != end:
                self._refuse(f"a comma or {end} is expected")
        yield end_event(self._mark())
        self._at += 1

    def _member(self) -> Iterator[Any]:
        if self._next() != '"':
            self._refuse("a key in double quotes is expected")
        yield self._string()
        if self._next() != ":":
            self._refuse("a colon is expected")
        self._at += 1
        yield from self._value()

    def _string(self) -> Any:
        mark = self._mark()
        try:
            value, self._at = _decoded(self._text, self._at)
        except JSONDecodeError as error:
            self._refuse_string(error)
        if not value.isascii() and not _is_text(value):
            raise YamlRefused(mark, "surrogate", "half a surrogate pair is no character", "write the character itself")
        return self._events.ScalarEvent(None, None, _IMPLICIT, value, mark, None, '"')

    def _mark(self) -> Any:
        return TextMark(self._lines, self._at)

    def _refuse(self, message: str) -> NoReturn:
        found = self._text[self._at : self._at + 1]
        raise YamlRefused(self._mark(), "json-syntax", f"this is not JSON: {message}", _HINTS.get(found, ""))

    def _refuse_string(self, error: JSONDecodeError) -> NoReturn:
        self._at = error.pos
        if error.msg.startswith("Unterminated"):
            self._refuse("this string has no end")
        if error.msg.startswith("Invalid control"):
            self._refuse("a string holds a line break or tab, which JSON writes as \\n or \\t")
        self._refuse("JSON has no such escape")


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
