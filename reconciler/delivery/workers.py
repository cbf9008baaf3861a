"""Threads to send with. Shell."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from functools import partial
from threading import Thread
from types import TracebackType
from typing import Any, Self

from reconciler.errors import ReconcilerError


class NoThread(ReconcilerError):
    """The system has no thread left for us."""


def started(work: Callable[[], None], name: str, *, daemon: bool = False) -> Thread:
    """Return a thread at work; raises NoThread. Made before anything is sent: afterwards it would be too late."""
    thread = Thread(target=work, name=name, daemon=daemon)
    try:
        thread.start()
    except RuntimeError as error:
        raise NoThread(
            "the system has no thread left for this run; nothing was sent",
            hint="Let this process have more threads (ulimit -u) or memory (ulimit -v).",
        ) from error
    return thread


class Workers:
    """So many threads, or as many as the system has left: with fewer of them it takes longer, and that is all."""

    def __init__(self, most: int) -> None:
        """Start them; raises ReconcilerError where one was wanted and there is none."""
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = tuple(self._started(most))

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._threads)

    def submit(self, work: Callable[..., None], *arguments: Any) -> None:
        """Have it done as soon as a thread is free; it must not raise."""
        self._jobs.put(partial(work, *arguments))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _started(self, most: int) -> Iterator[Thread]:
        for number in range(most):
            try:
                yield started(self._work, f"invoke-{number}")
            except NoThread:
                if not number:
                    raise
                return

    def _work(self) -> None:
        while job := self._jobs.get():
            job()
