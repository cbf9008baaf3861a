"""Ctrl-C, SIGTERM and a terminal that goes away, while requests are in flight.

Once: stop sending, wait for the calls in flight, save. Twice: leave at once. Nothing is lost either way: what was
sent is pending in the saved intent, and a later run settles it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, Protocol

from reconciler.delivery.throttle import Brake
from reconciler.errors import ExitCode

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Console(Protocol):
    def leave_line(self) -> None: ...
    def note(self, message: str) -> None: ...


@contextmanager
def interruptible(brake: Brake, console: _Console) -> Iterator[None]:
    """Pull the brake at the first signal and leave the process at the second.

    A signal that is ignored stays ignored: `nohup` and a shell's `&` mean it.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        if brake.interrupted:
            os._exit(ExitCode.INTERRUPTED)
        brake.interrupt()
        console.leave_line()
        console.note("Stopping: waiting for calls in flight, then saving. Once more leaves at once; nothing is lost.")

    heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def hang_up_as_interrupt() -> None:
    """Treat a terminal that goes away before anything was sent as Ctrl-C too, unless that is ignored (`nohup`)."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, die_of)


def die_of(_number: int, _frame: FrameType | None) -> None:
    """Treat a signal before anything was sent as Ctrl-C: nothing to save, exit 130."""
    raise KeyboardInterrupt
