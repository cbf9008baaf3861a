"""From documents to interactions: defaults merged, and everything checked that the API would fail late.

Pure: no files, no parsers. Defaults and interactions are checked before they are merged, so that what is wrong in a
default is reported once, where it stands; what only the whole can show is checked after.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import orjson

from reconciler.declarations.linkeddata import check_linkeddata
from reconciler.declarations.messages import problem_at, suggestion, translated, where
from reconciler.declarations.result import ValidationResult
from reconciler.declarations.rules import DeclarationRules
from reconciler.declarations.schema import ON_CHANGE, PREVENT_RELEASE, SENT, WHOLE, shape_errors
from reconciler.errors import Problem, ProblemCode
from reconciler.interaction import (
    ONCE_PREFIX,
    Interaction,
    OnChange,
    Place,
    PolicyException,
    content_digest,
    dispatch_body,
    identity_flaw,
)
from reconciler.yamlfile.document import Document, Path
from reconciler.yamlfile.scalars import describe

_ENVELOPE: Final = len('{"requests":[,"requestid":""]}') + 36
_PROVIDER: Final = len('"provider":,')


def validate(document: Document, name: str, rules: DeclarationRules) -> ValidationResult:
    """Check one document of the file `name`; its problems are in no particular order, and may repeat."""
    if document.value is None:
        return ValidationResult()
    if not isinstance(document.value, dict):
        return ValidationResult(problems=[_not_a_mapping(document, name)])
    errors = shape_errors(document.value)
    broken = frozenset(path[:end] for _, path in errors for end in range(1, len(path) + 1))
    checker = _Checker(document, name, rules, broken)
    if errors:
        checker.checked.problems += translated(document, name, rules.sensitive, errors)
    checker.run()
    return checker.checked


def merge(target: Any, patch: Any) -> Any:
    """Return the JSON merge patch of RFC 7396: maps by key, lists and scalars replace, null removes."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value) if isinstance(value, dict) else value
    return result


def _not_a_mapping(document: Document, name: str) -> Problem:
    message = f"a document must be a mapping, this is {describe(document.value)}"
    hint = "put the list under `interactions:`" if isinstance(document.value, list) else ""
    return problem_at(document, name, (), ("not-a-mapping", message, hint))


class _Checker:
    """Checks one document. Its paths start at the top of the document."""

    __slots__ = ("_base", "_broken", "_document", "_errors", "_name", "_provider", "_rules", "_sound", "checked")

    def __init__(self, document: Document, name: str, rules: DeclarationRules, broken: frozenset[Path]) -> None:
        """`broken` are the paths to what has the wrong shape, and to all that holds it."""
        self.checked = ValidationResult()
        self._broken, self._errors = broken, 0
        self._document, self._name, self._rules = document, name, rules
        self._sound = not broken or (("defaults",) not in broken and ("provider",) not in broken)
        # A provider in `defaults`, even null, is nearer than the document's.
        defaults = (document.value.get("defaults") if self._sound else None) or {}
        self._provider: str | None = defaults.get("provider", document.value.get("provider"))
        self._base: dict[str, Any] = merge({}, defaults) if defaults else {}

    def run(self) -> None:
        """Check the document's defaults and interactions."""
        value = self._document.value
        self._linkeddata(value.get("defaults"), ("defaults",))
        items = value.get("interactions")
        if not items or not isinstance(items, list):
            return
        marks = self._document.marks[id(items)]
        for index, item in enumerate(items):
            if isinstance(item, dict):
                mark = marks[index + 1]
                self._interaction(item, ("interactions", index), Place(self._name, mark.line + 1, mark.column + 1))

    def _problem(self, path: Path, code: ProblemCode, said: str, hint: str = "", *, warning: bool = False) -> None:
        message = f"{where(self._document, path)} {said}"
        problem = problem_at(self._document, self._name, path, (code, message, hint))
        self.checked.problems.append(replace(problem, warning=True) if warning else problem)
        self._errors += not warning

    def _interaction(self, item: dict[str, Any], path: Path, place: Place) -> None:
        """Check all that can be checked, even where the shape is wrong, so that one run finds all."""
        before = self._errors
        address = self._address(item, path)
        self._linkeddata(item, path)
        whole = merge(self._base, item) if self._base or self._document.has_null else item
        if self._sound:
            self._completeness(whole, path)
        if address is None:
            return
        right = self._sound and path not in self._broken and self._errors == before
        if not (right and self._declare(item, whole, path, address, place)):
            self.checked.invalid_identities.append((address, place))

    def _declare(self, item: dict[str, Any], whole: dict[str, Any], path: Path, address: str, place: Place) -> bool:
        """Add the interaction, unless it is too large to be sent even alone; whether it was."""
        # What is null in the interaction is gone from the whole, so its own null provider is looked up in itself.
        provider = item.get("provider", self._provider)
        body = dispatch_body(whole.get("externalid"), {name: whole[name] for name in SENT if name in whole})
        size, limit = len(body) + _around(provider), self._rules.request_bytes
        if size > limit:
            said = f"has {size:,} bytes as a request, more than request_bytes ({limit:,})"
            self._problem(path, "too-large", said, "shorten its linkeddata")
            return False
        digest = content_digest(provider, body)
        interaction = Interaction(address, provider, body, digest, place, *_lifecycle(whole))
        self.checked.interactions.append(interaction)
        return True

    def _address(self, item: dict[str, Any], path: Path) -> str | None:
        """Return the interaction's address, or None if it has no identity that can be used."""
        identities = [name for name in ON_CHANGE if name in item]
        if self._broken and (
            any((*path, name) in self._broken for name in identities)
            or (not identities and self._misspelt(item, path, *ON_CHANGE))
        ):
            return None  # that was told of
        if len(identities) > 1:
            hint = "keep `externalid` if it is ever to be released, `once` if never"
            self._problem(path, "two-identities", "has both 'externalid' and 'once'", hint)
            return None
        if not identities:
            hint = "give it an `externalid`, or `once: NAME` if it is never to be released"
            self._problem(path, "missing-identity", "has neither 'externalid' nor 'once'", hint)
            return None
        (name,) = identities
        text: str = item[name]
        if flaw := identity_flaw(text, once=name == "once"):
            self._problem((*path, name), "identity", flaw)
            return None
        return ONCE_PREFIX + text if name == "once" else text

    def _linkeddata(self, holder: Any, path: Path) -> None:
        items = holder.get("linkeddata") if isinstance(holder, dict) else None
        if items and isinstance(items, list):
            check_linkeddata(items, (*path, "linkeddata"), self._rules, self._broken, self._problem)

    def _completeness(self, whole: dict[str, Any], path: Path) -> None:
        """Check what defaults may complete, or contradict; what has the wrong shape was told of already."""
        for around, name in WHOLE:
            holder = _at(whole, around) if around else whole
            if isinstance(holder, dict) and name not in holder and not self._misspelt(holder, path, name):
                code: ProblemCode = "missing-field" if around else "missing-route"
                self._problem(self._source(path, around), code, f"has no '{name}'", "set it here or in `defaults`")
        if "lifecycle" in whole and (change := _at(whole, ("lifecycle", "on_change"))) is not None:
            self._on_change(whole, path, change)

    def _on_change(self, whole: dict[str, Any], path: Path, change: Any) -> None:
        of = [identity for identity, changes in ON_CHANGE.items() if change in changes]
        for identity, changes in ON_CHANGE.items():
            if of and identity in whole and identity not in of:
                own = (*path, "lifecycle", "on_change")
                inherited = self._document.at(own) is None
                hint = f"use {' or '.join(changes)}"
                hint += "; the value comes from `defaults`, and can be set here" if inherited else ""
                said = f"'{change}', which is for interactions with `{of[0]}` only"
                said = f"has on_change {said}" if inherited else f"is {said}"
                self._problem(path if inherited else own, "on-change", said, hint)

    def _misspelt(self, holder: dict[str, Any], path: Path, *names: str) -> bool:
        """Whether a field of an interaction that isn't there was told of, as one that is spelt otherwise."""
        return path in self._broken and any(suggestion(key, names) for key in holder if key not in names)

    def _source(self, path: Path, around: tuple[str, ...]) -> Path:
        """Return where a map that was merged is written: in the interaction, or else in the defaults."""
        own = (*path, *around)
        return own if self._document.at(own) is not None else ("defaults", *around)


def _around(provider: str | None) -> int:
    """Return how many bytes an Invocation has around its one request."""
    return _ENVELOPE + (_PROVIDER + len(orjson.dumps(provider)) if provider is not None else 0)


def _at(value: Any, path: tuple[str, ...]) -> Any:
    """Return the value at a path of names, or None."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _lifecycle(whole: dict[str, Any]) -> tuple[bool, OnChange, tuple[PolicyException, ...]]:
    """Return whether a release is prevented, what a change does, and exceptions: as declared, or by default."""
    default = ON_CHANGE["once" if "once" in whole else "externalid"][0]
    lifecycle = whole.get("lifecycle")
    if not lifecycle:
        return PREVENT_RELEASE, default, ()
    exceptions = tuple(PolicyException(**found) for found in lifecycle.get("exceptions", ()))
    return lifecycle.get("prevent_release", PREVENT_RELEASE), OnChange(lifecycle.get("on_change", default)), exceptions
