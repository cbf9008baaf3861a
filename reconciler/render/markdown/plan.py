"""A plan as Markdown, for the comment or the summary that its reviewer decides by.

Pure: returns a string. What is declared stands in code (gfm.py), what does not fit is counted (fit.py); digests and
sensitive values stay out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from reconciler.commandline import PLAIN, CommandLine
from reconciler.errors import Problem
from reconciler.planning.guards import Approvals, Refusal
from reconciler.planning.plan import Action, Plan, Reason
from reconciler.planning.saved_plan import SavedPlan, fingerprint
from reconciler.render.fit import Item, Section, fit
from reconciler.render.links import Links
from reconciler.render.markdown.changes import change_sections
from reconciler.render.markdown.gfm import code, prose, size
from reconciler.render.words import as_declared, count, counted, left_out, selection

LIMIT: Final = 65_536
"""What GitHub takes as a comment: characters. Counted in UTF-16 units, so that the bytes (196,608) fit as well."""
SMALLEST: Final = 8_192
NOT_ALL: Final = "*Not all of it fits here. The plan as text or JSON shows everything.*"
_LONGEST_NAME: Final = 200
_GUARDS_SHOWN: Final = 20
_SELECTORS_SHOWN: Final = 3


def plan_markdown(saved: SavedPlan, links: Links | None, limit: int = LIMIT, command: CommandLine = PLAIN) -> str:
    """Return the plan: what it comes to, what to look out for, then every change, the most dangerous first.

    Never longer than `limit` (at least SMALLEST): what does not fit is left out as a whole and counted. `command` is
    how the next one is to be called.
    """
    if limit < SMALLEST:
        raise ValueError(f"{limit} characters are too few; {SMALLEST} is the least")
    plan = saved.plan
    top = [f"{marker(saved.environment)}fingerprint={fingerprint(plan)} -->\n{_title(saved)}", *_verdict(saved)]
    warnings = "\n".join(_warnings(plan))
    sections = [_guards(saved.refusals), *change_sections(plan, links, command), _problems(saved.warnings, links)]
    present = [section for section in sections if section.items]
    fixed = sum(size(block) + 2 for block in (*top, warnings, NOT_ALL)) + 1
    fitted = fit(present, limit - fixed)
    guards, rest = fitted.texts[: bool(saved.refusals)], fitted.texts[bool(saved.refusals) :]
    blocks = [*top, *guards, warnings, *rest, "" if fitted.complete else NOT_ALL]
    return "\n\n".join(block for block in blocks if block) + "\n"


def marker(environment: str | None) -> str:
    """Return how the comment of an environment begins, whatever its plan: by this it is found again and replaced."""
    name = quote(environment[:_LONGEST_NAME], safe="", errors="replace") if environment else "-"
    return f"<!-- reconciler:plan environment={name} "


def titled(what: str, environment: str | None, verdict: str) -> str:
    """Return the heading of a comment or summary."""
    return f"## {what}{f' for {_named(environment)}' if environment else ''}: {verdict}"


def _named(text: str) -> str:
    """Return a name that an administrator chose, unless it is absurd."""
    return code(text) if len(text) <= _LONGEST_NAME else "(a very long name)"


def _title(saved: SavedPlan) -> str:
    plan = saved.plan
    if saved.refusals:
        verdict = f"refused by {count(len(saved.refusals), 'guard')}"
    elif plan.changed:
        verdict = "changes to apply"
    else:
        verdict = "somebody has to look" if plan.held else "no changes"
    return titled("Plan", saved.environment, verdict)


def _verdict(saved: SavedPlan) -> Iterator[str]:
    """Yield the counts, and what was approved."""
    plan = saved.plan
    if plan.selection:
        yield f"> [!IMPORTANT]\n> **Only a part:** {' '.join(map(_named, selection(plan, _SELECTORS_SHOWN)))}"
    counts = ", ".join(counted(plan))
    said = f"**{counts}**; {plan.unchanged} unchanged{left_out(plan)}." if counts else f"**{as_declared(plan)}.**"
    where = f"{_named(plan.target.base_url)}" if plan.target else "No target"
    account = f" (account {_named(plan.target.account)})" if plan.target and plan.target.account else ""
    yield f"{said}\\\n{where}{account}, state serial {plan.serial}, {plan.open} open."
    if approved := list(_approved(saved.approvals)):
        yield f"Approved with this plan: {', '.join(approved)}."


def _approved(approvals: Approvals) -> Iterator[str]:
    if approvals.releases is not None:
        yield f"up to {count(approvals.releases, 'release')}"
    if approvals.dispatches is not None:
        yield f"up to {count(approvals.dispatches, 'dispatch', 'dispatches')}"
    if approvals.empty:
        yield "that nothing at all is declared"


def _guards(refusals: tuple[Refusal, ...]) -> Section:
    """Return what stands against the plan; of many of a kind, the first ones."""
    # What many have in common is said once.
    first = {refusal.hint: number for number, refusal in reversed(list(enumerate(refusals)))}
    texts = [_guard(refusal, hint=first[refusal.hint] == number) for number, refusal in enumerate(refusals)]
    items = [Item(text, text) for text in texts]
    head = "> [!CAUTION]\n> **An apply would refuse this, and send nothing.**"
    return Section(head, items, bullet="> - ", gap="\n>\n", most=_GUARDS_SHOWN * 250)


def _guard(refusal: Refusal, *, hint: bool) -> str:
    lines = [f"{prose(refusal.message)}."]
    if refusal.override:
        lines.append(f"To allow exactly this: {code(refusal.override)}")
    if refusal.hint and hint:
        lines.append(prose(refusal.hint))
    return "\\\n>   ".join(lines)


def _warnings(plan: Plan) -> Iterator[str]:
    lines = list(_look_out(plan))
    if lines:
        yield "> [!WARNING]"
        yield from (f"> - {line}" for line in lines)


def _look_out(plan: Plan) -> Iterator[str]:
    counts = plan.counts()
    if releases := sum(change.releases for change in plan.changes):
        yield f"An agent may be handling what is replaced or released: {count(releases, 'interaction')}."
    if unknown := counts.get(Action.SETTLE):
        yield f"Whether an earlier request was processed is unknown: {count(unknown, 'interaction')}, settled first."
    if held := counts.get(Action.HOLD):
        yield f"Only a person can say what became of an earlier request: {count(held, 'interaction')}, held."
    if retried := sum(change.attempt > 1 for change in plan.changes):
        yield f"Failed before, and tried again: {count(retried, 'interaction')}."
    if given_up := sum(change.reason is Reason.GIVEN_UP for change in plan.changes):
        yield f"The release kept failing, and is taken as done: {count(given_up, 'interaction')}."


def _problems(warnings: tuple[Problem, ...], links: Links | None) -> Section:
    items = [_problem(warning, links) for warning in warnings]
    return Section(f"### {count(len(items), 'warning')} about the declarations", items)


def _problem(problem: Problem, links: Links | None) -> Item:
    url = links.line(problem.file, problem.line) if links and problem.line else None
    place = f"[line {problem.line}]({url})" if url else f"line {problem.line}" if problem.line else ""
    text = " · ".join(part for part in (place, prose(problem.message)) if part)
    return Item(text, text, f"**{code(problem.file)}**")
