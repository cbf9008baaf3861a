"""The emulator in service: faults applied, memory kept. Threads, but no sockets."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from secrets import token_urlsafe
from threading import Condition, Event

from reconciler.sandbox.call import Call, read_call
from reconciler.sandbox.emulator import Emulator
from reconciler.sandbox.faults import Faults
from reconciler.sandbox.memory import Memory
from reconciler.sandbox.reply import Hangup, Reply, message_answer


class Service:
    """One emulator behind its faults; every method may be called from any thread.

    `memory`: the file that keeps requestids and open externalids over restarts; None keeps nothing.
    `latency`: seconds that each call waits before it is processed. `clock`: seconds since the epoch.
    `changed` is held by whoever looks at the emulator, and notified at every step.
    """

    def __init__(
        self,
        faults: Faults,
        *,
        memory: Path | None = None,
        latency: float = 0.0,
        emulator: Emulator | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.faults = faults
        self.emulator = emulator or Emulator(lambda: token_urlsafe(24))
        self.changed = Condition()
        self.stopping = Event()
        self.errors: list[Exception] = []
        self.clock = clock
        self._path = memory
        self._latency = latency

    def open(self) -> None:
        """Load the memory, if it is kept; raises ReconcilerError."""
        if self._path is not None:
            self.emulator.memory = Memory(self._path)

    def close(self) -> None:
        """End: calls that still wait get no answer."""
        self.stopping.set()
        with self.changed:
            self.changed.notify_all()
            self.emulator.memory.end()

    def arrive(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Call:
        """Return a call that came in, to be served."""
        return read_call(method, path, headers, body)

    def answered(self, call: Call, status: int | None) -> None:
        """Note that an answer is being handed to the system; None: it could not be."""
        with self.changed:
            call.status = status
            self.changed.notify_all()

    def serve(self, call: Call) -> Reply | Hangup:
        """Serve a call, its fault included; an error of the sandbox itself is a 500, and kept in `errors`."""
        try:
            self.stopping.wait(self._latency)
            return self.apply(call)
        except Exception as error:  # noqa: BLE001 - an emulator must not die of its own mistakes unnoticed
            self.errors.append(error)
            return message_answer(500, f"The sandbox itself failed: {type(error).__name__}: {error}")

    def apply(self, call: Call) -> Reply | Hangup:
        """Let its fault happen to a call, or process it."""
        fault = self.faults.take(call)
        with self.changed:
            call.fault = "" if fault is None else fault.text
            self.changed.notify_all()
        return fault.effect.serve(call, self) if fault else self.process(call)

    def process(self, call: Call) -> Reply:
        """Process the call and return its true answer."""
        with self.changed:
            answer = self.emulator.answer(call, self.clock(), self.faults.fails)
            self.remember()
        return answer

    def remember(self) -> None:
        """Keep what changed, before it is answered."""
        self.emulator.memory.keep()
        self.changed.notify_all()

    def complete(self, externalid: str) -> bool:
        """End an open interaction as an agent does; returns whether it was open."""
        with self.changed:
            was_open = self.emulator.complete(externalid)
            self.remember()
        return was_open
