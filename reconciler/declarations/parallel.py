"""Work on a list, spread over processes where that is worth more than starting them costs. Shell.

The processes are forked here and not by a library: those of `concurrent.futures` and `multiprocessing` inherit the lock
of the state, live on when their parent is killed, and leave it waiting for good where one of them can't be started or
a second Ctrl-C comes.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, Final, NamedTuple, NoReturn, TypeVar

Part = TypeVar("Part")
Done = TypeVar("Done")
Work = Callable[[Sequence[Part]], Done]

_MOST: Final = 8
_PART: Final = 128  # items: few, so that all processes end at about the same time
_PARTS: Final = 1000
_NUMBER: Final = 4  # bytes: so the numbers of all parts fit into the smallest pipe, a page
_HELD: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LOOK: Final = 1.0


def cores() -> int:
    """Return how many processes can work at once; 1 where forking isn't safe: beside threads, and on macOS."""
    if sys.platform != "linux" or threading.active_count() > 1:
        return 1
    return min(_MOST, len(os.sched_getaffinity(0)))


@contextmanager
def spread(items: Sequence[Part], work: Work[Part, Done], processes: int) -> Iterator[Iterator[Done]]:
    """Give what `work` returns for each part of the items, in any order.

    What processes that died, or that could not be had, did not answer is done here, where an error can be told.
    """
    size = max(_PART, -(-len(items) // _PARTS))
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    workers: list[_Worker] = []
    try:
        if processes > 1:
            with suppress(OSError), _signals_held():
                _start(workers, min(processes, len(parts)), parts, work)
        yield _answers(parts, work, workers)
    finally:
        for worker in workers:
            worker.end()


class _Worker(NamedTuple):
    """A forked process, and the pipe that its answers come through."""

    pid: int
    pipe: BinaryIO

    def end(self) -> None:
        self.pipe.close()
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def _answers(parts: Sequence[Sequence[Part]], work: Work[Part, Done], workers: Sequence[_Worker]) -> Iterator[Done]:
    left = dict(enumerate(parts))
    for number, answer in _received(workers):
        del left[number]
        yield answer
    yield from map(work, left.values())


def _received(workers: Sequence[_Worker]) -> Iterator[tuple[int, Any]]:
    """Yield the numbers of parts and their answers, until every process has ended."""
    pipes = {worker.pipe.fileno(): worker.pipe for worker in workers}
    poll = select.poll()
    for descriptor in pipes:
        poll.register(descriptor, select.POLLIN)
    while pipes:
        for descriptor, _ in poll.poll():
            try:
                yield pickle.load(pipes[descriptor])  # noqa: S301  # written by a fork of this very process
            except (EOFError, pickle.UnpicklingError):
                poll.unregister(descriptor)
                del pipes[descriptor]


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let no signal come between a fork and the note of it, or to a child before it knows what to do about it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(workers: list[_Worker], count: int, parts: Sequence[Sequence[Part]], work: Work[Part, Done]) -> None:
    """Fork processes that take the parts one by one; raises OSError where there can be no more of them."""
    numbers, queue = os.pipe()
    try:
        os.write(queue, b"".join(number.to_bytes(_NUMBER) for number in range(len(parts))))
        os.close(queue)
        while len(workers) < count:
            workers.append(_fork(numbers, parts, work))
    finally:
        os.close(numbers)


def _fork(numbers: int, parts: Sequence[Sequence[Part]], work: Work[Part, Done]) -> _Worker:
    parent = os.getpid()
    answers, sink = os.pipe()
    try:
        pid = os.fork()
        if pid == 0:
            _be_a_worker(parent, numbers, sink, parts, work)
    except OSError:
        os.close(answers)
        raise
    finally:
        os.close(sink)
    return _Worker(pid, open(answers, "rb"))  # noqa: PTH123  # a descriptor, closed by `end`


def _be_a_worker(
    parent: int, numbers: int, sink: int, parts: Sequence[Sequence[Part]], work: Work[Part, Done]
) -> NoReturn:
    """Answer, and leave without a word whatever happens: the parent does what is not answered."""
    try:
        _let_go_of_all_but(numbers, sink)
        _follow(parent)
        with open(sink, "wb") as pipe:
            while number := os.read(numbers, _NUMBER):
                index = int.from_bytes(number)
                pickle.dump((index, work(parts[index])), pipe, pickle.HIGHEST_PROTOCOL)
                pipe.flush()
    finally:
        os._exit(0)


def _let_go_of_all_but(*kept: int) -> None:
    """Close what was inherited: the lock of the state, and the pipes whose readers wait for an end."""
    for descriptor in map(int, os.listdir("/dev/fd")):  # noqa: PTH208  # numbers, not paths
        if descriptor not in kept:
            with suppress(OSError):
                os.close(descriptor)


def _follow(parent: int) -> None:
    """Leave signals to the parent, which ends its children, and be gone soon after it."""

    def look(*_: object) -> None:
        if os.getppid() != parent:
            os._exit(0)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, _LOOK, _LOOK)
    for number in _HELD:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
