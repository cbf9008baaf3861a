"""A plan as text for a terminal or a log: symbols first, so that it reads without colour.

Pure: returns strings. Colour is asked for by the caller; nothing declared reaches the terminal unescaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from itertools import chain, islice
from typing import Final, NamedTuple
from unicodedata import east_asian_width

from reconciler.commandline import PLAIN, CommandLine, resolutions
from reconciler.escape import brief, visible
from reconciler.planning.guards import Refusal
from reconciler.planning.plan import Action, Change
from reconciler.planning.saved_plan import SavedPlan
from reconciler.render.outline import NO_VALUES, Field, Group, Outline, Section, Shape, outline, place, rename
from reconciler.render.style import ALARM, BOLD, GREEN, RED, YELLOW, Style
from reconciler.render.style import PLAIN as PLAIN_STYLE
from reconciler.render.words import count, selection, summary

SYMBOLS: Final = {
    Action.DISPATCH: "+",
    Action.RELEASE: "-",
    Action.REPLACE: "-/+",
    Action.SETTLE: "~",
    Action.FORGET: "x",
    Action.HOLD: "!",
    Action.DRIFT: "·",
    Action.RECORD: "·",
}
_COLOURS: Final = {
    Action.DISPATCH: GREEN,
    Action.RELEASE: RED,
    Action.REPLACE: YELLOW,
    Action.SETTLE: "35",
    Action.FORGET: "2",
    Action.HOLD: ALARM,
    Action.DRIFT: "36",
    Action.RECORD: "2",
}
_MARKS: Final = {"+": GREEN, "-": RED, "!": YELLOW}
_INDENT: Final = 8
_MARGIN: Final = " " * _INDENT
_SCREEN: Final = 24
_MOST_LINES: Final = 300
_MOST_CHARACTERS: Final = 200_000  # of up to four bytes each
_LONGEST: Final = 2_000
_FEW: Final = 5
_GROUPS: Final = 10
_REFUSALS: Final = 10


class Detail(StrEnum):
    """How much of a plan is shown: `full` has no bounds, `concise` no fields; `fitting` is as much as can be read."""

    FITTING = "fitting"
    FULL = "full"
    CONCISE = "concise"


class View(NamedTuple):
    """How a plan is shown: how wide, in which style, and how the commands that it suggests are to be called.

    `values` are the sensitive values to show, by address and field: for a terminal, where somebody asked for them.
    `whole` are the words of the command that shows all of it.
    """

    width: int = 80
    style: Style = PLAIN_STYLE
    values: Mapping[str, Mapping[str, str]] = NO_VALUES
    command: CommandLine = PLAIN
    detail: Detail = Detail.FITTING
    whole: tuple[str, ...] = ("plan", "--full")


_PLAIN: Final = View()


def plan_text(saved: SavedPlan, view: View = _PLAIN) -> str:
    """Return the plan as one text; see `plan_pieces`."""
    return "".join(plan_pieces(saved, view))


def plan_pieces(saved: SavedPlan, view: View = _PLAIN) -> Iterator[str]:
    """Yield the plan: a header, the changes, and what it comes to; that stands first too where they fill a screen."""
    made = outline(saved, view.values)
    changes = _changes(made, view)
    screen = [*islice(changes, _SCREEN + 1)]
    closing = closing_text(made, view)
    yield header(made, view) + "\n\n"
    if len(screen) > _SCREEN:
        yield closing + "\n\n"
    if screen:
        yield from (line + "\n" for line in chain(screen, changes))
        yield "\n"
    yield closing + "\n"


def header(made: Outline, view: View) -> str:
    """Return what the plan is about: environment, account, API and state, and the part that was chosen."""
    plan, kept = made.saved.plan, f"{visible(made.saved.state)}, " if made.saved.state else ""
    about = " · ".join(["reconciler", *(" ".join(filter(None, pair)) for pair in made.where)])
    state = f"state {kept}serial {plan.serial}, {plan.open} open"
    apart = " · " if columns(about) + columns(state) + 3 <= view.width else "\n  "
    part = "\n\n" + view.style.paint(f"Only a part: {' '.join(selection(plan))}", BOLD) if plan.selection else ""
    return about + apart + state + part


def closing_text(made: Outline, view: View) -> str:
    """Return what it comes to: the guards that stand against it, what to look out for, what is approved, the counts."""
    lines = list(refusal_lines(made.saved.refusals, view))
    lines += [f"{view.style.paint('Warning:', YELLOW)} {warning}" for warning in made.warnings]
    lines += [f"Approved with this plan: {', '.join(made.approved)}."] if made.approved else []
    lines += _exceptions(made, view)
    lines += made.tallies if len(made.saved.plan.changes) > _SCREEN else []
    return "\n".join([*lines, *([""] if lines else []), view.style.paint(summary(made.saved.plan), BOLD)])


def refusal_lines(refusals: Sequence[Refusal], view: View = _PLAIN) -> Iterator[str]:
    """Yield what each guard says, with its override; what many have in common once."""
    most = len(refusals) if view.detail is Detail.FULL else _REFUSALS
    for number, refusal in enumerate(refusals[:most]):
        yield f"{view.style.paint('Refused:', ALARM)} {visible(refusal.message)[:_LONGEST]}."
        if refusal.override:
            yield f"  To allow exactly this: {refusal.override}"
        if refusal.hint and refusal.hint not in {other.hint for other in refusals[number + 1 : most]}:
            yield f"  {visible(refusal.hint)}"
    if len(refusals) > most:
        yield f"  and {len(refusals) - most} more"


def _exceptions(made: Outline, view: View) -> Iterator[str]:
    """Yield who need not keep a rule."""
    most = len(made.exceptions) if view.detail is Detail.FULL else _REFUSALS
    yield from (f"Exception: {said[:_LONGEST]} ({place})" for said, place in made.exceptions[:most])
    if len(made.exceptions) > most:
        yield f"  and {len(made.exceptions) - most} more exceptions"


# -- changes -----------------------------------------------------------------------------------------------------


def _changes(made: Outline, view: View) -> Iterator[str]:
    """Yield as much of the changes as is asked for, or can be read: what is least dangerous is shortened first."""
    if view.detail is Detail.FULL:
        for section in made.sections:
            yield from _whole(section, view)
        return
    sections = [section for section in made.sections if section.action is not Action.RECORD]
    shown = [None] * len(sections) if view.detail is Detail.CONCISE else _shown(sections, view)
    for section, lines in zip(sections, shown, strict=True):
        yield from _briefly(section, view) if lines is None else lines
    groups = [group for section in sections for group in section.groups]
    if None in shown or any(len(group.changes) > _FEW for group in groups):
        yield f"  To see all of it: {view.command(*view.whole)}"


def _shown(sections: Sequence[Section], view: View) -> list[list[str] | None]:
    """Return the lines of each section, the most dangerous first; None for what is more than can be read."""
    shown: list[list[str] | None] = []
    room, characters = _MOST_LINES, _MOST_CHARACTERS
    for section in sections:
        lines = [*islice(_whole(section, view), room + 1)]
        size = sum(map(len, lines))
        fits = len(lines) <= room and size <= characters
        shown.append(lines if fits else None)
        room, characters = (room - len(lines), characters - size) if fits else (room, characters)
    return shown


def _whole(section: Section, view: View) -> Iterator[str]:
    return (line for group in section.groups for line in _group(group, view))


def _group(group: Group, view: View) -> Iterator[str]:
    shape = group.shape
    yield from _head(group, shape, view)
    if len(group.changes) > 1 and view.detail is Detail.FULL:
        for change in group.changes:
            yield from _beside(_MARGIN + _named(change), place(change), view, change)
    for note in (*shape.notes, *rename(group), *(f"{n}. {step}" for n, step in enumerate(shape.steps, start=1))):
        yield from _wrapped("", note, view, 0)
    yield from field_lines(shape.fields, view, bare=shape.new)
    if shape.action is Action.HOLD:
        yield f"{_MARGIN}look it up, then say what became of it:"
        # Not wrapped: a command that is broken over lines can't be pasted.
        commands = (words for change in group.changes for words in resolutions(change.address))
        yield from (_MARGIN + view.command(*words) for words in commands)


def _head(group: Group, shape: Shape, view: View) -> Iterator[str]:
    action, attempt = shape.action, f"   {shape.attempt}" if shape.attempt else ""
    left = f"  {f'{SYMBOLS[action]} {action}':<11} {_names(group)}{attempt}"
    where = group.place + (f" (provider {shape.provider})" if shape.provider else "")
    first, *rest = _beside(left, where, view, group.changes[0] if len(group.changes) == 1 else None)
    yield view.style.paint(first[:13], _COLOURS[action]) + first[13:]
    yield from rest


def _beside(left: str, where: str, view: View, change: Change | None) -> Iterator[str]:
    """Yield what is changed with its place beside it, or below where there is no room."""
    fits = columns(left) + columns(where) + 3 <= view.width
    linked = view.style.linked(where, change.after.source, change.after.line) if change and change.after else where
    if fits:
        yield f"{left}   {linked}".rstrip()
    else:
        yield left
        yield _MARGIN + linked


def _names(group: Group) -> str:
    changes = group.changes
    if len(changes) == 1:
        return visible(changes[0].address)
    if len(changes) <= _FEW:
        return f"{len(changes)} × {', '.join(visible(change.address) for change in changes)}"
    return f"{len(changes)} × {brief(changes[0].address)} … {brief(changes[-1].address)}"


def _named(change: Change) -> str:
    return visible(change.address) + (f" (renamed: {visible(change.renamed)})" if change.renamed else "")


def _briefly(section: Section, view: View) -> Iterator[str]:
    """Yield a line for each of the largest groups of a section; new ones are counted."""
    new = [group for group in section.groups if group.is_new]
    groups = sorted((group for group in section.groups if not group.is_new), key=lambda group: -len(group.changes))
    heads = [(_names(group), " · ".join([*_facts(group.shape), group.place])) for group in groups[:_GROUPS]]
    if new:
        heads.append((f"{sum(len(group.changes) for group in new)} new", f"{count(len(new), 'kind')}"))
    lead = f"  {f'{SYMBOLS[section.action]} {section.action}':<11} "
    for names, facts in heads:
        line = _until(f"{lead}{names}   {facts}", view.width)
        yield view.style.paint(line[:13], _COLOURS[section.action]) + line[13:]
    if rest := groups[_GROUPS:]:
        yield f"{lead}and {sum(len(group.changes) for group in rest)} more in {count(len(rest), 'group')}"


def _facts(shape: Shape) -> Iterator[str]:
    yield from filter(None, (shape.attempt, *shape.notes))
    yield from (f"{field.name} {_both(field)}" for field in shape.fields)


def _until(text: str, width: int) -> str:
    return text if columns(text) <= width else text[: _fitting(text, width - 1)] + "…"


# -- fields ------------------------------------------------------------------------------------------------------


def field_lines(fields: Sequence[Field], view: View, *, bare: bool = False) -> Iterator[str]:
    """Yield fields, each as it differs; `bare`: nothing was there before, so that they need no mark."""
    size = max([10, *[columns(field.name) for field in fields]])
    for field in fields:
        yield from _field(field, view, size, bare=bare)
        if field.declared:
            yield from _wrapped("", f"declared: {field.declared}", view, size)


def _field(field: Field, view: View, size: int, *, bare: bool) -> Iterable[str]:
    if field.note:
        return _wrapped(field.name, field.note, view, size, _MARKS.get(field.mark, ""))
    if field.before is None:
        return _wrapped(field.name, ("" if bare else "+ ") + (field.after or ""), view, size, "" if bare else GREEN)
    if field.after is None:
        return _wrapped(field.name, f"- {field.before}", view, size, RED)
    lead, taken = _lead(field.name, size)
    if columns(_both(field)) <= view.width - taken:
        return [f"{lead}{view.style.paint(field.before, RED)} → {view.style.paint(field.after, GREEN)}"]
    before = _wrapped(field.name, f"- {field.before}", view, size, RED)
    return [*before, *_wrapped("", f"+ {field.after}", view, size, GREEN)]


def _both(field: Field) -> str:
    return field.note or " → ".join(side for side in (field.before, field.after) if side is not None)


def _wrapped(name: str, text: str, view: View, size: int, code: str = "") -> list[str]:
    """Return lines of at most the view's columns: the name, then the text, none of it left out."""
    lead, taken = _lead(name, size)
    first, *rest = _cut(text, max(20, view.width - taken))
    return [
        (lead + view.style.paint(first, code)).rstrip(),
        *(" " * taken + view.style.paint(line, code) for line in rest),
    ]


@lru_cache(maxsize=1024)  # the same few names stand in thousands of interactions
def _lead(name: str, size: int) -> tuple[str, int]:
    """Return what stands before a field's value, and how many columns it takes."""
    lead = _MARGIN + (name + " " * (size - columns(name)) + " " if size else "")
    return lead, columns(lead)


def _cut(text: str, room: int) -> Iterator[str]:
    while columns(text) > room:
        at = _fitting(text, room)
        space = text.rfind(" ", 0, at)
        # Break at a space if one is near the end of the line, else in the middle of a long word.
        at = space if space > at // 2 else at
        yield text[:at]
        text = text[at:].lstrip(" ")
    yield text


def _fitting(text: str, room: int) -> int:
    if text.isascii():
        return room
    used = 0
    for index, character in enumerate(text):
        used += 2 if east_asian_width(character) in "WF" else 1
        if used > room:
            return index
    return len(text)


def columns(text: str) -> int:
    """Return how many terminal columns the text takes."""
    return len(text) if text.isascii() else sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
