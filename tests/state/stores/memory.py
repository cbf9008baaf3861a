"""A place that several share, in memory: honest by itself, and as dishonest as a test wants it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from reconciler.state.stores.interface import Found, Objects, Put, Refused, Unclear


@dataclass
class Memory:
    """The objects of one place, each with its version, for any number of runs."""

    objects: dict[str, Found] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    versions: int = 0


class MemoryObjects:
    """One run's way to it."""

    place = "memory:test"

    def __init__(self, memory: Memory) -> None:
        self.memory = memory

    def get(self, name: str) -> Found | None:
        """See Objects."""
        with self.memory.lock:
            return self.memory.objects.get(name)

    def put(self, name: str, body: bytes, expected: object | None) -> object:
        """See Objects."""
        with self.memory.lock:
            there = self.memory.objects.get(name)
            if (there.version if there else None) != expected:
                raise Refused
            self.memory.versions += 1
            self.memory.objects[name] = Found(body, self.memory.versions)
            return self.memory.versions

    def names(self, start: str) -> list[str]:
        """See Objects."""
        with self.memory.lock:
            return [name for name in self.memory.objects if name.startswith(start)]

    def remove(self, names: Sequence[str]) -> None:
        """See Objects."""
        with self.memory.lock:
            for name in names:
                self.memory.objects.pop(name, None)


class MemoryTogether(MemoryObjects):
    """The same, where several objects are written by one call."""

    def put_all(self, puts: Sequence[Put]) -> list[object]:
        """See Together."""
        with self.memory.lock:
            there = self.memory.objects
            if any((found.version if (found := there.get(put.name)) else None) != put.expected for put in puts):
                raise Refused
        return [self.put(put.name, put.body, put.expected) for put in puts]


Answer = Callable[[Objects, Put], object]
"""What a dishonest place does about a write, given the honest one below it."""


class Scripted:
    """A place that does about each write what `script` says, one after the other; then it is honest."""

    def __init__(self, objects: Objects, script: Iterator[Answer | None]) -> None:
        self.objects = objects
        self.script = script
        self.place = objects.place
        self.names = objects.names
        self.remove = objects.remove
        self.get = objects.get

    def put(self, name: str, body: bytes, expected: object | None) -> object:
        """See Objects."""
        answer = next(self.script, None) or honest
        return answer(self.objects, Put(name, body, expected))


def honest(objects: Objects, put: Put) -> object:
    """Do as told."""
    return objects.put(put.name, put.body, put.expected)


def lost_answer(objects: Objects, put: Put) -> object:
    """Write, and say nothing: a connection that ends, or a 500, after it landed."""
    honest(objects, put)
    raise Unclear("no answer")


def lost_request(_objects: Objects, _put: Put) -> object:
    """Say nothing, and write nothing."""
    raise Unclear("no answer")


def refused_after_landing(objects: Objects, put: Put) -> object:
    """Refuse what landed: a client that tried again met its own write."""
    honest(objects, put)
    raise Refused


def refused_without_reason(_objects: Objects, _put: Put) -> object:
    """Refuse, with the condition holding: 409, because of another request that came to nothing."""
    raise Refused


def unconditional(objects: Objects, put: Put) -> object:
    """Write whatever is there: a place that knows no conditions."""
    there = objects.get(put.name)
    return objects.put(put.name, put.body, there.version if there else None)


@contextmanager
def after(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Have it done after a while, by another thread."""
    timer = threading.Timer(seconds, act)
    timer.start()
    try:
        yield
    finally:
        timer.join()
