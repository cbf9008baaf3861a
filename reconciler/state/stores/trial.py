"""A place is tried before it is trusted: one that writes what it must refuse would let two runs double everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from uuid import uuid4

from reconciler.errors import StateError
from reconciler.state.stores.interface import Objects, Refused, Unclear


def try_out(objects: Objects) -> None:
    """Raise StateError with what the place lacks; it is tried on names of its own, which are removed."""
    name = f".trial.{uuid4().hex}/1"
    try:
        lacks = next(_lacks(objects, name), None)
    except (Refused, Unclear) as why:
        wrong = f"{objects.place}: the place can't be tried: {str(why) or 'it refuses what it must do'}"
        raise StateError(wrong, hint="See that it can be reached and written.") from why
    finally:
        with suppress(Unclear, StateError):
            objects.remove([name])
    if lacks:
        raise StateError(
            f"{objects.place}: no state can be kept there: {lacks}",
            hint="Two runs at once would not notice each other, and double everything. Choose another place "
            "(docs/state.md).",
        )


def _lacks(objects: Objects, name: str) -> Iterator[str]:
    first = objects.put(name, b"1", None)
    if _accepts(lambda: objects.put(name, b"2", None)):
        yield "it overwrites an object that it was told to create"
    second = objects.put(name, b"3", first)
    if _accepts(lambda: objects.put(name, b"4", first)):
        yield "it overwrites an object that is not the version that it was told to replace"
    found = objects.get(name)
    if found is None or (found.body, found.version) != (b"3", second):
        yield "what was just written is not what is read"
    if objects.names(name) != [name]:
        yield "what was just written is not listed"
    objects.remove([name])
    if objects.get(name) is not None:
        yield "what was removed is still there"
    if _accepts(lambda: objects.put(name, b"5", second)):
        yield "it writes an object that is gone, though it was told to replace it"


def _accepts(put: Callable[[], object]) -> bool:
    """Whether the place writes what it must refuse."""
    try:
        put()
    except Refused:
        return False
    return True
