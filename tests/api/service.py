"""The service with a record, hooks and everything that can be waited for."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from secrets import token_urlsafe

from reconciler.sandbox.call import Call as ArrivedCall
from reconciler.sandbox.faults import Faults
from reconciler.sandbox.reply import Hangup, Reply
from reconciler.sandbox.service import Service
from tests.api.assumptions import RecordingEmulator, SandboxConfig
from tests.api.record import Call

Hook = Callable[[Call], None]


class RecordingService(Service):
    """A service whose calls are recorded.

    `on_call` runs before a call is processed, `on_processed` after, before its answer is sent; both in the call's own
    thread, without the lock.
    """

    emulator: RecordingEmulator

    def __init__(self, config: SandboxConfig, faults: Faults, clock: Callable[[], float] = time.time) -> None:
        emulator = RecordingEmulator(config, lambda: token_urlsafe(24))
        super().__init__(faults, memory=config.memory, latency=config.latency, emulator=emulator, clock=clock)
        self.on_call: Hook | None = None
        self.on_processed: Hook | None = None
        self.late: list[ArrivedCall] = []
        self.hanging = 0
        self._releases = 0

    def open(self) -> None:
        """See Service; what the memory holds is open once."""
        super().open()
        self.emulator.copies.update(self.emulator.open.keys())

    def arrive(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Call:
        """See Service; records the call."""
        with self.changed:
            call = self.emulator.record.add_call(super().arrive(method, path, headers, body), self.clock())
            self.changed.notify_all()
        return call

    def apply(self, call: ArrivedCall) -> Reply | Hangup:
        """See Service; runs the hooks."""
        assert isinstance(call, Call)
        if self.on_call is not None:
            self.on_call(call)
        answer = super().apply(call)
        if self.on_processed is not None:
            self.on_processed(call)
        return answer

    def hang(self) -> bool:
        """Wait until released; returns whether it was, and not stopped."""
        with self.changed:
            releases = self._releases
            self.hanging += 1
            self.changed.notify_all()
            self.changed.wait_for(lambda: self._releases > releases or self.stopping.is_set())
            self.hanging -= 1
        return not self.stopping.is_set()

    def reset(self) -> None:
        """Forget everything: memory, record, faults and late copies; calls that hang are let go."""
        self.faults.clear()
        with self.changed:
            self.emulator.reset()
            self.late.clear()
        self.release()

    def release(self) -> None:
        """Let the calls go that hang now."""
        with self.changed:
            self._releases += 1
            self.changed.notify_all()

    def release_late_copies(self) -> list[Reply]:
        """Process the bodies that `late-copy` held back, oldest first; returns what their answers would have been."""
        with self.changed:
            late, self.late = self.late, []
            answers = [self.emulator.process(call, self.clock(), self.faults.fails) for call in late]
            self.remember()
        return answers

    def wait_until(self, condition: Callable[[], bool], timeout: float) -> None:
        """Wait until the condition holds, looked at under the lock after every step; raises TimeoutError."""
        with self.changed:
            if not self.changed.wait_for(condition, timeout):
                raise TimeoutError(f"not reached in {timeout:g} s")
