"""The state as bytes: readable, diffable JSON of version 1 (docs/state.md), one interaction a line, sorted.

Pure. Shapes are checked by hand while decoding: a state is our own file, and large.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from sys import intern
from typing import Any, Final, NamedTuple, TypeVar, get_args, get_type_hints
from uuid import UUID

import orjson

from reconciler.errors import StateError
from reconciler.interaction import LINKED_BY, NO_FIELDS, is_once, known_digest, packed
from reconciler.state.model import ApiAction, Failed, Kind, Open, Pending, State, Target

VERSION: Final = 1
_SECTIONS: Final = ("interactions", "pending", "failed")
_KEYS: Final = frozenset({"version", "lineage", "serial", "target", *_SECTIONS})
LAST_SERIAL: Final = 2**53 - 1
"""The largest whole number that every JSON tool carries."""
_SECTION: Final = re.compile(rb'(\n  "(%b)": \{)((?:\n    .*+)*+)' % "|".join(_SECTIONS).encode())
_ENTRY: Final = re.compile(rb"\n    (.*)")
_CONFLICT: Final = re.compile(rb"^<{7} ", re.MULTILINE)
_TOKENS: Final = re.compile(rb'(?P<key>"[^"\\]*(?:\\.[^"\\]*)*")\s*:|"[^"\\]*(?:\\.[^"\\]*)*"|[{}]')
_MERGED: Final = "Two versions of the state were merged. Put back one that was written whole; then plan."
_PIECE: Final = 1 << 16
_LINES: Final = 100
_KINDS: Final = frozenset(Kind)
T = TypeVar("T")


class Prepared:
    """Lines of open interactions, encoded before they are saved; each counts only for the very entry it was made of."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Open, bytes]] = {}

    def prepare(self, opened: Mapping[str, Open]) -> None:
        """Encode entries that will be saved soon, by address."""
        self._made.update((address, (entry, _open_line(address, entry))) for address, entry in opened.items())

    def line(self, address: str, entry: Open) -> bytes:
        """Return the line of an entry, which may have been made already."""
        made = self._made.get(address)
        return made[1] if made is not None and made[0] is entry else _open_line(address, entry)


def encode(state: State, prepared: Prepared | None = None) -> Iterator[bytes]:
    """Yield the state file's bytes in pieces of some size: memory that is used again costs less than fresh memory.

    Raises StateError, before the first piece, where no serial is left, or none for the outcome of what is pending.
    """
    if state.serial + bool(state.pending) > LAST_SERIAL:
        raise StateError(
            f"the state has come to its last serial, {LAST_SERIAL}",
            hint="Nobody counts so far. Set serial to 0 in the file, then",
            command=("state", "new-lineage"),
        )
    piece = bytearray()
    for part in _parts(state, prepared.line if prepared else _open_line):
        piece += part
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def _parts(state: State, open_line: Callable[[str, Open], bytes]) -> Iterator[bytes]:
    yield b'{\n  "version": %d,\n  "lineage": %b,\n' % (VERSION, orjson.dumps(state.lineage))
    yield b'  "serial": %d,\n  "target": %b' % (state.serial, orjson.dumps(state.target))
    yield from _section("interactions", state.interactions, open_line)
    yield from _section("pending", state.pending, _pending_line)
    yield from _section("failed", state.failed, _failed_line)
    yield b"\n}\n"


def _section(name: str, entries: Mapping[str, T], line: Callable[[str, T], bytes]) -> Iterator[bytes]:
    yield b',\n  "%b": {' % name.encode()
    keys = sorted(entries)
    for start in range(0, len(keys), _LINES):
        yield (b"," if start else b"") + b",".join([line(key, entries[key]) for key in keys[start : start + _LINES]])
    yield b"\n  }" if keys else b"}"


def _line(key: str, plain: dict[str, Any]) -> bytes:
    return b"\n    %b: %b" % (orjson.dumps(key), orjson.dumps(plain))


# Keys in their order, for having orjson sort them takes as long as writing them. A flag that isn't there is false.


def _open_line(address: str, entry: Open) -> bytes:
    provider, digest, requestid, at, source, fields, prevent_release, settled = entry
    plain: dict[str, Any] = {"at": at, "digest": digest, "fields": orjson.Fragment(fields)}
    if prevent_release:
        plain["prevent_release"] = True
    plain["provider"] = provider
    plain["requestid"] = requestid
    if settled:
        plain["settled"] = True
    plain["source"] = source
    return _line(address, plain)


def _pending_line(requestid: str, link: Pending) -> bytes:
    address, order, kind, provider, digest, at, source, fields, prevent_release, unsent, held = link
    plain: dict[str, Any] = {"address": address, "at": at, "digest": digest}
    if fields != NO_FIELDS:
        plain["fields"] = orjson.Fragment(fields)
    if held:
        plain["held"] = held
    plain["kind"] = kind
    plain["order"] = order
    if prevent_release:
        plain["prevent_release"] = True
    plain["provider"] = provider
    plain["source"] = source
    if unsent:
        plain["unsent"] = True
    return _line(requestid, plain)


def _failed_line(requestid: str, failure: Failed) -> bytes:
    left_out = {"earlier", "prevent_release", "resent"}
    parts = sorted(failure._asdict().items())  # slower than above, but few requests fail
    return _line(requestid, {part: value for part, value in parts if value or part not in left_out})


def decode(data: bytes, name: str) -> State:
    """Return the state; `name` is the file to blame. Raises StateError for anything but a whole state of version 1."""
    with suppress(StateError, TypeError, ValueError):  # no error yet: somebody's tool may have laid it out anew
        state = _Decoder(name).state(_by_line(data))
        if _is_written_so(state, data):
            return state
    raw = _whole(data, name)
    _refuse_duplicates(data, name)
    return _Decoder(name).state(raw)


def _is_written_so(state: State, data: bytes) -> bool:
    """Whether these are the very bytes of the state: then nothing in them was misread, and no key stands twice."""
    position = 0
    for piece in encode(state):
        if not data.startswith(piece, position):
            return False
        position += len(piece)
    return position == len(data)


def _by_line(data: bytes) -> dict[str, Any]:
    """Return the raw state, read as if we had written it; what comes of another layout is anything, or a ValueError."""
    raw = orjson.loads(_SECTION.sub(rb"\1", data))
    return {**raw, **{section[2].decode(): _Lines(data, *section.span(3)) for section in _SECTION.finditer(data)}}


class _Lines(NamedTuple):
    """A section's entries, decoded one by one: all at once, 100,000 of them would take 400 MB."""

    data: bytes
    start: int
    end: int

    def items(self) -> Iterator[tuple[str, Any]]:
        for line in _ENTRY.finditer(self.data, self.start, self.end):
            [entry] = orjson.loads(b"{%b}" % line[1].removesuffix(b",")).items()
            yield entry


def _whole(data: bytes, name: str) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        if conflict := _CONFLICT.search(data):
            raise StateError(
                f"{name}:{_line_number(data, conflict.start())}: a merge conflict stands in the state", hint=_MERGED
            ) from error
        raise StateError(
            f"{name}:{error.lineno}:{error.colno}: the state is not whole JSON: {error.msg}",
            hint=f"Restore it from where it is kept, or from {name}.backup, the state before the last apply.",
        ) from error


def _refuse_duplicates(data: bytes, name: str) -> None:
    """Raise StateError if a key stands twice in one map of valid JSON: parsers keep the last, and the other is lost."""
    maps: list[dict[str, int]] = []
    for token in _TOKENS.finditer(data):
        if token[0] == b"{":
            maps.append({})
        elif token[0] == b"}":
            maps.pop()
        elif key := token["key"]:
            first = maps[-1].setdefault(orjson.loads(key), token.start())
            if first != token.start():
                line, other = _line_number(data, token.start()), _line_number(data, first)
                said = f"{name}:{line}: {orjson.loads(key)!r} stands twice, the first time in line {other}"
                raise StateError(said, hint=_MERGED)


def _line_number(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


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
            serial=self._count(raw["serial"], "serial"),
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
            hint="Use the version of reconciler that wrote it, or a newer one.",
        )

    def _mapping(self, value: Any, what: str) -> Any:
        if not isinstance(value, dict | _Lines):
            raise self._wrong(f"{what} is not a map")
        return value

    def _lineage(self, value: Any) -> str:
        try:
            return str(UUID(value))
        except (AttributeError, TypeError, ValueError):
            raise self._wrong("lineage is not a UUID") from None

    def _count(self, value: Any, what: str) -> int:
        if type(value) is not int or not 0 <= value <= LAST_SERIAL:
            raise self._wrong(f"{what} is not a whole number from 0 to {LAST_SERIAL}")
        return value

    def _target(self, value: Any) -> Target | None:
        if value is None:
            return None
        raw = self._mapping(value, "target")
        base_url, account = raw.get("base_url"), raw.get("account")
        known = raw.keys() <= {"base_url", "account"}
        if not (known and isinstance(base_url, str) and isinstance(account, str | None)):
            raise self._wrong("target is not {base_url, account}")
        return Target(base_url, account)

    def _entries(self, section: str, raw: dict[str, Any] | _Lines, kind: Callable[..., T]) -> Iterator[tuple[str, T]]:
        shape, required = _SHAPES[kind], _REQUIRED[kind]
        for key, entry in raw.items():
            if type(entry) is not dict or not required <= entry.keys() <= shape.keys():
                raise self._wrong(f"{section}: the entry of {key!r} does not hold what it should")
            for part, value in entry.items():
                if type(value) not in shape[part]:
                    raise self._wrong(f"{section}: {part} of {key!r} is of the wrong type")
            self._read(section, key, entry)
            yield key, kind(**entry)

    def _read(self, section: str, key: str, entry: dict[str, Any]) -> None:
        """Put what the parts of an entry mean in place of how they are written."""
        if not known_digest(entry["digest"]):
            raise self._newer(f"{VERSION} with digests of scheme {entry['digest'].partition(':')[0]!r}")
        if section == "pending":
            self._read_pending(key, entry)
        elif section == "failed":
            self._read_failed(key, entry)
        if "fields" in entry:
            entry["fields"] = self._fields(section, key, entry["fields"])
        for part in ("provider", "at"):
            if value := entry.get(part):
                entry[part] = intern(value)  # it stands in many entries

    def _read_pending(self, key: str, entry: dict[str, Any]) -> None:
        if entry["kind"] not in _KINDS or (entry["kind"] == Kind.BURN and is_once(entry["address"])):
            raise self._wrong(f"pending: kind of {key!r} is not one of {', '.join(Kind)}")
        entry["kind"] = Kind(entry["kind"])
        self._count(entry["order"], f"pending: order of {key!r}")
        if not _is_time(entry["at"]):
            raise self._wrong(f"pending: at of {key!r} is not a time with its zone")

    def _read_failed(self, key: str, entry: dict[str, Any]) -> None:
        if entry["action"] not in get_args(ApiAction):
            raise self._wrong(f"failed: action of {key!r} is neither dispatch nor release")
        self._count(entry["attempts"], f"failed: attempts of {key!r}")
        entry["earlier"] = tuple(entry.get("earlier", ()))
        if not all(type(earlier) is str for earlier in entry["earlier"]):
            raise self._wrong(f"failed: earlier of {key!r} is of the wrong type")

    def _fields(self, section: str, key: str, value: dict[str, Any]) -> bytes:
        if not _well_formed(value):
            raise self._wrong(f"{section}: fields of {key!r} are not those of an interaction")
        try:
            return packed(value)
        except TypeError:
            raise self._wrong(f"{section}: fields of {key!r} nest too deep") from None


def _is_time(text: str) -> bool:
    """Whether it can be reckoned with."""
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _well_formed(fields: dict[str, Any]) -> bool:
    """Whether the `linkeddata` items can be told apart; a difference takes all else as it comes."""
    items = fields.get("linkeddata", [])
    if type(items) is not list:
        return False
    for item in items:
        if type(item) is not dict:
            return False
        for part in LINKED_BY:
            if type(item.get(part, "")) is not str:
                return False
    return True


_TYPES: Final[Mapping[Any, tuple[type, ...]]] = {
    str: (str,),
    str | None: (str, type(None)),
    int: (int,),
    bool: (bool,),
    ApiAction: (str,),
    Kind: (str,),
    bytes: (dict,),
    tuple[str, ...]: (list,),
}
_SHAPES: Final[Mapping[Any, Mapping[str, tuple[type, ...]]]] = {
    kind: {name: _TYPES[hint] for name, hint in get_type_hints(kind).items()} for kind in (Open, Pending, Failed)
}
_REQUIRED: Final[Mapping[Any, frozenset[str]]] = {
    kind: frozenset(kind._fields) - kind._field_defaults.keys() for kind in (Open, Pending, Failed)
}
