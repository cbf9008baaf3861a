"""Problems as text: one line each, and an indented line for what to do about it."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.errors import Problem
from reconciler.escape import visible


def problems_text(problems: Iterable[Problem]) -> str:
    """Return `file:line:column: error: message [code]` for each problem, in the order given, with its hint below."""
    return "".join(f"{line}\n" for problem in problems for line in _lines(problem))


def _lines(problem: Problem) -> list[str]:
    severity = "warning" if problem.warning else "error"
    lines = [f"{visible(problem.place)}: {severity}: {visible(problem.message)} [{problem.code}]"]
    if problem.hint:
        first, *rest = problem.hint.split("\n")
        lines.append(f"  hint: {visible(first)}")
        lines.extend(f"        {visible(line)}" for line in rest)
    return lines
