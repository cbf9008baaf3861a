"""The state as bytes: readable, diffable JSON of version 1 (docs/state.md), one interaction a line, sorted.

Pure. Shapes are checked by hand while decoding: a state is our own file, and large.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any, Final, TypeVar
from uuid import UUID

import orjson

from reconciler.errors import StateError
from reconciler.model import is_once, known_digest
from reconciler.state import Failed, Kind, Open, Pending, State, Target

VERSION: Final = 1
_SECTIONS: Final = ("interactions", "pending", "failed")
_KEYS: Final = frozenset({"version", "lineage", "serial", "target", *_SECTIONS})
_ENTRY: Final = b'\n    "'
T = TypeVar("T")


def encode(state: State) -> bytes:
    """Return the state file's bytes."""
    target = state.target and _plain_target(state.target)
    head = [
        b'"version": %d' % VERSION,
        b'"lineage": ' + orjson.dumps(state.lineage),
        b'"serial": %d' % state.serial,
        b'"target": ' + orjson.dumps(target),
    ]
    sections = [
        _section("interactions", state.interactions, _plain_open),
        _section("pending", state.pending, _plain_pending),
        _section("failed", state.failed, _plain_failed),
    ]
    return b"{\n  " + b",\n  ".join([*head, *sections]) + b"\n}\n"


def _section(name: str, entries: Mapping[str, T], plain: Callable[[T], dict[str, Any]]) -> bytes:
    if not entries:
        return b'"%b": {}' % name.encode()
    option = orjson.OPT_SORT_KEYS
    lines = [
        b"    %b: %b" % (orjson.dumps(key), orjson.dumps(plain(entries[key]), option=option)) for key in sorted(entries)
    ]
    return b'"%b": {\n%b\n  }' % (name.encode(), b",\n".join(lines))


def _plain_target(target: Target) -> dict[str, Any]:
    return {"base_url": target.base_url, "account": target.account}


def _plain_open(entry: Open) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "provider": entry.provider,
        "digest": entry.digest,
        "requestid": entry.requestid,
        "at": entry.at,
        "source": entry.source,
        "fields": entry.fields,
    }
    return _with_flags(plain, prevent_release=entry.prevent_release, settled=entry.settled)


def _plain_pending(link: Pending) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "address": link.address,
        "order": link.order,
        "kind": link.kind,
        "provider": link.provider,
        "digest": link.digest,
        "at": link.at,
        "source": link.source,
    }
    if link.fields:
        plain["fields"] = link.fields
    if link.held:
        plain["held"] = link.held
    return _with_flags(plain, prevent_release=link.prevent_release, unsent=link.unsent)


def _plain_failed(failure: Failed) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "address": failure.address,
        "action": failure.action,
        "provider": failure.provider,
        "digest": failure.digest,
        "attempts": failure.attempts,
        "first": failure.first,
        "last": failure.last,
        "reason": failure.reason,
        "source": failure.source,
    }
    if failure.earlier:
        plain["earlier"] = failure.earlier
    return _with_flags(plain, prevent_release=failure.prevent_release, resent=failure.resent)


def _with_flags(plain: dict[str, Any], **flags: bool) -> dict[str, Any]:
    """Return the entry with the flags that are set; a flag that isn't there is false."""
    plain.update({name: True for name, value in flags.items() if value})
    return plain


def decode(data: bytes, name: str) -> State:
    """Return the state; `name` is the file to blame. Raises StateError for anything but a whole state of version 1."""
    try:
        raw = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise StateError(
            f"{name}:{error.lineno}:{error.colno}: the state is not whole JSON: {error.msg}",
            hint=f"Restore it from where it is kept, or from {name}.backup, the state before the last apply.",
        ) from error
    state = _Decoder(name).state(raw)
    if data.count(_ENTRY) != len(state.interactions) + len(state.pending) + len(state.failed):
        # Not in our own layout, or a key stands twice, as a merge may leave it: the slow way tells.
        _refuse_duplicates(data, name)
    return state


def _refuse_duplicates(data: bytes, name: str) -> None:
    """Raise StateError if a key stands twice: orjson keeps the last one, and the other would be lost."""

    def pairs(entries: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in entries:
            if key in seen:
                raise StateError(
                    f"{name}: {key!r} stands twice",
                    hint="Two versions of the state were merged. Put back one that was written whole; then plan.",
                )
            seen.add(key)

    json.loads(data, object_pairs_hook=pairs)


class _Decoder:
    """Checks shapes while it builds; every message names the file and the entry."""

    def __init__(self, name: str) -> None:
        self._name = name

    def state(self, raw: Any) -> State:
        if not isinstance(raw, dict) or "version" not in raw:
            raise self._wrong("it is not a state of reconciler")
        if raw["version"] != VERSION:
            raise self._newer(raw["version"])
        if raw.keys() != _KEYS:
            odd = ", ".join(sorted(map(repr, raw.keys() ^ _KEYS)))
            raise self._wrong(f"missing or unknown at the top: {odd}")
        sections = {section: self._mapping(raw[section], section) for section in _SECTIONS}
        return State(
            lineage=self._lineage(raw["lineage"]),
            serial=self._serial(raw["serial"]),
            target=self._target(raw["target"]),
            interactions=dict(self._entries("interactions", sections["interactions"], Open)),
            pending=dict(self._entries("pending", sections["pending"], Pending)),
            failed=dict(self._entries("failed", sections["failed"], Failed)),
        )

    def _wrong(self, why: str) -> StateError:
        return StateError(
            f"{self._name}: {why}", hint=f"Restore it from where it is kept, or from {self._name}.backup."
        )

    def _newer(self, version: Any) -> StateError:
        return StateError(
            f"{self._name}: this is a state of version {version}; this reconciler reads version {VERSION}",
            hint="Use the version of reconciler that wrote it, or a newer one; `pip install --upgrade reconciler`.",
        )

    def _mapping(self, value: Any, what: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(f"{what} is not a map")
        return value

    def _lineage(self, value: Any) -> str:
        try:
            return str(UUID(value))
        except (AttributeError, TypeError, ValueError):
            raise self._wrong("lineage is not a UUID") from None

    def _serial(self, value: Any) -> int:
        if type(value) is not int or value < 0:
            raise self._wrong("serial is not a number from 0 up")
        return value

    def _target(self, value: Any) -> Target | None:
        if value is None:
            return None
        raw = self._mapping(value, "target")
        base_url, account = raw.get("base_url"), raw.get("account")
        if not isinstance(base_url, str) or not (account is None or isinstance(account, str)) or len(raw) > 2:  # noqa: PLR2004
            raise self._wrong("target is not {base_url, account}")
        return Target(base_url, account)

    def _entries(self, section: str, raw: dict[str, Any], kind: type[T]) -> Iterator[tuple[str, T]]:
        shape = _SHAPES[kind]
        required = _REQUIRED[kind]
        for key, entry in raw.items():
            if type(entry) is not dict or not required <= entry.keys() or not entry.keys() <= shape.keys():
                raise self._wrong(f"{section}: the entry of {key!r} does not hold what it should")
            for part, value in entry.items():
                if type(value) not in shape[part]:
                    raise self._wrong(f"{section}: {part} of {key!r} is of the wrong type")
            yield key, self._built(section, key, entry, kind)

    def _built(self, section: str, key: str, entry: dict[str, Any], kind: type[T]) -> T:
        if not known_digest(entry["digest"]):
            raise self._newer(f"{VERSION} with digests of scheme {entry['digest'].partition(':')[0]!r}")
        if kind is Pending:
            if entry["kind"] not in Kind or (entry["kind"] == Kind.BURN and is_once(entry["address"])):
                raise self._wrong(f"{section}: kind of {key!r} is not one of {', '.join(Kind)}")
            entry["kind"] = Kind(entry["kind"])
        if kind is Failed:
            if entry["action"] not in {"dispatch", "release"}:
                raise self._wrong(f"{section}: action of {key!r} is neither dispatch nor release")
            entry["earlier"] = tuple(entry.get("earlier", ()))
        return kind(**entry)


_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "str": (str,),
    "str | None": (str, type(None)),
    "int": (int,),
    "bool": (bool,),
    "Kind": (str,),
    "Mapping[str, Json]": (dict,),
    "tuple[str, ...]": (list,),
}
_SHAPES: Final[Mapping[type, Mapping[str, tuple[type, ...]]]] = {
    kind: {entry.name: _TYPES[str(entry.type)] for entry in fields(kind)} for kind in (Open, Pending, Failed)
}
_REQUIRED: Final[Mapping[type, frozenset[str]]] = {
    kind: frozenset(
        entry.name for entry in fields(kind) if entry.default is MISSING and entry.default_factory is MISSING
    )
    for kind in (Open, Pending, Failed)
}
