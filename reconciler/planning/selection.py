"""Which interactions a command is about: those that `--target` selects, all without one, less those of `--exclude`.

Pure. A selector is an address, a pattern of addresses (`crm-*`), or `file:`, `route:` or `provider:` with a name or a
pattern. What is declared and what is open, pending or failed both count, so a release is selected by what was declared.
"""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

import orjson

from reconciler.interaction import NO_FIELDS, ONCE_PREFIX, Interaction
from reconciler.state.model import State


@dataclass(frozen=True, slots=True)
class Selection:
    """Selectors as they were written; without any, everything is selected."""

    targets: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.targets or self.excludes)


class Facts(NamedTuple):
    """What selects an interaction besides its address; `fields` are canonical JSON, or none where they aren't known."""

    provider: str | None
    file: str
    fields: bytes


Known = Mapping[str, Sequence[Facts]]


class Selected(NamedTuple):
    """The addresses that are selected, and the selectors that select nothing."""

    addresses: frozenset[str]
    idle: tuple[str, ...]


EVERYTHING: Final = Selection()


def selectors(text: str) -> tuple[str, ...]:
    """Return the selectors of a file: one a line; empty lines and those that begin with `#` are none."""
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


def known(desired: Iterable[Interaction], state: State) -> Known:
    """Return what is declared and what the state knows, by address."""
    facts: defaultdict[str, list[Facts]] = defaultdict(list)
    for wanted in desired:
        facts[wanted.address].append(Facts(wanted.provider, wanted.place.file, wanted.body))
    for address, entry in state.interactions.items():
        facts[address].append(Facts(entry.provider, entry.source, entry.fields))
    for link in state.pending.values():
        facts[link.address].append(Facts(link.provider, link.source, link.fields))
    for failure in state.failed.values():
        facts[failure.address].append(Facts(failure.provider, failure.source, NO_FIELDS))
    return facts


def select(selection: Selection, among: Known) -> Selected:
    """Return what is selected; a selector that is an address means that one alone, whatever it is as a pattern."""
    targets, excludes = (
        {selector: _matching(selector, among) for selector in part} for part in (selection.targets, selection.excludes)
    )
    wanted = frozenset().union(*targets.values()) if targets else among.keys()
    idle = tuple(selector for part in (targets, excludes) for selector, found in part.items() if not found)
    return Selected(frozenset(wanted).difference(*excludes.values()), idle)


def _matching(selector: str, among: Known) -> Collection[str]:
    if selector in among:
        return {selector}
    kind, _, pattern = selector.partition(":")
    if kind not in _NAMES:
        return {address for address in among if fnmatchcase(address, selector)}
    name, root = _NAMES[kind], posixpath.normpath(pattern) if kind == "file" and pattern else None
    return {address for address, facts in among.items() if any(_fits(name(fact), pattern, root) for fact in facts)}


def _fits(name: str | None, pattern: str, root: str | None) -> bool:
    if name is None:
        return False
    return name == pattern or fnmatchcase(name, root or pattern) or (root is not None and is_within(name, root))


def is_within(file: str, root: str) -> bool:
    """Whether a file lies in a folder, or is that file; both are named from the same folder."""
    return file == root or file.startswith(f"{root}/") or (root == "." and not file.startswith("../"))


def _route(facts: Facts) -> str | None:
    route: str | None = orjson.loads(facts.fields).get("route")
    return route


_NAMES: Final[Mapping[str, Callable[[Facts], str | None]]] = {
    "file": lambda facts: facts.file or None,
    "route": _route,
    "provider": lambda facts: facts.provider or "",
}


def closest(selector: str, among: Known) -> str | None:
    """Return the selector that was meant perhaps, where one selects nothing."""
    for prefix in (ONCE_PREFIX, *(f"{kind}:" for kind in _NAMES)):
        if _matching(prefix + selector, among):
            return prefix + selector
    kind = selector.partition(":")[0]
    names: Iterable[str] = among
    if name := _NAMES.get(kind):
        names = {f"{kind}:{name(fact)}" for facts in among.values() for fact in facts}
    return next(iter(get_close_matches(selector, names, 1)), None)
