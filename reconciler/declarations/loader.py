"""Reading declarations: files to documents to interactions. Shell."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from reconciler.declarations.discovery import Source, read, walk
from reconciler.declarations.parallel import cores, spread
from reconciler.declarations.rules import Rules
from reconciler.errors import DeclarationError, Problem
from reconciler.escape import visible
from reconciler.interaction import Interaction, OnChange, Place
from reconciler.yamlfile.reader import parse

SPREAD_FILES: Final = 1_000
"""From so many files on, reading them is spread over processes."""
_CHANGES: Final = {change.value: change for change in OnChange}


@dataclass(frozen=True, slots=True)
class Declarations:
    """What all files declare: interactions in order of address, warnings in order of place, how many files."""

    interactions: tuple[Interaction, ...]
    warnings: tuple[Problem, ...] = ()
    files: int = 0


def load(root: Path, rules: Rules, *, base: Path) -> Declarations:
    """Return what the files under `root` (a folder or a file) declare; files are named relative to `base`.

    Raises DeclarationError with every problem of every file; if `root` isn't there, with one of code `missing-path`.
    """
    import reconciler.declarations.validation  # noqa: F401, PLC0415 - before processes are forked, which then have it

    sources, problems = walk(root, base)
    processes = cores() if len(sources) >= SPREAD_FILES else 1
    found = _Found()
    with (
        _without_garbage_collection(),
        spread(sources, lambda part: _read_files(part, rules).plain(), processes) as parts,
    ):
        for part in parts:
            found.add(part)
    problems = sorted({*problems, *found.problems, *found.claimed_twice()})
    if any(not problem.warning for problem in problems):
        raise DeclarationError(tuple(problems))
    interactions = sorted(found.interactions, key=attrgetter("address"))
    return Declarations(tuple(interactions), tuple(problems), len(sources))


@dataclass(slots=True)
class _Found:
    """What files declare. `claims` are the identities of interactions that have problems."""

    interactions: list[Interaction] = field(default_factory=list)
    claims: list[tuple[str, Place]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def plain(self) -> tuple[Any, ...]:
        """Return it in tuples, as it goes from one process to another."""
        interactions = [
            (
                each.address,
                each.provider,
                each.body,
                each.digest,
                tuple(each.place),
                each.prevent_release,
                each.on_change.value,
            )
            for each in self.interactions
        ]
        claims = [(address, tuple(place)) for address, place in self.claims]
        return interactions, claims, [astuple(problem) for problem in self.problems]

    def add(self, plain: tuple[Any, ...]) -> None:
        """Add what `plain` returned elsewhere."""
        interactions, claims, problems = plain
        self.interactions += [
            Interaction(address, provider, body, digest, Place(*place), prevent, _CHANGES[change])
            for address, provider, body, digest, place, prevent, change in interactions
        ]
        self.claims += [(address, Place(*place)) for address, place in claims]
        self.problems += [Problem(*problem) for problem in problems]

    def claimed_twice(self) -> Iterator[Problem]:
        """Yield a problem for each identity that was declared before."""
        claims = [*((each.address, each.place) for each in self.interactions), *self.claims]
        if len({address for address, _ in claims}) == len(claims):
            return
        places: dict[str, Place] = {}
        for address, place in sorted(claims, key=lambda claim: claim[1]):
            first = places.setdefault(address, place)
            if first is not place:
                message = f"'{visible(address)}' is declared twice, first at {first.file}:{first.line}:{first.column}"
                hint = "an identity stands for one interaction: rename or remove one of the two"
                yield Problem(place.file, place.line, place.column, "duplicate-identity", message, hint)


def _read_files(sources: Sequence[Source], rules: Rules) -> _Found:
    found = _Found()
    for source in sources:
        _read_file(source, rules, found)
    return found


def _read_file(source: Source, rules: Rules, found: _Found) -> None:
    from reconciler.declarations.validation import validate  # noqa: PLC0415 - pydantic takes long to import; reading a config needs none

    data = read(source)
    if isinstance(data, Problem):
        found.problems.append(data)
        return
    parsed = parse(data, source.name)
    spots = {(problem.line, problem.column) for problem in parsed.problems}
    found.problems += parsed.problems
    for document in parsed.documents:
        checked = validate(document, source.name, rules)
        found.interactions += checked.interactions
        found.claims += checked.claims
        if checked.problems:  # what follows from a problem of the parser isn't told twice
            found.problems += [p for p in checked.problems if (p.line, p.column) not in spots]


class _without_garbage_collection:  # noqa: N801 - used as a statement
    """Nothing that is built here holds cycles; looking for them takes a sixth of the time."""

    def __enter__(self) -> None:
        self._was_on = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._was_on:
            gc.enable()
