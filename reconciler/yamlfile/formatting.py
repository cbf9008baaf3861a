"""YAML in its canonical form: what it says, its comments, its anchors and its quotes stay; white space is one. Pure.

Blocks are indented by two, lists under their key by two more, flow collections have no spaces inside; a comment stands
like what it is about, two spaces behind what it follows; no line ends in white space, and no two are empty in a row.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Final, NamedTuple

from reconciler.errors import Problem
from reconciler.yamlfile.reader import parse
from reconciler.yamlfile.roundtrip import round_trip

_START: Final = re.compile(r"---[ \t]*(#.*)?\n")
_COMMENT: Final = re.compile(r"[ \t]*#")
_BEHIND: Final = -1
"""In place of a column: behind what stands in the line above."""


def formatted(data: bytes, name: str) -> bytes | list[Problem]:
    """Return the canonical form of a YAML file, or why there is none.

    What is returned reads as the same values, has the same comments, anchors and quotes, and is its own canonical form;
    a file for which that can't be done is left to its author.
    """
    before = parse(data, name)
    if before.problems:
        return before.problems
    text = data.decode().replace("\r\n", "\n").replace("\r", "\n")
    text += "" if text.endswith("\n") else "\n"  # as it is read
    try:
        done = _pass(text)
        stable = done == text or (_pass(done) == done and _kept(text) == _kept(done))
    except Exception:  # noqa: BLE001 - ruamel.yaml raises errors of many kinds on what it can't round-trip
        return [_left(name)]
    after = parse(done.encode(), name)
    same = [repr(each.value) for each in before.documents] == [repr(each.value) for each in after.documents]
    return done.encode() if stable and same and not after.problems else [_left(name)]


def _left(name: str) -> Problem:
    message = "it can't be formatted without a change to what it says"
    return Problem(name, 1, 1, "not-formatted", message, "it is left as it is; look for comments in odd places")


def _pass(text: str) -> str:
    """Return the text with each of its documents formatted; what ruamel.yaml can't do is an error of any kind."""
    from yaml import _yaml, events  # noqa: PLC0415

    starts = [
        event.start_mark.line
        for event in iter(_yaml.CParser(text).get_event, None)
        if isinstance(event, events.DocumentStartEvent) and event.explicit and event.start_mark
    ]
    lines = text.splitlines(keepends=True)
    parts = ["".join(lines[one:other]) for one, other in pairwise([0, *starts, len(lines)]) if one < other]
    return "".join(_document(part) for part in parts)


def _document(text: str) -> str:
    if start := _START.match(text):
        body = text[start.end() :]
        return ("---  " + (start[1] or "")).rstrip() + "\n" + (_document(body) if body.strip() else "")
    if (out := round_trip(text)) is None:  # comments only, which a dump would drop
        layout = _layout(text)
        return _tidy(text, layout, dict.fromkeys(layout.comments, 0))
    was, now = _layout(text), _layout(out)
    return _tidy(out, now, dict(_columns(was, now)))


def _tidy(text: str, layout: _Layout, columns: Mapping[int, int]) -> str:
    """Return the text with its comments in their columns, without needless white space."""
    lines: list[str] = []
    for number, line in enumerate(text.splitlines()):
        end = layout.ends.get(number, 0)
        column = columns.get(number)
        if column == _BEHIND:
            lines[-1] += "  " + line.strip()
            continue
        if column is not None:
            line = " " * column + line.strip()  # noqa: PLW2901
        elif end or number not in layout.inside:
            comment = line[end:].strip() if end else ""
            line = line[:end].rstrip() + "  " + comment if comment else line.rstrip()  # noqa: PLW2901
        if line or number in layout.inside or (lines and lines[-1]):
            lines.append(line)
    return "\n".join(lines).rstrip("\n") + "\n" if lines else ""


def _kept(text: str) -> list[Any]:
    """Return what must stay: comments, and the anchor, the tag and the quotes of every value."""
    from yaml import _yaml  # noqa: PLC0415

    of = ("anchor", "tag", "style", "flow_style")
    events = iter(_yaml.CParser(text).get_event, None)
    comments = [text for text, _ in _layout(text).comments.values()]
    return [*comments, *([type(event).__name__, *(getattr(event, name, None) for name in of)] for event in events)]


# -- where comments stand ----------------------------------------------------------------------------------------


class _Level(NamedTuple):
    """A block collection: from which line to which it is open, and its column."""

    first: int
    last: int
    column: int


class _Place(NamedTuple):
    """Where a comment has a line of its own: its column, that of what is next, and those of the blocks open there."""

    column: int
    following: int | None
    blocks: list[int]


class _Layout(NamedTuple):
    """Where things stand in a text; lines and columns count from 0.

    `comments`: by line, the text of each, and its place where it has a line of its own; `inside`: lines that start
    within a scalar; `ends`: the column after the last token of a line, 0 where that goes on in the next one.
    """

    comments: dict[int, tuple[str, _Place | None]]
    inside: set[int]
    ends: dict[int, int]


def _layout(text: str) -> _Layout:
    from yaml import _yaml, events  # noqa: PLC0415

    layout = _Layout({}, set(), {})
    starts: dict[int, int] = {}
    for token in iter(_yaml.CParser(text).get_token, None):
        first, last = token.start_mark, token.end_mark
        if first.index == last.index:
            continue
        starts.setdefault(first.line, first.column)
        layout.inside.update(range(first.line + 1, last.line + (last.column > 0)))
        layout.ends[first.line] = 0
        if last.column:
            layout.ends[last.line] = last.column
    levels, opened = deque(sorted(_levels(_yaml.CParser(text), events))), list[_Level]()
    rows = sorted(starts)
    for number, line in enumerate(text.splitlines()):
        end = layout.ends.get(number, 0)
        if comment := line[end:].strip() if end else "":
            layout.comments[number] = comment, None
        elif number not in layout.inside and _COMMENT.match(line):
            while levels and levels[0].first < number:
                opened.append(levels.popleft())
            opened = [level for level in opened if number <= level.last]
            blocks = sorted(level.column for level in opened)
            after = bisect_right(rows, number)
            following = starts[rows[after]] if after < len(rows) else None
            layout.comments[number] = line.strip(), _Place(len(line) - len(line.lstrip()), following, blocks)
    return layout


def _levels(parser: Any, events: Any) -> Iterator[_Level]:
    opened: list[Any] = []
    for event in iter(parser.get_event, None):
        if isinstance(event, events.CollectionStartEvent):
            opened.append(event)
        elif isinstance(event, events.CollectionEndEvent):
            start = opened.pop()
            if not start.flow_style:
                yield _Level(start.start_mark.line, event.end_mark.line, start.start_mark.column)


def _columns(was: _Layout, now: _Layout) -> Iterator[tuple[int, int]]:
    """Yield where the comments stand that have a line of their own now: like what is next, else in their block."""
    for (_, before), (number, (_, place)) in zip(was.comments.values(), now.comments.items(), strict=True):
        if place is None:
            continue
        if before is None:
            yield number, _BEHIND
        elif before.following == before.column and place.following is not None:
            yield number, place.following
        else:
            deep = sum(column < before.column for column in before.blocks)
            yield number, place.blocks[min(deep, len(place.blocks) - 1)] if place.blocks else 0
