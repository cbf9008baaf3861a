"""What is imported, checked as declarations are and compared with those that are there.

Pure. Of what was taken in only identities are remembered, so that a table may be as long as it likes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from reconciler.declarations.result import ValidationResult
from reconciler.declarations.rules import DeclarationRules
from reconciler.declarations.validation import merge, validate
from reconciler.errors import Problem
from reconciler.escape import visible
from reconciler.interaction import Interaction, Place, same_content
from reconciler.yamlfile.document import Document

Item = dict[str, Any]


class Imported(NamedTuple):
    """An interaction to be declared: as it is, and as it is written where nothing is inherited."""

    interaction: Interaction
    item: Item


@dataclass(slots=True)
class Intake:
    """Takes in documents; `declared` are the interactions by address, without their bodies."""

    rules: DeclarationRules
    declared: Mapping[str, Interaction]
    merge: bool = False
    quiet: frozenset[str] = frozenset()
    """Codes of warnings that were given already, of what is the same in each row."""
    problems: list[Problem] = field(default_factory=list)
    released: list[tuple[str, Place]] = field(default_factory=list)
    _identities: list[tuple[str, Place]] = field(default_factory=list)

    def take(self, document: Document, name: str, called: tuple[str, str]) -> Iterator[Imported]:
        """Yield the interactions of a document that are right; messages call them otherwise than in declarations."""
        found = validate(document, name, self.rules)
        self.problems += [
            replace(problem, message=problem.message.replace(*called, 1))
            for problem in found.problems
            if not (problem.warning and problem.code in self.quiet)
        ]
        self._identities += [*((each.address, each.place) for each in found.interactions), *found.invalid_identities]
        if not found.interactions:
            return
        items = document.value["interactions"]
        marks = [(mark.line + 1, mark.column + 1) for mark in document.marks[id(items)][1:]]
        written = dict(zip(marks, items, strict=True))
        for interaction in found.interactions:
            yield Imported(interaction, written[interaction.place[1:]])

    @property
    def addresses(self) -> Sequence[str]:
        """All that was taken in."""
        return [address for address, _ in self._identities]

    def finished(self) -> list[Problem]:
        """Return all problems, in order of place: also identities that come twice, or are declared already."""
        again = ValidationResult(invalid_identities=self._identities).duplicates()
        return sorted({*self.problems, *again, *self._already_declared(), *self._released_too()})

    def _already_declared(self) -> Iterator[Problem]:
        for address, place in () if self.merge else self._identities:
            if (known := self.declared.get(address)) is not None:
                message = f"'{visible(address)}' is declared already, at {known.place}:{known.place.column}"
                yield Problem(*place, "duplicate-identity", message, "--merge updates what is declared already")

    def _released_too(self) -> Iterator[Problem]:
        """Yield a problem for each interaction that is dispatched and released: which came last, nobody can tell."""
        dispatched = dict(self._identities)
        for address, place in self.released:
            if (other := dispatched.get(address)) is not None:
                message = f"'{visible(address)}' is released here, and dispatched at {other}:{other.column}"
                yield Problem(*place, "duplicate-identity", message, "remove what is no longer so")
            else:
                message = f"'{visible(address)}' is released here: nothing is declared for it"
                yield Problem(*place, "action", message, "what is declared is dispatched", warning=True)


def same(known: Interaction, imported: Imported) -> bool:
    """Whether what is declared is what is imported; its lifecycle counts only if that is imported too."""
    new = imported.interaction
    lives = lifecycle(known) == lifecycle(new)
    return same_content(known.digest, new) and (lives or "lifecycle" not in imported.item)


def lifecycle(interaction: Interaction) -> tuple[object, ...]:
    """Return what is declared of an interaction and not sent."""
    return interaction.prevent_release, interaction.on_change, interaction.exceptions


def whole(imported: Imported) -> Item:
    """Return an imported interaction in the order in which it is written: identity, provider, all else; no nulls."""
    item: Item = merge({}, imported.item)
    first = {name: item.pop(name) for name in ("externalid", "once") if name in item}
    item.pop("provider", None)
    provider = imported.interaction.provider
    return first | ({"provider": provider} if provider is not None else {}) | item
