"""Open interactions as they are written, a line each; one that was read stays its line until it is looked at.

Pure. So a state of any size is read in a moment, and saved without writing anew what nobody changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, KeysView, Mapping, MutableMapping
from typing import Any, Final

import orjson

from reconciler.errors import StateError
from reconciler.interaction import known_digest, packed
from reconciler.state.model import Open

VERSION: Final = 2
_SOURCE: Final = b'"source":'
_LINE: Final = re.compile(rb'\n    ("[^"\\]*+(?:\\.[^"\\]*+)*+"): ')


def line(key: str, plain: object) -> bytes:
    """Return an entry's line, with the newline before it."""
    return b"\n    %b: %b" % (orjson.dumps(key), orjson.dumps(plain))


def open_line(address: str, entry: Open) -> bytes:
    """Return the line of an open interaction: keys in their order; a flag that isn't there is false."""
    provider, digest, requestid, at, source, fields, prevent_release, settled = entry
    plain: dict[str, Any] = {"at": at, "digest": digest, "fields": orjson.Fragment(fields)}
    if prevent_release:
        plain["prevent_release"] = True
    plain["provider"] = provider
    plain["requestid"] = requestid
    if settled:
        plain["settled"] = True
    plain["source"] = source
    return line(address, plain)


class Entries(MutableMapping[str, Open]):
    """Open interactions by address: those of a file as places in its bytes, `data`, and what was put there since.

    The lines must be as `open_line` makes them. A digest that can't be compared is found when its entry is looked at.
    """

    __slots__ = ("_data", "_kept", "_name")

    def __init__(self, data: bytes, name: str, kept: dict[str, int | Open]) -> None:
        self._data, self._name, self._kept = data, name, kept

    @classmethod
    def of_lines(cls, data: bytes, start: int, end: int, name: str) -> Entries:
        """Return the entries whose lines stand between two places; `name` is the file to blame."""
        kept: dict[str, int | Open] = {_address(found[1]): found.start() for found in _LINE.finditer(data, start, end)}
        return cls(data, name, kept)

    def __copy__(self) -> Entries:
        return Entries(self._data, self._name, self._kept.copy())

    def __getitem__(self, address: str) -> Open:
        kept = self._kept[address]
        return self._read(kept) if type(kept) is int else kept  # type: ignore[return-value]

    def __setitem__(self, address: str, entry: Open) -> None:
        self._kept[address] = entry

    def __delitem__(self, address: str) -> None:
        del self._kept[address]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, address: object) -> bool:
        return address in self._kept

    def keys(self) -> KeysView[str]:
        """Return the addresses."""
        return self._kept.keys()

    def line(self, address: str) -> bytes | None:
        """Return the line that an entry was read from; None for what was put there since."""
        kept = self._kept[address]
        return self._line(kept) if type(kept) is int else None

    def source(self, address: str) -> str:
        """Return the file of an entry, which stands last in its line."""
        kept = self._kept[address]
        if type(kept) is not int:
            return kept.source  # type: ignore[union-attr]
        line = self._line(kept)
        found: str = orjson.loads(line[line.rindex(_SOURCE) + len(_SOURCE) : -1])
        return found

    def _line(self, start: int) -> bytes:
        return self._data[start : self._data.index(b"\n", start + 1)].removesuffix(b",")

    def _read(self, start: int) -> Open:
        [plain] = orjson.loads(b"{%b}" % self._line(start)).values()
        if not known_digest(plain["digest"]):
            raise unknown_scheme(self._name, plain["digest"])
        plain["fields"] = packed(plain["fields"])
        return Open(**plain)


def line_of(entries: Mapping[str, Open], address: str) -> bytes:
    """Return the line of an entry, as it was read or is to be written."""
    read = entries.line(address) if isinstance(entries, Entries) else None
    return read or open_line(address, entries[address])


def by_source(entries: Mapping[str, Open]) -> dict[str, list[str]]:
    """Return the addresses of each file."""
    found: dict[str, list[str]] = {}
    source_of = entries.source if isinstance(entries, Entries) else lambda address: entries[address].source
    for address in entries:
        source = source_of(address)
        if source in found:
            found[source].append(address)
        else:
            found[source] = [address]
    return found


def _address(key: bytes) -> str:
    address: str = orjson.loads(key) if b"\\" in key else key[1:-1].decode()
    return address


def holding(entries: Mapping[str, Open], pattern: re.Pattern[bytes]) -> Iterator[tuple[str, Open]]:
    """Yield the entries whose fields hold what the pattern says, with their addresses."""
    for address in entries:
        found = entries.line(address) if isinstance(entries, Entries) else None
        if (found is None or pattern.search(found)) and pattern.search(entries[address].fields):
            yield address, entries[address]


def unknown_scheme(name: str, digest: str) -> StateError:
    """Return the error for a digest that a later version made."""
    return newer(name, f"{VERSION} with digests of scheme {digest.partition(':')[0]!r}")


def newer(name: str, version: object) -> StateError:
    """Return the error for what a later version wrote."""
    return StateError(
        f"{name}: this is a state of version {version}; this reconciler reads versions 1 and {VERSION}",
        hint="Use the version of reconciler that wrote it, or a newer one.",
    )
