"""Reading declarations: files to documents to interactions. Shell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Final

from reconciler.declarations.discovery import Source, read, walk
from reconciler.declarations.parallel import cores, spread
from reconciler.declarations.result import ValidationResult
from reconciler.declarations.rules import DeclarationRules
from reconciler.errors import DeclarationError, Problem
from reconciler.interaction import Interaction
from reconciler.yamlfile.reader import parse

SPREAD_FILES: Final = 1_000
"""From so many files on, reading them is spread over processes."""


@dataclass(frozen=True, slots=True)
class Declarations:
    """What all files declare: interactions in order of address, warnings in order of place, how many files."""

    interactions: tuple[Interaction, ...]
    warnings: tuple[Problem, ...] = ()
    files: int = 0


def _say_nothing(_done: int, _total: int) -> None:
    """Go on without a word."""


def load(
    root: Path, rules: DeclarationRules, *, base: Path, told: Callable[[int, int], None] = _say_nothing
) -> Declarations:
    """Return what the files under `root` (a folder or a file) declare; files are named relative to `base`.

    `told` is told, now and then, how many files are read, and of how many.

    Raises DeclarationError with every problem of every file; if `root` isn't there, with one of code `missing-path`.
    """
    import reconciler.declarations.validation  # noqa: F401, PLC0415 - before processes are forked, which then have it

    sources, problems = walk(root, base)
    processes = cores() if len(sources) >= SPREAD_FILES else 1
    found = ValidationResult()
    with spread(sources, lambda part: _read_files(part, rules), processes) as parts:
        for part in parts:
            found.add(part)
            told(found.files, len(sources))
    problems = _once(sorted({*problems, *found.problems, *found.duplicates()}))
    if any(not problem.warning for problem in problems):
        raise DeclarationError(tuple(problems))
    interactions = sorted(found.interactions, key=attrgetter("address"))
    return Declarations(tuple(interactions), tuple(problems), len(sources))


def _once(problems: list[Problem]) -> list[Problem]:
    """Return the problems without repetitions of what is true of all declarations, once it is true of one."""
    first = next((problem for problem in problems if problem.code == "personal-name"), None)
    return [problem for problem in problems if problem is first or problem.code != "personal-name"]


def _read_files(sources: Sequence[Source], rules: DeclarationRules) -> ValidationResult:
    found = ValidationResult(files=len(sources))
    for source in sources:
        found.add(_read_file(source, rules))
    return found


def _read_file(source: Source, rules: DeclarationRules) -> ValidationResult:
    from reconciler.declarations.validation import validate  # noqa: PLC0415 - pydantic takes long to import; reading a config needs none

    data = read(source)
    if isinstance(data, Problem):
        return ValidationResult(problems=[data])
    parsed = parse(data, source.name)
    found = ValidationResult(problems=parsed.problems)
    spots = {(problem.line, problem.column) for problem in parsed.problems}
    for document in parsed.documents:
        checked = validate(document, source.name, rules)
        if spots:  # what follows from a problem of the parser isn't told twice
            checked.problems = [each for each in checked.problems if (each.line, each.column) not in spots]
        found.add(checked)
    return found
