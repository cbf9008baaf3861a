"""What YAML's parsers take for something else than it is, or take though it is none.

Pure. Few files hold anything that looks like it, which is found out from the bytes; only their events are compared with
the text. tests/yamlfile/test_suite.py lists what is left of the differences.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NoReturn

from reconciler.yamlfile.builder import YamlRefused
from reconciler.yamlfile.document import Mark
from reconciler.yamlfile.encoding import Lines, TextMark

# Of bytes: each begins with what few files hold, so that the rest is passed over fast.
_flow_key: Final = re.compile(rb"\?(?<=[\s\[{,]\?)(?=[^\s,\[\]{}])").search
_name: Final = re.compile(rb"[&*][0-9A-Za-z_-]+[?:%@`]").search
# A plain scalar, such as a URL with a fragment, holds its `#`: a comment can only be glued to what ends by itself.
_comment: Final = re.compile(rb"#(?<=[\"'\[\]{},:]#)|[|>][-+0-9]*#").search
_block_of_comment: Final = re.compile(rb"[|>][-+0-9]*[ \t]*(?:#.*)?\n\s*#").search
_dash: Final = re.compile(rb"-[,\]}]").search
# Of the text beside an event.
_BLOCK: Final = r"(?:&\S+\s+)?[|>][-+0-9]*"
_glued: Final = re.compile(r"^[^#\n]*[^\s#]#", re.MULTILINE).search
_glued_to_block: Final = re.compile(_BLOCK + "#").match
_lost: Final = re.compile(_BLOCK + r"[ \t]*(?:#.*)?\n\s*(?<=[ \t])#").match
_NAME_ENDS: Final = tuple("?:%@`")  # where libyaml takes it to end
_CLOSERS: Final = tuple(",]}")
_QUOTE: Final = "write it in quotes"


class Misread(Exception):
    """This parser does not read it as YAML does; another may."""

    context: Final = None

    def __init__(self, mark: Mark, problem: str) -> None:
        super().__init__(problem)
        self.problem_mark, self.problem = mark, problem


def suspicious(data: bytes) -> bool:
    """Whether libyaml may misread anything in it."""
    return bool(
        (b"?" in data and _flow_key(data))
        or ((b"&" in data or b"*" in data) and _name(data))
        or (b"#" in data and (_comment(data) or _block_of_comment(data)))
        or (b"%" in data and (b"\n%" in data or data[:1] == b"%"))
        or _dash(data)
    )


class EventChecker:
    """A parser's events, compared with the text: raises YamlRefused or Misread where they aren't what it says."""

    __slots__ = ("_directives_may_follow", "_end", "_get", "_text")

    def __init__(self, get_event: Callable[[], Any], text: str) -> None:
        self._get, self._text = get_event, text
        self._end = 0
        self._directives_may_follow = True

    def get_event(self) -> Any:
        """Return the parser's next event, having looked at it and at what stands between it and the one before."""
        event = self._get()
        if event is None:
            return None
        mark, before = event.start_mark, max(0, self._end - 1)
        if found := _glued(self._text[before : mark.index]):
            self._refuse_comment(before + found.end() - 1)
        if hasattr(event, "explicit"):
            self._document(event, mark)
        elif hasattr(event, "anchor"):
            self._node(event, mark)
        self._end = event.end_mark.index
        return event

    def _document(self, event: Any, mark: Any) -> None:
        if not hasattr(event, "version"):  # an end
            self._directives_may_follow = event.explicit
        elif self._text.startswith("%", mark.index) and not self._directives_may_follow:
            _refuse(mark, "a directive stands at the start of a file, or after a line of three dots", "remove it")

    def _node(self, event: Any, mark: Any) -> None:
        if mark.index and self._text[mark.index - 1] == "?" and event.end_mark.index > mark.index:
            _refuse(mark, "a plain value can't start with '?' between brackets", _QUOTE)
        if event.anchor is not None and self._text.startswith(_NAME_ENDS, mark.index + 1 + len(event.anchor)):
            raise Misread(mark, "the name of an anchor or alias holds more than letters, digits, '-' and '_'")
        if hasattr(event, "value"):
            self._scalar(event, mark)

    def _scalar(self, event: Any, mark: Any) -> None:
        if event.style in ("|", ">"):
            if found := _glued_to_block(self._text, mark.index):
                self._refuse_comment(found.end() - 1)
            if not event.value.strip("\n") and (found := _lost(self._text, mark.index)):
                hint = "indent it deeper, and the blank lines before it no deeper; or write ''"
                _refuse(self._mark(found.end() - 1), "an indented '#' follows an empty block of text", hint)
        elif not event.style and self._text.startswith(_CLOSERS, event.end_mark.index):
            if event.value.endswith(":"):
                hint = "put a space after it, or quotes around"
                _refuse(mark, "a plain value can't end with ':' between brackets", hint)
            if event.value == "-":
                _refuse(mark, "a dash alone is no value", _QUOTE)

    def _refuse_comment(self, offset: int) -> NoReturn:
        hint = "put a space there; if it is no comment, write the value in quotes"
        _refuse(self._mark(offset), "a '#' without a space before it begins no comment", hint)

    def _mark(self, offset: int) -> TextMark:
        return TextMark(Lines(self._text), offset)


def _refuse(mark: Mark, message: str, hint: str) -> NoReturn:
    raise YamlRefused(mark, "yaml-syntax", message, hint)
