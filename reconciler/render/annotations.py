"""Problems as GitHub's workflow commands, which show them beside the line that they are about.

Pure: returns strings. https://docs.github.com/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from reconciler.errors import Problem
from reconciler.escape import visible
from reconciler.planning.guards import Refusal

SHOWN: Final = 10
"""GitHub shows so many errors and so many warnings of a step."""
# A runner obeys `::` where a line begins, and `##[` anywhere; signs that are no letters may be overlooked there.
_COMMAND: Final = re.compile(
    r"^[^\w\n!-~]*:(?=[^\w\s!-~]{0,9}:)|#(?=[^\w\s!-~]{0,9}#[^\w\s!-~]{0,9}\[)",
    re.MULTILINE,
)


def problem_annotations(problems: Sequence[Problem], most: int | None = None) -> Iterator[str]:
    """Yield a command for each problem, errors first, and no more than `most` of a kind."""
    for warning in (False, True):
        for problem in [problem for problem in problems if problem.warning is warning][:most]:
            yield _problem(problem)


def _problem(problem: Problem) -> str:
    place = {"file": problem.file}
    if problem.line:
        place |= {"line": str(problem.line), "col": str(problem.column)}
    level = "warning" if problem.warning else "error"
    return command(level, {**place, "title": problem.code}, problem.message, problem.hint)


def refusal_annotations(refusals: Sequence[Refusal]) -> Iterator[str]:
    """Yield a command for each guard that stands against a plan."""
    for refusal in refusals[:SHOWN]:
        override = f"To allow exactly this: {refusal.override}" if refusal.override else ""
        yield command("error", {"title": f"refused by {refusal.code}"}, refusal.message, override, refusal.hint)


def command(level: str, properties: dict[str, str], *paragraphs: str) -> str:
    """Return a workflow command, in which only what we mean is a command."""
    stated = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    lines = [visible(line) for paragraph in paragraphs if paragraph for line in paragraph.split("\n")]
    return f"::{level} {stated}::{_data(chr(10).join(lines))}\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(visible(text)).replace(":", "%3A").replace(",", "%2C")


def without_commands(text: str) -> str:
    r"""Return a log's text in which a runner finds no command; `\u003a` and `\u0023` are a colon and # in JSON too."""
    return _COMMAND.sub(_spelled, text)


def _spelled(match: re.Match[str]) -> str:
    return "\\u0023" if match[0] == "#" else f"{match[0][:-1]}\\u003a"
