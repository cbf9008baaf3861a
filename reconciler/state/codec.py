"""The state as bytes: readable, diffable JSON of version 2 (docs/state.md), one interaction a line, sorted.

Pure. What ends with the checksum of all before it was written here, and is taken at its word. Of anything else, which a
person or a merge made, shapes are checked, by hand: a state is our own file, and large. Version 1 had no checksum, and
lacked what is absent from `_VERSION_1`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from hashlib import blake2b
from sys import intern
from typing import Any, Final, NamedTuple, TypeVar, get_args, get_type_hints
from uuid import UUID

import orjson

from reconciler.errors import StateError
from reconciler.interaction import LINKED_BY, NO_FIELDS, is_once, known_digest, packed
from reconciler.state.entries import VERSION, Entries, line, newer, open_line, unknown_scheme
from reconciler.state.model import ApiAction, Applied, Failed, Kind, Open, Pending, Run, State, Target

_SECTIONS: Final = ("interactions", "pending", "failed")
_VERSION_1: Final = frozenset({"version", "lineage", "serial", "target", *_SECTIONS})
_KEYS: Final = _VERSION_1 | {"applied", "reader", "seals", "stones", "history", "checksum"}
_CHECKSUM: Final = b',\n  "checksum": "%b"\n}\n'
_CHECKSUM_SIZE: Final = 16
_CHECKSUM_BYTES: Final = len(_CHECKSUM % (b"0" * 2 * _CHECKSUM_SIZE))
LAST_SERIAL: Final = 2**53 - 1
"""The largest whole number that every JSON tool carries."""
_SECTION: Final = re.compile(rb'(\n  "(%b)": \{)((?:\n    .*+)*+)' % "|".join(_SECTIONS).encode())
_ENTRY: Final = re.compile(rb"\n    (.*)")
_CONFLICT: Final = re.compile(rb"^<{7} ", re.MULTILINE)
_TOKENS: Final = re.compile(rb'(?P<key>"[^"\\]*(?:\\.[^"\\]*)*")\s*:|"[^"\\]*(?:\\.[^"\\]*)*"|[{}]')
_MERGED: Final = "Two versions of the state were merged. Put back one that was written whole; then plan."
_NOTHING_MADE: Final = (None, b"")
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
        self._made.update((address, (entry, open_line(address, entry))) for address, entry in opened.items())

    def lines(self, entries: Mapping[str, Open]) -> Callable[[str], bytes]:
        """Return what gives the line of an address: as it was read, as it was made already, or new."""
        as_read = entries.line if isinstance(entries, Entries) else lambda _: None

        def line_of(address: str) -> bytes:
            if read := as_read(address):
                return read
            entry, (prepared, made) = entries[address], self._made.get(address, _NOTHING_MADE)
            return made if prepared is entry else open_line(address, entry)

        return line_of


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
    piece, checksum = bytearray(), blake2b(digest_size=_CHECKSUM_SIZE)
    for part in _parts(state, prepared or Prepared()):
        piece += part
        if len(piece) >= _PIECE:
            checksum.update(piece)
            yield bytes(piece)
            piece.clear()
    checksum.update(piece)
    yield bytes(piece) + _CHECKSUM % checksum.hexdigest().encode()


def _parts(state: State, prepared: Prepared) -> Iterator[bytes]:
    yield b'{\n  "version": %d,\n  "lineage": %b,\n' % (VERSION, orjson.dumps(state.lineage))
    yield b'  "serial": %d,\n  "target": %b,\n' % (state.serial, orjson.dumps(state.target))
    applied = state.applied and state.applied._asdict()
    yield b'  "applied": %b,\n  "reader": %b' % (orjson.dumps(applied), orjson.dumps(state.reader))
    pending, failed, seals = state.pending, state.failed, state.seals
    yield from _section("interactions", state.interactions, prepared.lines(state.interactions))
    yield from _section("pending", pending, lambda requestid: _pending_line(requestid, pending[requestid]))
    yield from _section("failed", failed, lambda requestid: _failed_line(requestid, failed[requestid]))
    yield from _section("seals", seals, lambda file: line(file, seals[file]))
    yield b',\n  "stones": {},\n  "history": ['
    yield b",".join(b"\n    %b" % orjson.dumps(_without_defaults(run)) for run in state.history)
    yield b"\n  ]" if state.history else b"]"


def _section(name: str, entries: Mapping[str, Any], line_of: Callable[[str], bytes]) -> Iterator[bytes]:
    yield b',\n  "%b": {' % name.encode()
    keys = sorted(entries)
    for start in range(0, len(keys), _LINES):
        yield (b"," if start else b"") + b",".join(map(line_of, keys[start : start + _LINES]))
    yield b"\n  }" if keys else b"}"


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
    return line(requestid, plain)


def _failed_line(requestid: str, failure: Failed) -> bytes:
    return line(requestid, _without_defaults(failure))  # slower than above, but few requests fail


def _without_defaults(entry: Failed | Run) -> dict[str, Any]:
    """Return an entry's parts in order of their names, those left out that say nothing."""
    usual = entry._field_defaults
    return {part: value for part, value in sorted(entry._asdict().items()) if value != usual.get(part, _NOTHING_MADE)}


def decode(data: bytes, name: str) -> State:
    """Return the state; `name` is the file to blame. Raises StateError for anything but a whole state."""
    if _is_checked(data):
        return _Decoder(name).state(_by_line(data, name))
    raw = _whole(data, name)
    _refuse_duplicates(data, name)
    return _Decoder(name).state(raw)


def _is_checked(data: bytes) -> bool:
    """Whether these are bytes as they were once written: then no shape in them is wrong, and no key stands twice."""
    end = len(data) - _CHECKSUM_BYTES
    checksum = blake2b(memoryview(data)[: max(end, 0)], digest_size=_CHECKSUM_SIZE)
    return data.endswith(_CHECKSUM % checksum.hexdigest().encode())


def _by_line(data: bytes, name: str) -> dict[str, Any]:
    """Return the raw state of bytes as they are written, its sections to be read line by line."""
    kept, sections, last = [], {}, 0
    for section in _SECTIONS:
        head = b'\n  "%b": {' % section.encode()
        start = data.index(head, last) + len(head)
        end = start if data.startswith(b"}", start) else data.index(b"\n  }", start)
        kept.append(data[last:start])
        sections[section] = (start, end)
        last = end
    raw = orjson.loads(b"".join([*kept, data[last:]]))
    lines = {section: _Lines(data, *sections[section]) for section in _SECTIONS}
    return {**raw, **lines, "interactions": Entries.of_lines(data, *sections["interactions"], name)}


class _Lines(NamedTuple):
    """A section's entries, decoded one by one: all at once, 100,000 of them would take 400 MB."""

    data: bytes
    start: int
    end: int

    def items(self) -> Iterator[tuple[str, Any]]:
        for found in _ENTRY.finditer(self.data, self.start, self.end):
            [entry] = orjson.loads(b"{%b}" % found[1].removesuffix(b",")).items()
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
        version, keys = raw["version"], _KEYS
        if version == 1 and type(version) is int:
            keys = _VERSION_1
        elif version != VERSION:
            raise newer(self._name, version)
        if raw.keys() != keys:
            odd = ", ".join(sorted(map(repr, raw.keys() ^ keys)))
            raise self._wrong(f"missing or unknown at the top: {odd}")
        if raw.get("stones"):
            raise newer(self._name, f"{VERSION} with stones")
        return State(
            lineage=self._lineage(raw["lineage"]),
            serial=self._count(raw["serial"], "serial"),
            target=self._target(raw["target"]),
            interactions=self._interactions(raw["interactions"]),
            pending=dict(self._entries("pending", raw["pending"], Pending)),
            failed=dict(self._entries("failed", raw["failed"], Failed)),
            applied=self._applied(raw.get("applied")),
            reader=self._text(raw.get("reader", ""), "reader"),
            seals=self._seals(raw.get("seals", {})),
            history=self._history(raw.get("history", [])),
        )

    def _wrong(self, why: str) -> StateError:
        return StateError(
            f"{self._name}: {why}", hint=f"Restore it from where it is kept, or from {self._name}.backup."
        )

    def _text(self, value: Any, what: str) -> str:
        if type(value) is not str:
            raise self._wrong(f"{what} is not a text")
        return value

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

    def _interactions(self, raw: Any) -> Mapping[str, Open]:
        return raw if isinstance(raw, Entries) else dict(self._entries("interactions", raw, Open))

    def _applied(self, raw: Any) -> Applied | None:
        return None if raw is None else self._entry("applied", "", raw, Applied)

    def _seals(self, raw: Any) -> Mapping[str, str]:
        seals: dict[str, str] = self._mapping(raw, "seals")
        if not {str}.issuperset(map(type, seals.values())):
            raise self._wrong("seals are not texts")
        return seals

    def _history(self, raw: Any) -> tuple[Run, ...]:
        if type(raw) is not list:
            raise self._wrong("history is not a list")
        runs = tuple(self._entry("history", number, run, Run) for number, run in enumerate(raw, start=1))
        if not all(type(number) is int for run in runs for number in run.counts.values()):
            raise self._wrong("history: counts are not numbers")
        return runs

    def _entries(self, section: str, raw: Any, kind: Callable[..., T]) -> Iterator[tuple[str, T]]:
        for key, entry in self._mapping(raw, section).items():
            yield key, self._entry(section, key, entry, kind)

    def _entry(self, section: str, key: object, entry: Any, kind: Callable[..., T]) -> T:
        shape, required = _SHAPES[kind], _REQUIRED[kind]
        if type(entry) is not dict or not required <= entry.keys() <= shape.keys():
            raise self._wrong(f"{section}: the entry of {key!r} does not hold what it should")
        for part, value in entry.items():
            if type(value) not in shape[part]:
                raise self._wrong(f"{section}: {part} of {key!r} is of the wrong type")
        if section in _SECTIONS:
            self._read(section, str(key), entry)
        return kind(**entry)

    def _read(self, section: str, key: str, entry: dict[str, Any]) -> None:
        """Put what the parts of an entry mean in place of how they are written."""
        if not known_digest(entry["digest"]):
            raise unknown_scheme(self._name, entry["digest"])
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
    Mapping[str, int]: (dict,),
    tuple[str, ...]: (list,),
}
_KINDS_OF_ENTRY: Final[tuple[Any, ...]] = (Open, Pending, Failed, Applied, Run)
_SHAPES: Final[Mapping[Any, Mapping[str, tuple[type, ...]]]] = {
    kind: {name: _TYPES[hint] for name, hint in get_type_hints(kind).items()} for kind in _KINDS_OF_ENTRY
}
_REQUIRED: Final[Mapping[Any, frozenset[str]]] = {
    kind: frozenset(kind._fields) - kind._field_defaults.keys() for kind in _KINDS_OF_ENTRY
}
