"""What files declare, as it is gathered: of a document, a file, a process, and all of them.

Pure. It goes from one process to another as it is; named tuples are pickled nearly as fast as plain ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter

from reconciler.declarations.seals import Content
from reconciler.errors import Problem
from reconciler.escape import visible
from reconciler.interaction import Interaction, Place


@dataclass(slots=True)
class ValidationResult:
    """What is declared, in no particular order, and in how many files as far as that was counted.

    `invalid_identities` are those of interactions that have problems.
    """

    interactions: list[Interaction] = field(default_factory=list)
    invalid_identities: list[tuple[str, Place]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    files: int = 0
    contents: list[tuple[str, Content]] = field(default_factory=list)
    """Of the files that have no problem, not even a warning."""

    def add(self, other: ValidationResult) -> None:
        """Take over what was found elsewhere."""
        self.interactions += other.interactions
        self.invalid_identities += other.invalid_identities
        self.problems += other.problems
        self.files += other.files
        self.contents += other.contents

    def identities(self) -> list[tuple[str, Place]]:
        """Return what is claimed, and where."""
        return [*((each.address, each.place) for each in self.interactions), *self.invalid_identities]

    def duplicates(self) -> Iterator[Problem]:
        """Yield a problem for each identity that was declared before."""
        identities = self.identities()
        if len({address for address, _ in identities}) == len(identities):
            return
        places: dict[str, Place] = {}
        for address, place in sorted(identities, key=itemgetter(1)):
            first = places.setdefault(address, place)
            if first is not place:
                message = f"'{visible(address)}' is declared twice, first at {first.file}:{first.line}:{first.column}"
                hint = "an identity stands for one interaction: rename or remove one of the two"
                yield Problem(place.file, place.line, place.column, "duplicate-identity", message, hint)
