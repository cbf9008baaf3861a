"""The emulator in service: faults applied, memory kept, tests synchronised. Threads, but no sockets."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from secrets import token_urlsafe
from threading import Condition, Event

from reconciler.errors import ReconcilerError
from reconciler.sandbox.answer import Answer, Hangup, message_answer
from reconciler.sandbox.config import SandboxConfig
from reconciler.sandbox.effects import CallEffect, ExpireToken, Hang, Late, LateCopy, hangup, replaced
from reconciler.sandbox.emulator import Emulator
from reconciler.sandbox.faults import Faults
from reconciler.sandbox.memoryfile import MemoryFile
from reconciler.sandbox.record import Arriving, Call

Hook = Callable[[Call], None]


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call with what its record may not hold: the header Authorization, and the form of a token call."""

    call: Call
    authorization: str | None
    form: bytes


class Service:
    """One emulator behind its faults; every method may be called from any thread.

    `clock`: seconds since the epoch. `on_call` runs before a call is processed, `on_processed` after, before its
    answer is sent; both in the call's own thread, without the lock. `changed` is notified at every step.
    """

    def __init__(self, config: SandboxConfig, faults: Faults, clock: Callable[[], float] = time.time) -> None:
        self.config = config
        self.faults = faults
        self.emulator = Emulator(config, new_token=lambda: token_urlsafe(24))
        self.changed = Condition()
        self.stopping = Event()
        self.on_call: Hook | None = None
        self.on_processed: Hook | None = None
        self.hanging = 0
        self.errors: list[Exception] = []
        self._clock = clock
        self._late: list[Call] = []
        self._releases = 0
        self._file: MemoryFile | None = None

    def open(self) -> None:
        """Load the memory, if it is kept; raises ReconcilerError."""
        if self.config.memory is None:
            return
        self._file = MemoryFile(self.config.memory)
        try:
            self.emulator.memory = self._file.load()
            self._file.save(self.emulator.memory)
        except OSError as error:
            self._file.close()
            raise ReconcilerError(
                f"{self.config.memory}: the sandbox can't keep its memory: {error.strerror}"
            ) from error
        except ReconcilerError:
            self._file.close()
            raise

    def close(self) -> None:
        """Save the memory. Calls that still wait end without an answer."""
        self.stopping.set()
        with self.changed:
            self.changed.notify_all()
            if self._file is not None:
                file, self._file = self._file, None
                try:
                    file.save(self.emulator.memory)
                except OSError as error:
                    self.errors.append(error)  # nothing is lost: the log holds it all
                finally:
                    file.close()

    def arrive(self, arriving: Arriving) -> Arrival:
        """Record a call."""
        with self.changed:
            call = self.emulator.record.add_call(arriving, self._clock())
            self.changed.notify_all()
        return Arrival(call, arriving.headers.get("authorization"), arriving.body if call.kind == "token" else b"")

    def serve(self, arrival: Arrival) -> Answer | Hangup:
        """Serve a call, its fault included; an error of the sandbox itself is a 500, and kept in `errors`."""
        try:
            self.stopping.wait(self.config.latency)
            if self.on_call is not None:
                self.on_call(arrival.call)
            effect = self.faults.take(arrival.call)
            with self.changed:
                arrival.call.fault = "" if effect is None else str(effect)
                self.changed.notify_all()
            answer = self._apply(effect, arrival)
            if self.on_processed is not None:
                self.on_processed(arrival.call)
        except Exception as error:  # noqa: BLE001 - an emulator must not die of its own mistakes unnoticed
            self.errors.append(error)
            return message_answer(500, f"The sandbox itself failed: {type(error).__name__}: {error}")
        return answer

    def _apply(self, effect: CallEffect | None, arrival: Arrival) -> Answer | Hangup:
        match effect:
            case None:
                return self._process(arrival)
            case ExpireToken():
                with self.changed:
                    self.emulator.expire_tokens()
                return self._process(arrival)
            case LateCopy():
                with self.changed:
                    self._late.append(arrival.call)
                return hangup(effect)
            case Late() | Hang():
                return self._delayed(effect, arrival)
        return replaced(effect, arrival.call, self._process(arrival) if effect.processed else None, self._clock())

    def _delayed(self, effect: Late | Hang, arrival: Arrival) -> Answer | Hangup:
        answer = self._process(arrival) if effect.processed else None
        if isinstance(effect, Late):
            self.stopping.wait(effect.seconds)
        else:
            self._hang()
        if self.stopping.is_set():
            return Hangup()
        return answer or self._process(arrival)

    def _hang(self) -> None:
        with self.changed:
            releases = self._releases
            self.hanging += 1
            self.changed.notify_all()
            self.changed.wait_for(lambda: self._releases > releases or self.stopping.is_set())
            self.hanging -= 1

    def _process(self, arrival: Arrival) -> Answer:
        with self.changed:
            answer = self.emulator.answer(
                arrival.call, arrival.authorization, self._clock(), self.faults.take_failure, form=arrival.form
            )
            self._remember()
        return answer

    def _remember(self) -> None:
        # Before the answer is given, and under the lock, so that the log has the order of processing.
        changes = self.emulator.memory.drain()
        if self._file is not None:
            self._file.append(changes)
        self.changed.notify_all()

    def answered(self, call: Call, status: int | None) -> None:
        """Note that an answer is being handed to the system; None: it could not be."""
        with self.changed:
            call.status = status
            self.changed.notify_all()

    def release_late_copies(self) -> list[Answer]:
        """Process the bodies that `late-copy` held back, oldest first; returns what their answers would have been."""
        with self.changed:
            late, self._late = self._late, []
            answers = [self.emulator.process(call, self._clock(), self.faults.take_failure) for call in late]
            self._remember()
        return answers

    def release(self) -> None:
        """Let the calls go that hang now."""
        with self.changed:
            self._releases += 1
            self.changed.notify_all()

    def complete(self, externalid: str) -> bool:
        """End an open interaction as an agent does; returns whether it was open."""
        with self.changed:
            was_open = self.emulator.complete(externalid)
            self._remember()
        return was_open

    def reset(self) -> None:
        """Forget everything: memory, record, faults and late copies; calls that hang are let go."""
        self.faults.clear()
        with self.changed:
            self.emulator.reset()
            self._late.clear()
            if self._file is not None:
                self._file.save(self.emulator.memory)
        self.release()

    def wait_until(self, condition: Callable[[], bool], timeout: float) -> None:
        """Wait until the condition holds, looked at under the lock after every step; raises TimeoutError."""
        with self.changed:
            if not self.changed.wait_for(condition, timeout):
                raise TimeoutError(f"not reached in {timeout:g} s")
