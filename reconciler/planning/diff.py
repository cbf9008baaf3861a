"""The difference between two interactions, field by field, as a reviewer would name it.

Pure. Works on public fields only: a sensitive `linkeddata` item comes without its `value`. What fields there are is no
matter here: single values come before what maps and lists hold, each in order of their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from reconciler.interaction import LINKED_BY, Json

Fields = Mapping[str, Json]
_NOTHING: Final[Fields] = {}
_LINKED: Final = "linkeddata"
_MAPS: Final = frozenset({dict})
_ABSENT: Final[tuple[int, Fields | None]] = (0, None)
_UNNAMED: Final = "routingdata"
"""A reviewer finds what it holds without it."""


class Secrecy(StrEnum):
    """What can be said of a field whose value is not shown."""

    OPEN = "open"
    SENSITIVE = "sensitive"
    MAYBE_CHANGED = "sensitive, changed"


class FieldChange(NamedTuple):
    """One field; `before` is None where it was absent, `after` where it will be.

    `before` and `after` are the API's own values: a string, a number, or a `linkeddata` or skill object.
    Fields that stay as they are appear only where they are sensitive, so that a reader knows they exist.
    """

    field: str
    before: Json = None
    after: Json = None
    secrecy: Secrecy = Secrecy.OPEN


def added(provider: str | None, fields: Fields) -> tuple[FieldChange, ...]:
    """Return every field of an interaction."""
    return compare(None, _NOTHING, provider, fields, sensitive_changed=False)


def compare(
    provider_before: str | None, before: Fields, provider_after: str | None, after: Fields, *, sensitive_changed: bool
) -> tuple[FieldChange, ...]:
    """Return the fields that differ, and the sensitive ones.

    Which of several sensitive values changed can't be known, so `sensitive_changed` marks each that is on both sides.
    """
    found: list[FieldChange] = []
    lists: list[_List] = []
    if provider_before != provider_after:
        found.append(FieldChange("provider", provider_before, provider_after))
    _walk("", before, after, found, lists)
    for name, old, new in lists:
        _compare_items(name, _keyed(name, old), _keyed(name, new), found, changed=sensitive_changed)
    return tuple(found)


_List = tuple[str, Sequence[Fields], Sequence[Fields]]


def _walk(prefix: str, before: Fields, after: Fields, found: list[FieldChange], lists: list[_List]) -> None:
    """Add the single values that differ, those of inner maps behind, and the lists of items, those of maps first."""
    maps, own = [], []
    for name in sorted({*before, *after}) if before else after:  # canonical JSON is in order already
        old, new = before.get(name), after.get(name)
        kind = type(old) if new is None else type(new)
        if kind is dict and (old is None or new is None or type(old) is dict):
            maps.append((name, old or _NOTHING, new or _NOTHING))
        elif kind is list and _are_items(old) and _are_items(new):
            own.append((prefix + name, old or (), new or ()))
        elif old != new:
            found.append(FieldChange(prefix + name, old, new))
    for name, old, new in maps:
        _walk("" if name == _UNNAMED else f"{prefix}{name}.", old, new, found, lists)
    lists += own


def _are_items(value: Json) -> bool:
    return value is None or (type(value) is list and _MAPS.issuperset(map(type, value)))


def _compare_items(name: str, old: _Keyed, new: _Keyed, found: list[FieldChange], *, changed: bool) -> None:
    """Add the items that differ: those of `linkeddata` by what they are, others by their place in the list."""
    linked = name == _LINKED
    first, second = (new, old) if linked else (old, new)
    for key in (*first, *[key for key in second if key not in first]):
        was_at, was = old.get(key, _ABSENT)
        at, item = new.get(key, _ABSENT)
        if linked and not ((was is None or "value" in was) and (item is None or "value" in item)):
            secrecy = Secrecy.MAYBE_CHANGED if changed and was and item else Secrecy.SENSITIVE
            found.append(FieldChange(_linked_name(key), was, item, secrecy))
        elif was != item:
            place = _linked_name(key) if linked else f"{name}[{was_at if item is None else at}]"
            found.append(FieldChange(place, was, item))
    if old and new:
        _compare_order(name, old, new, found)


def _compare_order(name: str, old: _Keyed, new: _Keyed, found: list[FieldChange]) -> None:
    """Say so where what is on both sides stands in another order: the order of a list is content."""
    before, after = [key for key in old if key in new], [key for key in new if key in old]
    if before != after:
        told = _linked_name if name == _LINKED else _name
        found.append(FieldChange(f"{name} order", [*map(told, before)], [*map(told, after)]))


def linked_values(request: Fields) -> dict[str, str]:
    """Return the `linkeddata` values of a request by the names that its fields have in a difference."""
    keyed = _keyed(_LINKED, request.get(_LINKED, ()))
    return {_linked_name(key): str(item["value"]) for key, (_, item) in keyed.items()}


_Key = tuple[Any, ...]
_Keyed = dict[_Key, tuple[int, Fields]]


def _keyed(name: str, items: Sequence[Fields]) -> _Keyed:
    """Return the items of a list by what names them and how often that came before, each with its index."""
    linked = name == _LINKED
    again: dict[_Key, int] = {}
    keyed: _Keyed = {}
    for index, item in enumerate(items):
        key: _Key = (*[item.get(part, "") for part in LINKED_BY], 0) if linked else (str(item.get("name", "")), 0)
        if key in keyed:
            again[key] = again.get(key, 0) + 1
            key = (*key[:-1], again[key])
        keyed[key] = (index, item)
    return keyed


@lru_cache(maxsize=1024)  # the same few names stand in thousands of interactions
def _linked_name(key: _Key) -> str:
    kind, owner, name, occurrence = key
    label = f"{kind} {owner}.{name}" if owner else f"{kind} {name}" if name else f"{kind}"
    return f"{label}[{occurrence}]" if occurrence else label


def _name(key: _Key) -> str:
    return str(key[0])
