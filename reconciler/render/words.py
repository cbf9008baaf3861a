"""Counts as words, said the same way in every rendering."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from reconciler.commandline import quoted
from reconciler.planning.plan import Action, Plan, Step
from reconciler.state.model import Kind

_VERBS: Final = {
    Action.DISPATCH: "to dispatch",
    Action.REPLACE: "to replace",
    Action.RELEASE: "to release",
    Action.SETTLE: "to settle",
    Action.FORGET: "to forget",
    Action.HOLD: "held",
    Action.DRIFT: "drifted",
}


_STEPS: Final = {
    (Kind.DISPATCH, False): "dispatch as declared now",
    (Kind.DISPATCH, True): "send the same dispatch again, under its requestid",
    (Kind.RELEASE, False): "release",
    (Kind.RELEASE, True): "send the same release again, under its requestid",
    (Kind.BURN, True): "burn the requestid of the earlier dispatch, by a release under it",
    (Kind.TOLERANT, False): "release, in case it is open",
    (Kind.TOLERANT, True): "send the release again, in case it is open",
}


def step_words(steps: Iterable[Step]) -> Iterator[str]:
    """Yield what the requests of a change do, in order; the tries of a release are one."""
    words = (_STEPS.get((step.kind, step.resend), step.kind.value) for step in steps)
    for said, alike in groupby(words):
        tries = len(list(alike))
        yield f"{said}; tried up to {times(tries)}" if tries > 1 else said


def count(number: int, one: str, many: str | None = None) -> str:
    """Return `1 request` or `2 requests`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def times(number: int) -> str:
    """Return `once`, `twice` or `3 times`."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")


def counted(plan: Plan) -> list[str]:
    """Return `2 to dispatch` and so on, for the actions that the plan has."""
    counts = plan.counts()
    return [f"{counts[action]} {verb}" for action, verb in _VERBS.items() if action in counts]


def recorded(plan: Plan) -> str:
    """Return `6 records to update`, to follow other counts; nothing where there are none: moves of files, mostly."""
    records = plan.counts().get(Action.RECORD, 0)
    return f"; {count(records, 'record')} to update" if records else ""


def summary(plan: Plan) -> str:
    """Return the plan's closing line."""
    counts = counted(plan)
    if not counts:
        return f"No changes: {as_declared(plan)}."
    return f"Plan: {', '.join(counts)}; {plan.unchanged} unchanged{recorded(plan)}{left_out(plan)}."


def as_declared(plan: Plan) -> str:
    """Return what can be said of a plan without changes."""
    if plan.selection:
        return f"what is selected is as declared{recorded(plan)}{left_out(plan)}"
    return f"{count(plan.open, 'interaction')} open, as declared{recorded(plan)}"


def left_out(plan: Plan) -> str:
    """Return how much the selection leaves out, to follow other counts; nothing where everything is selected."""
    options = [option for option, given in _selected(plan) if given]
    return f"; {count(plan.left_out, 'change')} left out by {' and '.join(options)}" if options else ""


def selection(plan: Plan, most: int = 10) -> list[str]:
    """Return the selection as it may be typed, `--target=crm-1` and so on, at most so many; the rest is counted."""
    words = [f"{option}={quoted(selector)}" for option, given in _selected(plan) for selector in given]
    return [*words[:most], *([f"and {len(words) - most} more"] if len(words) > most else [])]


def _selected(plan: Plan) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return ("--target", plan.selection.targets), ("--exclude", plan.selection.excludes)
