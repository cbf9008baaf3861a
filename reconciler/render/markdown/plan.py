"""A plan as Markdown, for the comment or the summary that its reviewer decides by.

Pure: returns a string. What is declared stands in code (gfm.py), what does not fit is counted (fit.py); digests and
sensitive values stay out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from reconciler.commandline import PLAIN, CommandLine
from reconciler.errors import Problem
from reconciler.planning.guards import Refusal
from reconciler.planning.saved_plan import SavedPlan, fingerprint
from reconciler.render.fit import Item, Section, fit
from reconciler.render.links import SourceLinks
from reconciler.render.markdown.changes import change_sections, named
from reconciler.render.markdown.gfm import code, prose, size
from reconciler.render.outline import Outline, outline, verdict
from reconciler.render.words import as_declared, count, counted, left_out, recorded, selection

LIMIT: Final = 65_536
"""What GitHub takes as a comment: characters. Counted in UTF-16 units, so that the bytes (196,608) fit as well."""
SMALLEST: Final = 8_192
NOT_ALL: Final = "*Not all of it fits here. The plan as JSON, or as text with `--full`, shows everything.*"
_LONGEST_NAME: Final = 200
_GUARDS_SHOWN: Final = 20
_SELECTORS_SHOWN: Final = 3
_OURS: Final = re.compile(r"[A-Za-z ,()]*")
"""What stands between the names of a message."""


def plan_markdown(saved: SavedPlan, links: SourceLinks | None, limit: int = LIMIT, command: CommandLine = PLAIN) -> str:
    """Return the plan: what it comes to, what to look out for, then every change, the most dangerous first.

    Never longer than `limit` (at least SMALLEST): what does not fit is left out as a whole and counted. `command` is
    how the next one is to be called.
    """
    if limit < SMALLEST:
        raise ValueError(f"{limit} characters are too few; {SMALLEST} is the least")
    made = outline(saved)
    head = f"{marker(saved.environment)}fingerprint={fingerprint(saved.plan)} -->\n"
    top = [head + titled("Plan", saved.environment, verdict(saved)), *_verdict(made)]
    warnings = "\n".join(["> [!WARNING]", *(f"> - {line}" for line in made.warnings)]) if made.warnings else ""
    notes = (_exceptions(made), _problems(saved.warnings, links))
    sections = [_guards(saved.refusals), *change_sections(made, links, command), *notes]
    whole = all(named(group) for section in made.sections for group in section.groups)
    present = [section for section in sections if section.items]
    fixed = sum(size(block) + 2 for block in (*top, warnings, NOT_ALL)) + 1
    fitted = fit(present, limit - fixed)
    guards, rest = fitted.texts[: bool(saved.refusals)], fitted.texts[bool(saved.refusals) :]
    blocks = [*top, *guards, warnings, *rest, "" if fitted.complete and whole else NOT_ALL]
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


def _verdict(made: Outline) -> Iterator[str]:
    """Yield the counts, what the plan is about, and what was approved."""
    plan = made.saved.plan
    if plan.selection:
        yield f"> [!IMPORTANT]\n> **Only a part:** {' '.join(map(_named, selection(plan, _SELECTORS_SHOWN)))}"
    counts = ", ".join(counted(plan))
    said = f"**{counts}**; {plan.unchanged} unchanged{recorded(plan)}{left_out(plan)}."
    where = ", ".join(
        " ".join([*filter(None, [what]), *map(_named, filter(None, [name]))]) for what, name in made.where
    )
    kept = f"{_named(made.saved.state)}, " if made.saved.state else ""
    tallies = [f"\\\n{what}: {code(names)}" for what, _, names in (tally.partition(": ") for tally in made.tallies)]
    about = f"{where[:1].upper()}{where[1:]}; state {kept}serial {plan.serial}, {plan.open} open."
    yield f"{said if counts else f'**{as_declared(plan)}.**'}\\\n{about}{''.join(tallies)}"
    if made.approved:
        yield f"Approved with this plan: {', '.join(made.approved)}."


def _guards(refusals: tuple[Refusal, ...]) -> Section:
    """Return what stands against the plan; of many of a kind, the first ones."""
    # What many have in common is said once.
    first = {refusal.hint: number for number, refusal in reversed(list(enumerate(refusals)))}
    texts = [_guard(refusal, hint=first[refusal.hint] == number) for number, refusal in enumerate(refusals)]
    items = [Item(text, text) for text in texts]
    head = "> [!CAUTION]\n> **An apply would refuse this, and send nothing.**"
    return Section(head, items, bullet="> - ", gap="\n>\n", most=_GUARDS_SHOWN * 250)


def _guard(refusal: Refusal, *, hint: bool) -> str:
    lines = [f"{''.join(_said(refusal))}."]
    if refusal.override:
        lines.append(f"To allow exactly this: {code(refusal.override)}")
    if refusal.hint and hint:
        lines.append(prose(refusal.hint))
    return "\\\n>   ".join(lines)


def _said(refusal: Refusal) -> Iterator[str]:
    """Yield a message in which each name stands whole in code."""
    rest = refusal.message
    for name in filter(None, refusal.names):
        before, _, rest = rest.partition(name)
        yield before if _OURS.fullmatch(before) else prose(before)
        yield code(name)
    yield rest if _OURS.fullmatch(rest) else prose(rest)


def _exceptions(made: Outline) -> Section:
    items = [Item(text, text) for text in (f"{prose(said)} ({code(place)})" for said, place in made.exceptions)]
    return Section(f"### {count(len(items), 'exception')} from the policy", items)


def _problems(warnings: tuple[Problem, ...], links: SourceLinks | None) -> Section:
    items = [_problem(warning, links) for warning in warnings]
    return Section(f"### {count(len(items), 'warning')} about the declarations", items)


def _problem(problem: Problem, links: SourceLinks | None) -> Item:
    url = links.line(problem.file, problem.line) if links and problem.line else None
    place = f"[line {problem.line}]({url})" if url else f"line {problem.line}" if problem.line else ""
    text = " · ".join(part for part in (place, prose(problem.message)) if part)
    return Item(text, text, f"**{code(problem.file)}**")
