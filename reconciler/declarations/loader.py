"""Reading declarations: files to documents to interactions. Shell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Final

from reconciler.declarations.discovery import Source, read, walk
from reconciler.declarations.parallel import cores, spread
from reconciler.declarations.result import ValidationResult
from reconciler.declarations.rules import DeclarationRules
from reconciler.declarations.seals import Content, Seals
from reconciler.errors import DeclarationError, Problem
from reconciler.interaction import Interaction
from reconciler.state.model import Open
from reconciler.yamlfile.reader import parse

SPREAD_FILES: Final = 1_000
"""From so many files on, reading them is spread over processes."""
_OFTEN: Final = 1_000


Judge = Callable[[Sequence[Interaction], Iterable[tuple[str, Open]]], Iterable[Problem]]
"""What is to be said of interactions by a policy, beside what is open, as declared, of files that aren't read."""


@dataclass(frozen=True, slots=True)
class Declarations:
    """What all files declare: interactions in order of address, warnings in order of place, how many files.

    Of files that are `sealed` nothing is read: what they declare is open, as declared, at the addresses `as_sealed`.
    `contents` are those of the files that were read, and have no warning. `denied` is what a policy denies.
    """

    interactions: tuple[Interaction, ...]
    warnings: tuple[Problem, ...] = ()
    files: int = 0
    sealed: tuple[str, ...] = ()
    as_sealed: frozenset[str] = frozenset()
    contents: tuple[tuple[str, Content], ...] = ()
    denied: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.interactions) + len(self.as_sealed)


def _demand_nothing(_interactions: object, _sealed: object) -> Iterable[Problem]:
    return ()


def _say_nothing(_done: int, _total: int) -> None:
    """Go on without a word."""


def load(  # noqa: PLR0913  # each is independent, and named by its callers
    root: Path,
    rules: DeclarationRules,
    *,
    base: Path,
    told: Callable[[int, int], None] = _say_nothing,
    seals: Seals | None = None,
    sealing: bool = True,
    judge: Judge = _demand_nothing,
) -> Declarations:
    """Return what the files under `root` (a folder or a file) declare; files are named relative to `base`.

    `told` is told, now and then, how many files are read, and of how many. What fits one of the `seals` is not read,
    unless anything at all is wrong: that is told as if there were none. Contents are kept only for `sealing`. `judge`
    has the last word; what it denies stops nothing here.

    Raises DeclarationError with every problem of every file; if `root` isn't there, with one of code `missing-path`.
    """
    sources, problems = walk(root, base)
    read_part = partial(_read_files, rules=rules, sealing=sealing)
    if seals and seals.any and not problems:
        opened, sealed = _apart(sources, seals, told)
        found = _read_all(opened, read_part, told, len(sources))
        as_sealed = seals.addresses(sealed)
        if not (_is_wrong(_problems(found)) or any(address in as_sealed for address, _ in found.identities())):
            found.problems += judge(found.interactions, seals.entries(as_sealed))
            return _declarations(found, len(sources), tuple(sealed), as_sealed)
    found = _read_all(sources, read_part, told, len(sources))
    found.problems += [*problems, *judge(found.interactions, ())]
    if _is_wrong(wrong := _problems(found)):
        raise DeclarationError(tuple(wrong))
    return _declarations(found, len(sources))


def _declarations(
    found: ValidationResult, files: int, sealed: tuple[str, ...] = (), as_sealed: frozenset[str] = frozenset()
) -> Declarations:
    interactions = sorted(found.interactions, key=attrgetter("address"))
    problems = _problems(found)
    warnings = tuple(problem for problem in problems if problem.warning)
    denied = tuple(problem for problem in problems if not problem.warning)
    # An exception ends some day, so its file is read each time; so is one that a rule has something to say of.
    told = {problem.file for problem in problems} | {each.place.file for each in interactions if each.exceptions}
    contents = tuple((name, content) for name, content in sorted(found.contents) if name not in told)
    return Declarations(tuple(interactions), warnings, files, sealed, as_sealed, contents, denied)


def _problems(found: ValidationResult) -> list[Problem]:
    return _once(sorted({*found.problems, *found.duplicates()}))


def _is_wrong(problems: Sequence[Problem]) -> bool:
    return any(not problem.warning and problem.code != "policy" for problem in problems)


def _apart(sources: Sequence[Source], seals: Seals, told: Callable[[int, int], None]) -> tuple[list[Source], list[str]]:
    """Return the files that must be read, and the names of those that fit their seals."""
    opened, sealed = list[Source](), list[str]()
    for source in sources:
        data = read(source) if seals.sealed(source.name) else None
        if isinstance(data, bytes) and seals.fits(source.name, data):
            sealed.append(source.name)
        else:
            opened.append(source)
        if not len(sealed) % _OFTEN:
            told(len(sealed), len(sources))
    return opened, sealed


def _read_all(
    sources: Sequence[Source],
    read_part: Callable[[Sequence[Source]], ValidationResult],
    told: Callable[[int, int], None],
    files: int,
) -> ValidationResult:
    """Read files, which are a part of so many."""
    found = ValidationResult()
    if not sources:
        return found
    import reconciler.declarations.validation  # noqa: F401, PLC0415 - before processes are forked, which then have it

    processes = cores() if len(sources) >= SPREAD_FILES else 1
    with spread(sources, read_part, processes) as parts:
        for part in parts:
            found.add(part)
            told(files - len(sources) + found.files, files)
    return found


def _once(problems: list[Problem]) -> list[Problem]:
    """Return the problems without repetitions of what is true of all declarations, once it is true of one."""
    first = next((problem for problem in problems if problem.code == "personal-name"), None)
    return [problem for problem in problems if problem is first or problem.code != "personal-name"]


def _read_files(sources: Sequence[Source], rules: DeclarationRules, *, sealing: bool) -> ValidationResult:
    found = ValidationResult(files=len(sources))
    for source in sources:
        found.add(_read_file(source, rules, sealing=sealing))
    return found


def _read_file(source: Source, rules: DeclarationRules, *, sealing: bool) -> ValidationResult:
    from reconciler.declarations.validation import validate  # noqa: PLC0415 - pydantic takes long to import; reading a config needs none

    data = read(source)
    if isinstance(data, Problem):
        return ValidationResult(problems=[data])
    parsed, content = parse(data, source.name), Content.of(data) if sealing else None
    del data  # as large as what is made of it takes a while to check
    found = ValidationResult(problems=parsed.problems)
    spots = {(problem.line, problem.column) for problem in parsed.problems}
    for document in parsed.documents:
        checked = validate(document, source.name, rules)
        if spots:  # what follows from a problem of the parser isn't told twice
            checked.problems = [each for each in checked.problems if (each.line, each.column) not in spots]
        found.add(checked)
    if content and not found.problems:
        found.contents.append((source.name, content))
    return found
