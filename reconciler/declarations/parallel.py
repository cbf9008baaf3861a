"""Work on a list, spread over processes where that is worth more than starting them costs. Shell."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

Item = TypeVar("Item")
Answer = tuple[Any, ...]
"""What crosses from one process to another: plain tuples, for they are copied fastest."""

_MOST: Final = 8
_PART: Final = 128  # items: few, so that all processes end at about the same time

_inherited: tuple[Callable[[Sequence[Any]], Answer], Sequence[Sequence[Any]]]
"""What to do, and to what: children are forked, so that nothing has to be sent to them."""


def cores() -> int:
    """Return how many processes can work at once; 1 where forking isn't safe: beside threads, and on macOS."""
    if sys.platform != "linux" or threading.active_count() > 1:
        return 1
    return min(_MOST, len(os.sched_getaffinity(0)))


def spread(items: Sequence[Item], work: Callable[[Sequence[Item]], Answer], processes: int) -> Iterator[Answer]:
    """Yield what `work` returns for each part of the items, in their order.

    What processes that died did not answer is done here, where an error can be told.
    """
    parts = [items[start : start + _PART] for start in range(0, len(items), _PART)]
    done = 0
    if processes > 1 and len(parts) > 1:
        from concurrent.futures.process import BrokenProcessPool  # noqa: PLC0415  # only where there is much to do

        with suppress(BrokenProcessPool, OSError):
            for answer in _forked(parts, work, processes):
                yield answer
                done += 1
    yield from map(work, parts[done:])


def _forked(
    parts: Sequence[Sequence[Item]], work: Callable[[Sequence[Item]], Answer], processes: int
) -> Iterator[Answer]:
    from concurrent.futures import ProcessPoolExecutor  # noqa: PLC0415  # as above
    from multiprocessing import get_context  # noqa: PLC0415

    global _inherited  # noqa: PLW0603  # the way to hand something to a forked child without copying it
    _inherited = (work, parts)
    with ProcessPoolExecutor(min(processes, len(parts)), get_context("fork"), _leave_signals_to_parent) as pool:
        yield from pool.map(_answer, range(len(parts)))


def _leave_signals_to_parent() -> None:
    """Be quiet at Ctrl-C: the parent hears it too, and ends the children."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _answer(number: int) -> Answer:
    work, parts = _inherited
    return work(parts[number])
