"""The difference between two interactions, field by field, as a reviewer would name it.

Pure. Works on public fields only: a sensitive `linkeddata` item comes without its `value`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from reconciler.interaction import Json

Fields = Mapping[str, Json]
_NOTHING: Final[Fields] = {}
_QUEUE: Final = ("agent", "loggedintimeout", "loggedouttimeout")
_LINKED: Final = ("type", "owner", "key")


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
    """Return every field of an interaction that is dispatched anew: what `compare` finds where nothing was before."""
    routing = fields.get("routingdata", _NOTHING)
    queue = routing.get("personalqueue", _NOTHING)
    scalars = (
        ("provider", provider),
        ("route", fields.get("route")),
        ("interactiontype", routing.get("interactiontype")),
        *[(f"personalqueue.{name}", queue[name]) for name in _QUEUE if name in queue],
        *[(f"skills[{index}]", skill) for index, skill in enumerate(routing.get("skills", ()))],
    )
    linked = _keyed(fields.get("linkeddata", ()), _LINKED)
    return (
        *[FieldChange(name, None, value) for name, value in scalars if value is not None],
        *[
            FieldChange(_linked_name(key), None, item, Secrecy.OPEN if "value" in item else Secrecy.SENSITIVE)
            for key, (_, item) in linked.items()
        ],
    )


def compare(
    provider_before: str | None, before: Fields, provider_after: str | None, after: Fields, *, sensitive_changed: bool
) -> tuple[FieldChange, ...]:
    """Return the fields that differ, and the sensitive ones.

    Which of several sensitive values changed can't be known, so `sensitive_changed` marks each that is on both sides.
    """
    scalars = (
        *_scalar("provider", provider_before, provider_after),
        *_scalar("route", before.get("route"), after.get("route")),
        *_routing(before.get("routingdata", {}), after.get("routingdata", {})),
    )
    linked = _linked(before.get("linkeddata", ()), after.get("linkeddata", ()), changed=sensitive_changed)
    return (*scalars, *linked)


def _scalar(name: str, before: Json, after: Json) -> Iterator[FieldChange]:
    if before != after:
        yield FieldChange(name, before, after)


def _routing(before: Fields, after: Fields) -> Iterator[FieldChange]:
    yield from _scalar("interactiontype", before.get("interactiontype"), after.get("interactiontype"))
    queues = before.get("personalqueue", {}), after.get("personalqueue", {})
    for name in _QUEUE:
        yield from _scalar(f"personalqueue.{name}", queues[0].get(name), queues[1].get(name))
    yield from _skills(before.get("skills", ()), after.get("skills", ()))


def _skills(before: Sequence[Fields], after: Sequence[Fields]) -> Iterator[FieldChange]:
    old, new = _keyed(before, ("name",)), _keyed(after, ("name",))
    for key in [*old, *(key for key in new if key not in old)]:
        index = new[key][0] if key in new else old[key][0]
        item_before, item_after = old.get(key, (0, None))[1], new.get(key, (0, None))[1]
        if item_before != item_after:
            yield FieldChange(f"skills[{index}]", item_before, item_after)
    yield from _order("skills", old, new)


def _linked(before: Sequence[Fields], after: Sequence[Fields], *, changed: bool) -> Iterator[FieldChange]:
    old, new = _keyed(before, _LINKED), _keyed(after, _LINKED)
    for key in [*new, *(key for key in old if key not in new)]:
        item_before, item_after = old.get(key, (0, None))[1], new.get(key, (0, None))[1]
        both = item_before is not None and item_after is not None
        if (item_before is not None and "value" not in item_before) or (
            item_after is not None and "value" not in item_after
        ):
            secrecy = Secrecy.MAYBE_CHANGED if both and changed else Secrecy.SENSITIVE
            yield FieldChange(_linked_name(key), item_before, item_after, secrecy)
        elif item_before != item_after:
            yield FieldChange(_linked_name(key), item_before, item_after)
    yield from _order("linkeddata", old, new)


def linked_values(request: Fields) -> dict[str, str]:
    """Return the `linkeddata` values of a request by the names that its fields have in a difference."""
    keyed = _keyed(request.get("linkeddata", ()), _LINKED)
    return {_linked_name(key): str(item["value"]) for key, (_, item) in keyed.items()}


_Key = tuple[str | int, ...]
_Keyed = dict[_Key, tuple[int, Fields]]


def _keyed(items: Sequence[Fields], names: tuple[str, ...]) -> _Keyed:
    """Return the items by what names them and how often that came before, each with its index."""
    seen: dict[tuple[str, ...], int] = {}
    keyed: _Keyed = {}
    for index, item in enumerate(items):
        key = tuple([item.get(name, "") for name in names])
        occurrence = seen[key] = seen.get(key, -1) + 1
        keyed[(*key, occurrence)] = (index, item)
    return keyed


@lru_cache(maxsize=1024)  # the same few names stand in thousands of interactions
def _linked_name(key: _Key) -> str:
    kind, owner, name, occurrence = key
    label = f"{kind} {owner}.{name}" if owner else f"{kind} {name}" if name else f"{kind}"
    return f"{label}[{occurrence}]" if occurrence else label


def _order(name: str, old: _Keyed, new: _Keyed) -> Iterator[FieldChange]:
    """Say so where what is on both sides stands in another order: the order of a list is content."""
    if not old or not new:
        return
    before = [key for key in old if key in new]
    after = [key for key in new if key in old]
    if before != after:
        yield FieldChange(f"{name} order", [_position(key) for key in before], [_position(key) for key in after])


def _position(key: _Key) -> str:
    return _linked_name(key) if len(key) > 2 else str(key[0])  # noqa: PLR2004  # a skill's key is (name, occurrence)
