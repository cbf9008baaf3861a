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

from reconciler.delivery.throttle import StopSignal
from reconciler.errors import ExitCode

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Console(Protocol):
    def leave_line(self) -> None: ...
    def note(self, message: str) -> None: ...


@contextmanager
def interruptible(stop_signal: StopSignal, console: _Console) -> Iterator[None]:
    """Give the stop signal at the first of the system's, and leave the process at the second.

    A signal that is ignored stays ignored: `nohup` and a shell's `&` mean it.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        if stop_signal.interrupted:
            _leave(number, frame)
        stop_signal.interrupt()
        console.leave_line()
        console.note("Stopping: waiting for calls in flight, then saving. Once more leaves at once; nothing is lost.")

    heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def listen(*numbers: int) -> None:
    """Treat these signals, before anything was sent, as Ctrl-C: nothing to save, exit 130; a second leaves at once.

    A signal that is ignored stays ignored, as above.
    """
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _importing(frame):  # extension modules crash where an exception comes in between
        _leave(number, frame)
    for each in _SIGNALS:
        if signal.getsignal(each) is _interrupt:
            signal.signal(each, _leave)
    raise KeyboardInterrupt


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False


def _leave(_number: int, _frame: FrameType | None) -> None:
    os._exit(ExitCode.INTERRUPTED)
