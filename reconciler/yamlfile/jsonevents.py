"""The text of a JSON file to the events that the builder takes, with the place of each.

Pure. Strict as RFC 8259 is; strings are decoded by the standard library, whose parser gives no positions. What comes
twice, nests too deep or is too long to read is the builder's business, as it is for YAML.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from json import JSONDecodeError, JSONDecoder
from typing import Final, NoReturn

from reconciler.yamlfile.builder import Kinds, Refused
from reconciler.yamlfile.encoding import Lines, TextMark

_decoded: Final = JSONDecoder().raw_decode
_space: Final = re.compile(r"[ \t\n\r]*").match
_plain: Final = re.compile(
    r"(?:true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)(?![\w.+-])", re.ASCII
).match
_HINTS: Final = {
    **dict.fromkeys("]}", "if a comma stands before it, remove that"),
    **dict.fromkeys("#/", "JSON has no comments; a .yaml file may have"),
    **dict.fromkeys("+0", "if it is meant as text, write it in double quotes"),
    "'": "JSON has double quotes only",
}


class _Event:
    __slots__ = ("start_mark", "style", "value")
    tag = anchor = version = None

    def __init__(self, mark: TextMark, value: str = "", style: str | None = None) -> None:
        self.start_mark, self.value, self.style = mark, value, style


class _Document(_Event):
    __slots__ = ()


class _Scalar(_Event):
    __slots__ = ()


class _Mapping(_Event):
    __slots__ = ()


class _Sequence(_Event):
    __slots__ = ()


class _End(_Event):
    __slots__ = ()


KINDS: Final = Kinds(_Document, _Scalar, None, _Mapping, _End, _Sequence, _End)


def events(text: str) -> Iterator[_Event]:
    """Yield the events of the one document, none if there is nothing; raises Refused where it is not JSON."""
    return _Reader(text).events()


class _Reader:
    __slots__ = ("_at", "_lines", "_text")

    def __init__(self, text: str) -> None:
        self._text, self._at, self._lines = text, 0, Lines(text)

    def events(self) -> Iterator[_Event]:
        if not self._next():
            return
        yield _Document(self._mark())
        yield from self._value()
        if self._next():
            self._refuse("something follows the value")

    def _next(self) -> str:
        """Skip white space, and return the character there, empty at the end."""
        self._at = _space(self._text, self._at).end()  # type: ignore[union-attr]  # it matches everywhere
        return self._text[self._at : self._at + 1]

    def _value(self) -> Iterator[_Event]:
        start = self._next()
        if start == '"':
            yield self._string()
        elif start == "{":
            yield from self._collection(_Mapping, self._member, "}")
        elif start == "[":
            yield from self._collection(_Sequence, self._value, "]")
        elif found := _plain(self._text, self._at):
            yield _Scalar(self._mark(), found.group())
            self._at = found.end()
        else:
            self._refuse("a value is expected")

    def _collection(self, kind: type[_Event], part: Callable[[], Iterator[_Event]], end: str) -> Iterator[_Event]:
        yield kind(self._mark())
        self._at += 1
        if self._next() != end:
            yield from part()
            while self._next() == ",":
                self._at += 1
                yield from part()
            if self._next() != end:
                self._refuse(f"a comma or {end} is expected")
        yield _End(self._mark())
        self._at += 1

    def _member(self) -> Iterator[_Event]:
        if self._next() != '"':
            self._refuse("a key in double quotes is expected")
        yield self._string()
        if self._next() != ":":
            self._refuse("a colon is expected")
        self._at += 1
        yield from self._value()

    def _string(self) -> _Event:
        mark = self._mark()
        try:
            value, self._at = _decoded(self._text, self._at)
        except JSONDecodeError as error:
            self._refuse_string(error)
        if not value.isascii() and not _is_text(value):
            raise Refused(mark, "surrogate", "half a surrogate pair is no character", "write the character itself")
        return _Scalar(mark, value, '"')

    def _mark(self) -> TextMark:
        return TextMark(self._lines, self._at)

    def _refuse(self, message: str) -> NoReturn:
        found = self._text[self._at : self._at + 1]
        raise Refused(self._mark(), "json-syntax", f"this is not JSON: {message}", _HINTS.get(found, ""))

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
