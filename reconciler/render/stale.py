"""The difference between a saved plan and what would be planned now, as text.

Pure: returns strings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from reconciler.escape import visible
from reconciler.planning.plan import Change, Plan
from reconciler.planning.saved_plan import seems_applied
from reconciler.render.outline import shape
from reconciler.render.text import View, field_lines
from reconciler.render.words import count

_SHOWN: Final = 50


def why_stale(then: Plan, now: Plan) -> str:
    """Return the sentence that says why a saved plan is stale, and what to do."""
    if not seems_applied(then, now):
        return "It is not what would be done now: plan anew, and have that reviewed."
    moved = f"the state has moved on from serial {then.serial} to {now.serial}"
    return f"It has been applied already, it seems: {moved}, and nothing is left to do."


def stale_text(differences: Iterable[tuple[str, Change | None, Change | None]], view: View) -> str:
    """Return what was reviewed and what would be done now, for each address where they differ."""
    found = list(differences)
    lines = [line for entry in found[:_SHOWN] for line in _difference(*entry, view)]
    more = [f"  and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    head = f"Since the plan was saved, {count(len(found), 'change')} came out differently:"
    return "\n".join([head, *lines, *more]) + "\n"


def _difference(address: str, then: Change | None, now: Change | None, view: View) -> Iterator[str]:
    yield f"  {visible(address)}"
    then_fields, now_fields = (_fields(change, view) for change in (then, now))
    for word, change, fields, others in (
        ("reviewed", then, then_fields, now_fields),
        ("now", now, now_fields, then_fields),
    ):
        yield f"    {word:<8} {_said(change)}"
        yield from (line for line in fields if line not in others)
    if then and now and then_fields == now_fields:
        yield "        in what a plan does not hold: a sensitive value, or the request that it follows"


def _said(change: Change | None) -> str:
    if change is None:
        return "nothing"
    attempt = f", attempt {change.attempt}" if change.attempt > 1 else ""
    return f"{change.action}{attempt}"


def _fields(change: Change | None, view: View) -> list[str]:
    if change is None:
        return []
    made = shape(change)
    return list(field_lines(made.fields, view, bare=made.new))
