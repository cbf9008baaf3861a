"""The groups of a plan as articles: what happens to which, before and after side by side, and each interaction.

Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from xml.etree.ElementTree import Element

from reconciler.commandline import CommandLine, resolutions
from reconciler.escape import brief
from reconciler.planning.plan import Action, Change
from reconciler.render.html.elements import Part, bulleted, code, element, named
from reconciler.render.links import SourceLinks
from reconciler.render.outline import Field, Group, facets, place, rename
from reconciler.render.text import SYMBOLS

LOOK_UP: Final = "Look it up, then say what became of it:"
_UNFOLDED: Final = 5


class Fate(NamedTuple):
    """What becomes of a change: what others have in common with it, then its own requestids and commands to go on."""

    outcome: str = ""
    notes: tuple[str, ...] = ()
    requests: tuple[str, ...] = ()
    way_on: str = ""
    commands: tuple[tuple[str, ...], ...] = ()


class Facets:
    """What changes can be found by: each file, route and provider, with a number that stands for it in the page."""

    def __init__(self, changes: Sequence[Change]) -> None:
        self.counts: dict[str, Counter[str]] = {"file": Counter(), "route": Counter(), "provider": Counter()}
        for change in changes:
            for name, values in facets(change).items():
                self.counts[name].update(values)
        self.numbers = {
            name: {value: str(number) for number, value in enumerate(sorted(counter))}
            for name, counter in self.counts.items()
        }

    def mark(self, element: Element, change: Change) -> None:
        """Set the attributes by which a change is found."""
        for name, values in facets(change).items():
            element.set(f"data-{name}", " ".join(self.numbers[name][value] for value in values))


class Articles(NamedTuple):
    """How groups are shown, and what became of each address, if anything was sent."""

    found: Facets
    fates: Mapping[str, Fate]
    links: SourceLinks | None
    command: CommandLine

    def article(self, group: Group) -> Element:
        """Return a group; one change is found as the article, several each in its list."""
        first, several, shape = group.changes[0], len(group.changes) > 1, group.shape
        fate = self.fate(first)
        made = element("article", element("div", *self._head(group, fate)))
        made.attrib.update({"data-action": shape.action, "data-outcome": fate.outcome})
        if shape.fields:
            made.append(_fields(shape.fields, new=shape.new))
        if several:
            made.append(self._list(group.changes))
        else:
            made.append(element("div", *self._own(first)))
            self.found.mark(made, first)
        return made

    def fate(self, change: Change) -> Fate:
        """Return what became of a change, or what is to become of it."""
        if self.fates:
            return self.fates[change.address]
        held = change.action is Action.HOLD
        return Fate(way_on=LOOK_UP, commands=resolutions(change.address)) if held else Fate()

    def _head(self, group: Group, fate: Fate) -> Iterator[Element]:
        shape, changes = group.shape, group.changes
        mark = element("span", f"{SYMBOLS[shape.action]} {shape.action}", class_="mark said")
        yield element("h3", mark, " ", *_names(changes))
        where: list[Part] = [group.place] if len(changes) > 1 else self._place(changes[0])
        yield element("p", *where, *named(" (provider ", shape.provider, ")"), class_="place")
        yield from bulleted(filter(None, (shape.attempt, *shape.notes, *rename(group), *fate.notes)), "said")
        if shape.steps:
            yield element("ol", *(element("li", step) for step in shape.steps), class_="said")

    def _place(self, change: Change) -> list[Part]:
        side = change.after
        url = self.links.line(side.source, side.line) if self.links and side and side.line else None
        return [element("a", place(change), href=url) if url else place(change)]

    def _list(self, changes: Sequence[Change]) -> Element:
        items = [
            element("li", code(change.address), " ", *self._place(change), *self._own(change)) for change in changes
        ]
        for item, change in zip(items, changes, strict=True):
            self.found.mark(item, change)
        made = element("details", element("summary", f"{len(changes)} interactions"), element("ol", *items))
        if len(changes) <= _UNFOLDED:
            made.set("open", "")
        return made

    def _own(self, change: Change) -> Iterator[Element]:
        """Yield what is said of this change alone: its requestids, and the commands to go on with."""
        fate = self.fate(change)
        yield from (element("span", text, class_="own") for text in (*fate.requests, fate.way_on) if text)
        yield from (element("code", self.command(*words), class_="own") for words in fate.commands)


def _names(changes: Sequence[Change]) -> list[Part]:
    if len(changes) == 1:
        return [code(changes[0].address)]
    first, last = (code(brief(change.address)) for change in (changes[0], changes[-1]))
    return [element("b", str(len(changes)), class_="count"), " × ", first, " … ", last]


def _fields(fields: Sequence[Field], *, new: bool) -> Element:
    """Return fields as a table: of what is open, before and after side by side."""
    heads = ("Field", "Declared") if new else ("Field", "Before", "Declared")
    rows = [element("tr", *(element("th", head, scope="col") for head in heads))]
    for field in fields:
        cells = [_value(field.after, "ins")] if new else [_value(field.before, "del"), _value(field.after, "ins")]
        if field.note:
            cells = [element("td", element("i", field.note), colspan=str(len(heads) - 1))]
        rows.append(element("tr", element("th", field.name, scope="row"), *cells))
    return element("table", *rows, class_="fields said")


def _value(value: str | None, tag: str) -> Element:
    return element("td", element("i", "(none)") if value is None else element(tag, code(value)))
