"""Problems as text: one line each, and an indented line for what to do about it."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.errors import Problem
from reconciler.escape import visible
from reconciler.render.style import ALARM, PLAIN, YELLOW, Style


def problems_text(problems: Iterable[Problem], style: Style = PLAIN) -> str:
    """Return `file:line:column: error: message [code]` for each problem, in the order given, with its hint below."""
    return "".join(f"{line}\n" for problem in problems for line in _lines(problem, style))


def _lines(problem: Problem, style: Style) -> list[str]:
    severity = style.paint("warning:", YELLOW) if problem.warning else style.paint("error:", ALARM)
    place = style.linked(visible(problem.place), problem.file, problem.line)
    lines = [f"{place}: {severity} {visible(problem.message)} [{problem.code}]"]
    if problem.hint:
        first, *rest = problem.hint.split("\n")
        lines.append(f"  hint: {visible(first)}")
        lines.extend(f"        {visible(line)}" for line in rest)
    return lines
