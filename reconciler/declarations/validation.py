"""From documents to interactions: defaults merged, and everything checked that the API would fail late.

Pure: no files, no parsers. Defaults and interactions are checked before they are merged, so that what is wrong in a
default is reported once, where it stands; what only the whole can show is checked after.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

import orjson

from reconciler.declarations.linkeddata import check_linkeddata
from reconciler.declarations.messages import problem_at, shown, suggestion, translated
from reconciler.errors import Problem
from reconciler.interaction import ONCE_PREFIX, Interaction, OnChange, Place, content_digest, dispatch_body
from reconciler.yamlfile.document import Document, Path
from reconciler.yamlfile.scalars import describe

_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_NONE: Final[frozenset[Path]] = frozenset()
_SENT: Final = ("route", "linkeddata", "routingdata")
_ENVELOPE: Final = len('{"requests":[,"requestid":""]}') + 36
_PROVIDER: Final = len('"provider":,')
_CHANGES: Final = {"replace": OnChange.REPLACE, "keep": OnChange.KEEP, "again": OnChange.AGAIN}


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says about declarations.

    `sensitive` holds types (or `type:key`) whose values aren't shown, `linkeddata_types` further allowed types,
    `request_bytes` the size of the largest Invocation.
    """

    sensitive: frozenset[str]
    linkeddata_types: frozenset[str]
    request_bytes: int


@dataclass(slots=True)
class Checked:
    """What a document declares. `claims` are the identities of interactions that have other problems."""

    interactions: list[Interaction] = field(default_factory=list)
    claims: list[tuple[str, Place]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def validate(document: Document, name: str, rules: Rules) -> Checked:
    """Check one document of the file `name`; its problems are in no particular order, and may repeat."""
    if document.value is None:
        return Checked()
    if not isinstance(document.value, dict):
        return Checked(problems=[_not_a_mapping(document, name)])
    found = _complaints()(document.value)
    if not found:
        checker = _Checker(document, name, rules, _NONE)
    else:
        broken = frozenset(path[:end] for _, path in found for end in range(1, len(path) + 1))
        checker = _Checker(document, name, rules, broken)
        checker.checked.problems += translated(document, name, rules.sensitive, found)
    checker.run()
    return checker.checked


@cache
def _complaints() -> Callable[[object], list[tuple[str, Path]]]:
    from reconciler.declarations.schema import complaints  # noqa: PLC0415 - pydantic takes long to import; reading a config needs none

    return complaints


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


def _misspelt(item: dict[str, Any], *names: str) -> bool:
    return any(suggestion(key, names) for key in item if key not in names)


class _Checker:
    """Checks one document. Its paths start at the top of the document."""

    __slots__ = ("_base", "_broken", "_document", "_name", "_provider", "_rules", "_sound", "checked")

    def __init__(self, document: Document, name: str, rules: Rules, broken: frozenset[Path]) -> None:
        """`broken` are the paths to what has the wrong shape, and to all that holds it."""
        self.checked = Checked()
        self._broken = broken
        self._document, self._name, self._rules = document, name, rules
        self._base: dict[str, Any] = {}
        self._provider: str | None = None
        self._sound = True

    def run(self) -> None:
        """Check the document's interactions."""
        value, broken = self._document.value, self._broken
        items, defaults = value.get("interactions"), value.get("defaults")
        self._sound = not broken or (("defaults",) not in broken and ("provider",) not in broken)
        if defaults and isinstance(defaults, dict):
            self._linkeddata(defaults, ("defaults",))
        if self._sound:
            self._inherit(value.get("provider"), defaults)
        if not items or not isinstance(items, list):
            return
        marks = self._document.marks[id(items)]
        for index, item in enumerate(items):
            mark = marks[index + 1]
            place = Place(self._name, mark.line + 1, mark.column + 1)
            if broken and ("interactions", index) in broken:
                self._salvage(item, index, place)
            else:
                self._interaction(item, index, place)

    def _inherit(self, provider: str | None, defaults: dict[str, Any] | None) -> None:
        """Take over what interactions inherit: a provider in `defaults`, even null, is nearer than the document's."""
        self._provider = provider
        if defaults:
            self._provider = defaults.get("provider", provider)
            self._base = merge({}, defaults)

    def _problem(self, path: Path, code: str, message: str, hint: str = "", *, warning: bool = False) -> None:
        problem = problem_at(self._document, self._name, path, (code, message, hint))
        self.checked.problems.append(replace(problem, warning=True) if warning else problem)

    def _salvage(self, item: Any, index: int, place: Place) -> None:
        """Check what can be checked of an interaction whose shape is wrong, so that one run finds all."""
        if not isinstance(item, dict):
            return
        identities = [name for name in ("externalid", "once") if name in item]
        if all(isinstance(item[name], str) for name in identities):
            address = self._address(item, index) if identities or not _misspelt(item, "externalid", "once") else None
            if address is not None:
                self.checked.claims.append((address, place))
        path = ("interactions", index)
        self._linkeddata(item, path)
        if self._sound:
            whole = merge(self._base, {name: item[name] for name in item if (*path, name) not in self._broken})
            if (*path, "route") in self._broken or _misspelt(item, "route"):
                whole["route"] = ""  # it was told of, or will be found, there
            if (*path, "lifecycle") in self._broken:
                whole.pop("lifecycle", None)  # what the default says may be what is overridden
            self._completeness(whole, index)

    def _interaction(self, item: dict[str, Any], index: int, place: Place) -> None:
        before = len(self.checked.problems)
        address = self._address(item, index)
        self._linkeddata(item, ("interactions", index))
        if not self._sound:
            whole = None
        else:
            whole = merge(self._base, item) if self._base or self._document.has_null else item
            self._completeness(whole, index)
        if address is None:
            return
        if whole is None or any(not problem.warning for problem in self.checked.problems[before:]):
            self.checked.claims.append((address, place))
            return
        self._finish(whole, index, address, place)

    def _finish(self, whole: dict[str, Any], index: int, address: str, place: Place) -> None:
        externalid = whole.get("externalid")
        # What is null in the interaction is gone from the whole, so its own null provider is looked up in itself.
        own = self._document.value["interactions"][index]
        provider = own.get("provider", self._provider)
        request: dict[str, Any] = {name: whole[name] for name in _SENT if name in whole}
        body = dispatch_body(externalid, request)
        size = len(body) + _ENVELOPE + (_PROVIDER + len(orjson.dumps(provider)) if provider is not None else 0)
        lifecycle = whole.get("lifecycle")
        prevent, change = False, OnChange.REPLACE if externalid is not None else OnChange.KEEP
        if lifecycle:
            prevent = lifecycle.get("prevent_release", False)
            change = _CHANGES.get(lifecycle.get("on_change"), change)
        if size > self._rules.request_bytes:
            limit = self._rules.request_bytes
            message = f"as a request the interaction has {size:,} bytes, more than request_bytes ({limit:,})"
            self._problem(("interactions", index), "too-large", message, "shorten its linkeddata")
            self.checked.claims.append((address, place))
            return
        digest = content_digest(provider, body)
        self.checked.interactions.append(Interaction(address, provider, body, digest, place, prevent, change))

    def _address(self, item: dict[str, Any], index: int) -> str | None:
        """Return the interaction's address, or None if it has no identity that can be used."""
        path = ("interactions", index)
        if "externalid" in item:
            if "once" in item:
                message = "the interaction has both 'externalid' and 'once'"
                hint = "keep `externalid` if it is ever to be released, `once` if never"
                self._problem(path, "two-identities", message, hint)
                return None
            externalid: str = item["externalid"]
            return externalid if self._identity((*path, "externalid"), externalid) else None
        if "once" in item:
            return ONCE_PREFIX + item["once"] if self._identity((*path, "once"), item["once"]) else None
        hint = "give it an `externalid`, or `once: NAME` if it is never to be released"
        self._problem(path, "missing-identity", "the interaction has neither 'externalid' nor 'once'", hint)
        return None

    def _identity(self, path: Path, text: str) -> bool:
        if text and text.isprintable() and text[0] != " " and text[-1] != " " and not text.startswith(ONCE_PREFIX):
            return True
        subject = str(path[-1])
        if not text:
            message = "is empty"
        elif any(unicodedata.category(character) in _INVISIBLE for character in text):
            message = f"'{shown(text)}' holds a control or invisible character"
        elif text != text.strip():
            message = f"'{shown(text)}' starts or ends with white space"
        elif subject == "externalid" and text.startswith(ONCE_PREFIX):
            message = f"'{shown(text)}' starts with 'once:', which is kept for interactions without an externalid"
        else:
            return True
        self._problem(path, "identity", f"{subject} {message}")
        return False

    def _linkeddata(self, holder: dict[str, Any], path: Path) -> None:
        items = holder.get("linkeddata")
        if items and isinstance(items, list):
            check_linkeddata(items, (*path, "linkeddata"), self._rules.linkeddata_types, self._broken, self._problem)

    def _completeness(self, whole: dict[str, Any], index: int) -> None:
        """Check what defaults may complete, or contradict."""
        self._route(whole, index)
        path = ("interactions", index)
        routing = whole.get("routingdata")
        if routing and "agent" not in routing.get("personalqueue", _NO_QUEUE):
            message = "routingdata.personalqueue has no 'agent'"
            self._problem(self._source(path, "routingdata", "personalqueue"), "missing-field", message)
        lifecycle = whole.get("lifecycle")
        if lifecycle and "on_change" in lifecycle:
            self._on_change(path, whole, lifecycle["on_change"])

    def _route(self, whole: dict[str, Any], index: int) -> None:
        if "route" not in whole:
            hint = "set it here or in `defaults`"
            self._problem(("interactions", index), "missing-route", "the interaction has no 'route'", hint)

    def _on_change(self, path: Path, whole: dict[str, Any], change: str) -> None:
        if change == "again" and "externalid" in whole:
            message, hint = "on_change 'again' is for `once` interactions only", "use replace or keep"
        elif change == "replace" and "once" in whole:
            message, hint = (
                "on_change 'replace' needs an externalid: without one nothing can be released",
                "use keep or again",
            )
        else:
            return
        own = (*path, "lifecycle", "on_change")
        inherited = self._document.at(own) is None
        hint = f"{hint}; the value comes from `defaults`, and can be set here" if inherited else hint
        self._problem(path if inherited else own, "on-change", message, hint)

    def _source(self, path: Path, *fields: str) -> Path:
        """Return where a merged value was written: in the interaction, or else in the defaults."""
        own = (*path, *fields)
        return own if self._document.at(own) is not None else ("defaults", *fields)


_NO_QUEUE: Final = {"agent": ""}
