"""Which changes of a plan somebody has agreed to. Pure.

What was reviewed is computed from the commits themselves, never read from a comment or an artifact: a proposal leaves
an address with the content that its own commit declares, and a change is covered where it leads to just that.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from reconciler.interaction import Interaction, canonical
from reconciler.planning.plan import Action, Change, Plan
from reconciler.planning.saved_plan import identity

_BYTES: Final = 9
_WORD: Final = 12
_WORDS: Final = 10_000
"""A job gives so many to the next one in a variable, whose value Linux limits to 128 KiB."""
_LOCAL: Final = {Action.RECORD, Action.DRIFT, Action.HOLD}

Declared = Mapping[str, str]
"""Digests by address."""


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a plan may do without being asked about.

    `content`: what addresses were left with (None: not declared) by proposals, the latest last. `known`: the identities
    of changes that need no review, or that a person approved.
    """

    content: Mapping[str, str | None]
    known: frozenset[str]

    def covers(self, change: Change) -> bool:
        """Whether somebody has agreed to a change."""
        if change.action in _LOCAL or word(change) in self.known:
            return True
        after = change.after.digest if change.after else None
        return change.address in self.content and self.content[change.address] == after

    def uncovered(self, plan: Plan) -> tuple[Change, ...]:
        """Return the changes that nobody has agreed to."""
        return tuple(change for change in plan.changes if not self.covers(change))


def declared(interactions: Iterable[Interaction]) -> dict[str, str]:
    """Return the digests of what is declared, by address."""
    return {interaction.address: interaction.digest for interaction in interactions}


def touched(before: Declared, after: Declared) -> dict[str, str | None]:
    """Return what a proposal leaves the addresses with that it touches."""
    return {
        address: after.get(address)
        for address in before.keys() | after.keys()
        if before.get(address) != after.get(address)
    }


def word(change: Change) -> str:
    """Return what a change is known by, in twelve characters."""
    return urlsafe_b64encode(hashlib.sha256(canonical(identity(change))).digest()[:_BYTES]).decode()


def words(changes: Iterable[Change]) -> str:
    """Return the identities of changes as one text, by which each is known; of too many, what they are as a whole."""
    found = sorted(map(word, changes))
    return "".join(found) if len(found) <= _WORDS else _hashed(found)


def known(text: str) -> Iterator[str]:
    """Yield the identities that a text holds."""
    return (text[place : place + _WORD] for place in range(0, len(text), _WORD))


def short(changes: Iterable[Change]) -> str:
    """Return what a person types to approve just these changes."""
    return _hashed(sorted(map(word, changes)))


def _hashed(found: list[str]) -> str:
    return hashlib.sha256("".join(found).encode()).hexdigest()[:_WORD]
