"""What `linkeddata` items must hold, by their type.

Pure. Its checks are made before defaults are merged: a list replaces a list whole.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Final, Protocol

from reconciler.declarations.messages import suggestion
from reconciler.declarations.rules import DeclarationRules
from reconciler.declarations.schema import LINKEDDATA_TYPES
from reconciler.errors import ProblemCode
from reconciler.yamlfile.document import Path

_DANGEROUS: Final = frozenset({"javascript", "data", "vbscript", "file"})
_NAME: Final = re.compile(r"[A-Za-z_-]{1,40}").fullmatch
_PERSONAL: Final = re.compile(r"\s*([^@\s]+@[^@\s]+\.[^@\s]+|\+?[(0-9][0-9 ()/.-]{6,})\s*").fullmatch
_PERSONAL_SAID: Final = "looks like a person's address or number, and is shown in plans and kept in the state"
_PERSONAL_HINT: Final = "add `name` to `sensitive` in reconciler.yaml, beside what stands there"
_LONGEST: Final = 200  # of an address
_SAFE: Final = ("https://", "http://")


class ReportProblem(Protocol):
    """Takes a problem of the value at a path: its code, what is said of the value, a hint."""

    def __call__(self, path: Path, code: ProblemCode, said: str, hint: str = "", *, warning: bool = False) -> None: ...  # noqa: D102 - said above


def check_linkeddata(
    items: list[Any], path: Path, rules: DeclarationRules, broken: frozenset[Path], report: ReportProblem
) -> None:
    """Report what is wrong with the items at `path`; `broken` ones have the wrong shape and are left out."""
    for index, item in enumerate(items):
        if broken and (*path, index) in broken:
            continue
        kind = item["type"]
        needs = LINKEDDATA_TYPES.get(kind)
        if needs is None:
            if kind not in rules.linkeddata_types:
                _unknown_type((*path, index, "type"), kind, rules.linkeddata_types, report)
        elif needs:
            _needed((*path, index), item, needs, report)
        elif kind == "url" and not item["value"].startswith(_SAFE) and scheme(item["value"]) in _DANGEROUS:
            _dangerous((*path, index, "value"), item["value"], report)
        elif kind == "name" and "name" not in rules.sensitive and _is_personal(item["value"]):
            report((*path, index, "value"), "personal-name", _PERSONAL_SAID, _PERSONAL_HINT, warning=True)


def _is_personal(value: str) -> bool:
    return len(value) <= _LONGEST and _PERSONAL(value) is not None


def scheme(url: str) -> str:
    """Return the scheme as a browser reads it: white space, control and invisible characters left out, lower case."""
    head = url.partition(":")[0] if ":" in url else ""
    kept = (c for c in head if c > " " and unicodedata.category(c)[0] not in "CZ")
    return "".join(kept).lower()


def _unknown_type(path: Path, kind: str, allowed: frozenset[str], report: ReportProblem) -> None:
    known = sorted({*LINKEDDATA_TYPES, *allowed})
    close = suggestion(kind, known)
    # What doesn't look like a type may be a value that slipped in here: it isn't shown.
    named = close is not None or _NAME(kind)
    said = f"is '{kind}', which is not known" if named else "is not known"
    hint = f"did you mean '{close}'?" if close else f"known types: {', '.join(known)}"
    report(path, "unknown-type", said, f"{hint}\nto allow another, add it to `linkeddata_types` in reconciler.yaml")


def _needed(path: Path, item: dict[str, Any], needs: tuple[str, ...], report: ReportProblem) -> None:
    for name in needs:
        if name not in item:
            report(path, "missing-field", f"has no '{name}', which type {item['type']} needs")
    if item["type"] == "interactionproperty" and " " in item.get("key", ""):
        said = "holds spaces: the API doesn't guarantee that such a data source name works"
        report((*path, "key"), "key-with-spaces", said, warning=True)


def _dangerous(path: Path, url: str, report: ReportProblem) -> None:
    said = f"is a {scheme(url)}: address, which an agent's browser would run or open"
    report(path, "dangerous-url", said, "use an https: address")
