"""A plan as text for a terminal or a log: symbols first, so that it reads without colour.

Pure: returns strings. Colour is asked for by the caller; nothing declared reaches the terminal unescaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple
from unicodedata import east_asian_width

from reconciler.commandline import PLAIN, CommandLine, resolutions
from reconciler.escape import visible
from reconciler.interaction import LINKED_BY
from reconciler.planning.diff import FieldChange, Secrecy
from reconciler.planning.guards import Refusal
from reconciler.planning.plan import Action, Change, Plan, Reason
from reconciler.render.words import selection, step_words, summary, times

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
    Action.DISPATCH: "32",
    Action.RELEASE: "31",
    Action.REPLACE: "33",
    Action.SETTLE: "35",
    Action.FORGET: "2",
    Action.HOLD: "1;31",
    Action.DRIFT: "36",
    Action.RECORD: "2",
}
_BOLD: Final = "1"
_PLAIN_REASONS: Final = frozenset({Reason.NOT_OPEN, Reason.UNDECLARED, Reason.CHANGED, Reason.LOCAL})
_SAID: Final = frozenset({"name", "expiryafter", "label", "value", *LINKED_BY})
_INDENT: Final = 8
_MARGIN: Final = " " * _INDENT


class View(NamedTuple):
    """How a plan is shown: how wide, whether in colour, and how the commands that it suggests are to be called.

    `values` are the sensitive values to show, by address and field: for a terminal, where somebody asked for them.
    """

    width: int = 80
    colour: bool = False
    values: Mapping[str, Mapping[str, str]] = MappingProxyType({})
    command: CommandLine = PLAIN

    def paint(self, text: str, code: str) -> str:
        """Return the text in a colour, if there is any."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text


_PLAIN: Final = View()


def plan_text(plan: Plan, refusals: Sequence[Refusal], view: View = _PLAIN) -> str:
    """Return the whole plan: a header, every change, the guards that stand against it, and the counts."""
    lines = [line for change in plan.changes if change.action is not Action.RECORD for line in _change(change, view)]
    head = view.paint(f"Only a part: {' '.join(selection(plan))}", _BOLD) if plan.selection else ""
    parts = [_header(plan), *([head] if head else []), *(["\n".join(lines)] if lines else [])]
    if refusals:
        parts.append("\n".join(view.paint(line, _BOLD) for line in refusal_lines(refusals)))
    return "\n\n".join([*parts, summary(plan)]) + "\n"


def _header(plan: Plan) -> str:
    where = visible(plan.target.base_url) if plan.target else "no target"
    account = f" ({visible(plan.target.account)})" if plan.target and plan.target.account else ""
    return f"reconciler · {where}{account} · state serial {plan.serial}, {plan.open} open"


def refusal_lines(refusals: Sequence[Refusal]) -> Iterator[str]:
    """Yield what each guard says, with its override."""
    for refusal in refusals:
        yield f"Refused: {visible(refusal.message)}."
        if refusal.override:
            yield f"  To allow exactly this: {refusal.override}"
        if refusal.hint:
            yield f"  {visible(refusal.hint)}"


def _change(change: Change, view: View) -> Iterator[str]:
    head = f"{SYMBOLS[change.action]} {change.action}".ljust(11)
    note = f"   {attempt}" if (attempt := _attempt(change)) else ""
    left, place = f"  {head} {visible(change.address)}{note}", _place(change)
    painted = view.paint(left[:13], _COLOURS[change.action]) + left[13:]
    gap = view.width - columns(left) - columns(place)
    if gap >= 2:  # noqa: PLR2004  # two spaces set the place apart
        yield painted + " " * gap + place
    else:
        yield painted
        yield " " * max(_INDENT, view.width - columns(place)) + place
    yield from _details(change, view.width)
    yield from field_lines(change, view.width, view.values.get(change.address, {}))
    if change.action is Action.HOLD:
        yield f"{_MARGIN}look it up, then say what became of it:"
        # Not wrapped: a command that is broken over lines can't be pasted.
        yield from (_MARGIN + view.command(*words) for words in resolutions(change.address))


def _place(change: Change) -> str:
    was = "" if change.after and change.after.line else "was "
    return visible(was + change.place) if change.place else ""


def _attempt(change: Change) -> str:
    return f"attempt {change.attempt}: failed {times(change.attempt - 1)}" if change.attempt > 1 else ""


def _details(change: Change, width: int) -> Iterator[str]:
    if change.reason not in _PLAIN_REASONS:
        yield from _wrapped("", visible(str(change.reason)), width, 0)
    if change.failure and change.reason is Reason.GIVEN_UP:
        yield from _wrapped("", f"last answer: {visible(change.failure)}", width, 0)
    if change.action is Action.SETTLE or change.reason in {Reason.MAYBE_OPEN, Reason.MAYBE_CLOSED}:
        for number, step in enumerate(step_words(change.steps), start=1):
            yield from _wrapped("", f"{number}. {step}", width, 0)


def field_lines(change: Change, width: int, values: Mapping[str, str] = MappingProxyType({})) -> Iterator[str]:
    """Yield a change's fields, each as it differs; `values` are sensitive values to show, by field."""
    size = max([10, *[columns(visible(field.field)) for field in change.diff]])
    for field in change.diff:
        yield from _field(field, width, size, bare=change.before is None)
        if field.secrecy is not Secrecy.OPEN and field.field in values:
            yield from _wrapped("", f"declared: {visible(values[field.field])}", width, size)


def _field(change: FieldChange, width: int, size: int, *, bare: bool) -> list[str]:
    name = visible(change.field)
    if change.secrecy is not Secrecy.OPEN:
        return _wrapped(name, _secret(change, bare=bare), width, size)
    if change.before is None:
        return _wrapped(name, ("" if bare else "+ ") + shown(change.after), width, size)
    if change.after is None:
        return _wrapped(name, "- " + shown(change.before), width, size)
    both = f"{shown(change.before)} → {shown(change.after)}"
    if columns(both) <= width - _INDENT - size - 1:
        return _wrapped(name, both, width, size)
    before = _wrapped(name, "- " + shown(change.before), width, size)
    return [*before, *_wrapped("", "+ " + shown(change.after), width, size)]


def _secret(change: FieldChange, *, bare: bool) -> str:
    if change.secrecy is Secrecy.MAYBE_CHANGED:
        return "(sensitive, changed)"
    if bare or (change.before is not None and change.after is not None):
        return "(sensitive)"
    return "(sensitive, added)" if change.before is None else "(sensitive, removed)"


def shown(value: object) -> str:
    """Return one of the API's values as a reader would say it, escaped."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return _shown_object(value)
    if isinstance(value, list):
        return ", ".join(shown(item) for item in value)
    return visible(str(value).lower() if isinstance(value, bool) else str(value))


def _shown_object(value: dict[str, object]) -> str:
    """Return an item of a list: its name or value, then what else it has, but for what the field's name says."""
    text = ""
    if "name" in value:
        expiry = value.get("expiryafter")
        suffix = "" if expiry is None else " (optional)" if expiry == 0 else f" (expires after {expiry})"
        text = visible(str(value["name"])) + suffix
    elif "value" in value:
        text = visible(str(value["value"]))
        text = f'"{visible(str(value["label"]))}" {text}' if "label" in value else text
    more = [f"{visible(name)}: {shown(part)}" for name, part in value.items() if name not in _SAID]
    return f"{text} ({', '.join(more)})".lstrip() if more else text


def _wrapped(name: str, text: str, width: int, size: int) -> list[str]:
    """Return lines of at most `width` columns: the name, then the text, none of it left out."""
    lead, taken = _lead(name, size)
    room = max(20, width - taken)
    if columns(text) <= room:
        return [(lead + text).rstrip()]
    first, *rest = _cut(text, room)
    return [lead + first, *(" " * taken + line for line in rest)]


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
