"""What fits into a comment: whole items are left out and counted, from the last section on; nothing is cut.

Pure. The sections stand in the order of what a reader must not miss.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from reconciler.render.markdown.gfm import size

# A few huge items must not take the place of many others.
_LARGE: Final = 1_000
_LARGEST_DETAIL: Final = 8_000
_BLANK_LINES: Final = 8


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a list, below the heading of its group; `short` stands for `full` where room is scarce."""

    full: str
    short: str
    group: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, its items, and what closes it.

    `bullet` starts each item, `gap` stands between blocks, `most` is the room that the items may take at most.
    """

    head: str
    items: Sequence[Item]
    tail: str = ""
    bullet: str = "- "
    gap: str = "\n\n"
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Fitted:
    """The sections as text, and whether anything was left out."""

    texts: tuple[str, ...]
    complete: bool


def fit(sections: Sequence[Section], room: int) -> Fitted:
    """Return as much of the sections as fits into `room` UTF-16 units, the first ones first."""
    room -= sum(_frame(section) for section in sections)
    texts, complete = [], True
    for section in sections:
        chosen, used = _choose(section, room if section.most is None else min(room, section.most))
        room -= used
        texts.append(section.gap.join(_blocks(section, chosen)))
        complete = complete and all(chosen.get(index) == item.full for index, item in enumerate(section.items))
    return Fitted(tuple(texts), complete)


def _frame(section: Section) -> int:
    """Return what a section takes without any of its items."""
    return size(section.head) + size(section.tail) + size(_more(section, len(section.items))) + _BLANK_LINES


def _more(section: Section, number: int) -> str:
    return f"{section.bullet}… and {number} more"


def _choose(section: Section, room: int) -> tuple[dict[int, str], int]:
    """Return the items that fit, by index: as many as possible, then as fully as possible; and what they take."""
    items, chosen, groups, used = section.items, dict[int, str](), set[str](), 0
    for index in sorted(range(len(items)), key=lambda index: size(items[index].short) > _LARGE):
        item = items[index]
        cost = _line(section, item.short)
        if item.group not in groups:
            cost += size(item.group) + _BLANK_LINES
        if used + cost <= room:
            chosen[index] = item.short
            groups.add(item.group)
            used += cost
    for index in sorted(chosen):
        more = size(items[index].full) - size(items[index].short)
        if more <= _LARGEST_DETAIL and used + more <= room:
            chosen[index] = items[index].full
            used += more
    return chosen, used


def _line(section: Section, text: str) -> int:
    return size(section.bullet) + size(text) + 1


def _blocks(section: Section, chosen: dict[int, str]) -> Iterator[str]:
    """Yield what stands between blank lines."""
    if section.head:
        yield section.head
    groups: dict[str, list[str]] = {}
    for index in sorted(chosen):
        groups.setdefault(section.items[index].group, []).append(section.bullet + chosen[index])
    for group, lines in groups.items():
        if group:
            yield group
        yield "\n".join(lines)
    if left_out := len(section.items) - len(chosen):
        yield _more(section, left_out)
    if section.tail:
        yield section.tail
