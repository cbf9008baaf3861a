"""The changes of a plan as sections of Markdown: grouped by file, each change as fully as there is room for.

Pure: returns strings, for fit.py to choose from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from reconciler.commandline import CommandLine, resolutions
from reconciler.escape import visible
from reconciler.planning.diff import FieldChange, Secrecy
from reconciler.planning.plan import Action, Change, Plan, Reason
from reconciler.render.fit import Item, Section
from reconciler.render.links import Links
from reconciler.render.markdown.gfm import code, difference, indented, prose
from reconciler.render.text import columns, shown
from reconciler.render.words import step_words, times

_WIDEST_NAME: Final = 24
_PLAIN_REASONS: Final = frozenset({Reason.NOT_OPEN, Reason.UNDECLARED, Reason.CHANGED, Reason.OUTCOME_UNKNOWN})
_HEADS: Final = {
    Action.RELEASE: ("{} to release", ""),
    Action.REPLACE: ("{} to replace", "Released, then dispatched as declared now."),
    Action.SETTLE: ("{} to settle", "What became of an earlier request is unknown; that is settled first."),
    Action.HOLD: ("{} held", "Nothing is sent for these until somebody has looked them up."),
    Action.FORGET: ("{} to forget", "Leaves the state; nothing is sent."),
    Action.DISPATCH: ("{} to dispatch", ""),
    Action.DRIFT: ("{} drifted", "Changed, but kept as declared; nothing is sent."),
}


def change_sections(plan: Plan, links: Links | None, command: CommandLine) -> Iterator[Section]:
    """Yield a section for each kind of change, the most dangerous first; dispatches collapsed."""
    for action, (title, note) in _HEADS.items():
        changes = sorted((change for change in plan.changes if change.action is action), key=_by_place)
        head = title.format(len(changes))
        items = [_item(change, links, command) for change in changes]
        if action is Action.DISPATCH:
            yield Section(f"<details>\n<summary><b>{head}</b></summary>", items, "</details>")
        else:
            yield Section(f"### {head}" + (f"\n\n{note}" if note else ""), items)


def _by_place(change: Change) -> tuple[str, int, str]:
    side = change.after or change.before
    return (side.source, side.line, change.address) if side else ("", 0, change.address)


def _item(change: Change, links: Links | None, command: CommandLine) -> Item:
    short = code(change.address)
    head = " · ".join([short, *_line(change, links), *_notes(change)])
    new = change.before is None and not change.steps[:-1]
    if change.action is Action.DISPATCH and change.diff and new:
        full = f"{head}\\\n  {', '.join(map(_field, change.diff))}"
    else:
        full = head + "".join(_details(change, command))
    return Item(full, short, _group(change))


def _group(change: Change) -> str:
    """Return the heading of the file that declares it, or did."""
    side = change.after or change.before
    if side is None or not side.source:
        return ""
    return f"**{code(side.source)}**" if change.after else f"Was declared in **{code(side.source)}**"


def _line(change: Change, links: Links | None) -> Iterator[str]:
    side = change.after
    if side and side.line:
        url = links.line(side.source, side.line) if links else None
        yield f"[line {side.line}]({url})" if url else f"line {side.line}"


def _notes(change: Change) -> Iterator[str]:
    if change.attempt > 1:
        yield f"attempt {change.attempt}: failed {times(change.attempt - 1)}"
    if change.reason not in _PLAIN_REASONS and change.action is not Action.DRIFT:
        yield prose(change.reason)
    if change.failure:
        yield f"last answer: {prose(change.failure)}"


def _details(change: Change, command: CommandLine) -> Iterator[str]:
    if change.action is Action.SETTLE:
        yield from (f"\n  {number}. {step}" for number, step in enumerate(step_words(change.steps), start=1))
    if change.action is Action.HOLD:
        applied, not_applied = (code(command(*words)) for words in resolutions(change.address))
        yield f"\\\n  Look it up, then {applied} or {not_applied}"
    if change.diff:
        yield "\n" + indented(difference(_differences(change.diff)))


def _field(field: FieldChange) -> str:
    """Return a field of what is dispatched anew."""
    value = code(shown(field.after)) if field.secrecy is Secrecy.OPEN else "(sensitive)"
    return f"{prose(field.field)} {value}"


def _differences(fields: Iterable[FieldChange]) -> Iterator[tuple[str, str]]:
    """Yield the lines of a difference, each with its mark."""
    fields = list(fields)
    width = min(_WIDEST_NAME, max(columns(visible(field.field)) for field in fields))
    for field in fields:
        name = visible(field.field)
        lead = name + " " * (width - columns(name) + 1)
        if field.secrecy is Secrecy.MAYBE_CHANGED:
            yield "!", f"{lead}(sensitive, changed)"
        elif field.secrecy is Secrecy.SENSITIVE:
            both = field.before is not None and field.after is not None
            yield "#" if both else "-" if field.after is None else "+", f"{lead}(sensitive)"
        else:
            if field.before is not None:
                yield "-", lead + shown(field.before)
            if field.after is not None:
                yield "+", lead + shown(field.after)
