"""What a disk may hold after a power cut, told from the events of a run: the worst that POSIX allows.

Pure. What a file holds is durable once the file was fsynced; a name that was made, moved or removed, once the folder
was. Until then any part of it may have happened, or none.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations

from tests.crash.driver import Event

Files = Mapping[str, bytes]
_ALL_SUBSETS = 3


@dataclass
class _File:
    durable: bytes
    current: bytes


@dataclass
class Disk:
    """A folder with what is written and what is durable; `names` are None where a file was removed."""

    names: dict[str, _File] = field(default_factory=dict)
    _safe: dict[str, _File] = field(default_factory=dict)
    _loose: list[dict[str, _File | None]] = field(default_factory=list)

    @classmethod
    def of(cls, files: Files) -> Disk:
        """Return a disk on which the files are durable."""
        names = {name: _File(data, data) for name, data in files.items()}
        return cls(names, dict(names))

    def run(self, events: Iterable[Event]) -> Disk:
        """Let the events happen, and return the disk."""
        for event in events:
            if not event.name.endswith(".lock"):
                self._happen(event)
        return self

    def _happen(self, event: Event) -> None:
        match event.op:
            case "open":
                self._open(event)
            case "pwrite":
                file = self.names[event.name]
                padded = file.current.ljust(event.offset, b"\0")
                file.current = padded[: event.offset] + event.data + padded[event.offset + len(event.data) :]
            case "ftruncate":
                file = self.names[event.name]
                file.current = file.current.ljust(event.offset, b"\0")[: event.offset]
            case "fsync":
                self._fsync(event.name)
            case "link":
                self._name({event.other: self.names[event.name]})
            case "rename" if self.names[event.name] is not self.names.get(
                event.other
            ):  # else nothing happens, by POSIX
                self._name({event.other: self.names[event.name], event.name: None})
            case "unlink" if event.name in self.names:
                self._name({event.name: None})

    def _open(self, event: Event) -> None:
        if event.name not in self.names:
            self._name({event.name: _File(b"", b"")})
        elif event.truncated:
            self.names[event.name].current = b""

    def _fsync(self, name: str) -> None:
        if name != ".":
            self.names[name].durable = self.names[name].current
            return
        self._safe = dict(self.names)
        self._loose.clear()

    def _name(self, change: dict[str, _File | None]) -> None:
        self._loose.append(change)
        _rename(self.names, change)

    def current(self) -> Files:
        """Return what is on the disk if nothing is lost."""
        return {name: file.current for name, file in self.names.items()}

    def after_power_cut(self, seed: int) -> Iterator[Files]:
        """Yield each disk that may be found after a power cut now; torn files are cut at places drawn from the seed."""
        for happened in _subsets(self._loose):
            names = dict(self._safe)
            for change in happened:
                _rename(names, change)
            yield {name: file.durable for name, file in names.items()}
            yield {name: file.current for name, file in names.items()}
            yield {name: _torn(file, seed) for name, file in names.items()}


def _rename(names: dict[str, _File], change: Mapping[str, _File | None]) -> None:
    for name, file in change.items():
        if file is None:
            names.pop(name, None)
        else:
            names[name] = file


def _subsets(changes: list[dict[str, _File | None]]) -> Iterator[tuple[dict[str, _File | None], ...]]:
    """Yield every subset of a few changes; of many, every beginning and every single one."""
    if len(changes) <= _ALL_SUBSETS:
        for size in range(len(changes) + 1):
            yield from combinations(changes, size)
        return
    for size in range(len(changes) + 1):
        yield tuple(changes[:size])
    for change in changes:
        yield (change,)


def _torn(file: _File, seed: int) -> bytes:
    """Return the file with a part of what was written since it was durable."""
    if file.durable == file.current:
        return file.current
    start = next(
        (n for n, (old, new) in enumerate(zip(file.durable, file.current, strict=False)) if old != new),
        min(len(file.durable), len(file.current)),
    )
    return file.current[: random.Random(seed).randint(start, max(start, len(file.current) - 1))]  # noqa: S311
