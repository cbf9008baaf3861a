"""Which files need not be read: those that are, with all that is open of them, as they were when they were last read.

Pure. A seal is a hash over all that reading a file and comparing it depends on, keyed with the state's lineage: a short
value can't be guessed from it. It stands in the state beside the entries that it is about (docs/reliability.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from hashlib import blake2b
from typing import Final, NamedTuple

from reconciler.state.entries import by_source, line_of
from reconciler.state.model import Open, State
from reconciler.yamlfile.reader import libyaml_version

READER: Final = 7
"""Of what reads and compares declarations; a test says when it must grow."""
_SIZE: Final = 16


def reader() -> str:
    """Return what reads declarations here, as a state keeps it."""
    return f"{READER} libyaml {libyaml_version()}"


class Content(NamedTuple):
    """The bytes of a file, by their number and a hash."""

    size: int
    digest: bytes

    @classmethod
    def of(cls, data: bytes) -> Content:
        """Return the content of these bytes."""
        return cls(len(data), blake2b(data, digest_size=2 * _SIZE).digest())


class Seals:
    """The seals of a state; `rules` are all of the configuration that reading and comparing depend on."""

    def __init__(self, state: State, rules: bytes) -> None:
        self._entries = state.interactions
        self._head = blake2b(key=state.lineage.encode(), digest_size=_SIZE)
        self._head.update(b"%b\n%d %b" % (reader().encode(), len(rules), rules))
        self._by_source = by_source(state.interactions)
        for source in _in_doubt(state):
            self._by_source.pop(source, None)
        self._known = state.seals if state.reader == reader() else {}

    @property
    def any(self) -> bool:
        """Whether there are any to hold files against."""
        return bool(self._known)

    def fits(self, name: str, data: bytes) -> bool:
        """Whether a file is sealed as it is."""
        known = self._known.get(name)
        return known is not None and name in self._by_source and known == self.seal(name, Content.of(data))

    def sealed(self, name: str) -> bool:
        """Whether there is a seal that a file may fit."""
        return name in self._known and name in self._by_source

    def seal(self, name: str, content: Content) -> str:
        """Return the seal of a file with this content; something of it is open, and nothing in doubt."""
        seal, encoded = self._head.copy(), name.encode()
        seal.update(b"\n%d %b\n%d %b" % (len(encoded), encoded, content.size, content.digest))
        seal.update(b"".join([line_of(self._entries, address) for address in sorted(self._by_source[name])]))
        return seal.hexdigest()

    def addresses(self, names: Iterable[str]) -> frozenset[str]:
        """Return what is open of files."""
        return frozenset(address for name in names for address in self._by_source[name])

    def entries(self, addresses: Iterable[str]) -> Iterator[tuple[str, Open]]:
        """Yield what the state holds of each address."""
        return ((address, self._entries[address]) for address in addresses)

    def renewed(
        self, kept: Iterable[str], contents: Mapping[str, Content], declared: Mapping[str, Collection[str]]
    ) -> dict[str, str]:
        """Return the seals that a state is to have: those of files that fitted, and those of files that were read.

        `declared` are the addresses of each file of which all are open as declared; what else of it is open, is
        declared elsewhere or no more. `contents` are those of the files without a warning.
        """
        made = {
            name: self.seal(name, contents[name])
            for name, addresses in declared.items()
            if name in contents and set(self._by_source.get(name, ())) == set(addresses)
        }
        return {name: self._known[name] for name in kept} | made


def _in_doubt(state: State) -> set[str]:
    """Return the files of what is open and has a request pending or failed."""
    addresses = {link.address for link in state.pending.values()}
    addresses.update(failure.address for failure in state.failed.values())
    opened = (state.interactions.get(address) for address in addresses)
    return {entry.source for entry in opened if entry}
