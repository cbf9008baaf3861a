"""The thread of a run that holds a shared state: renews the lease, and brings outcomes there while sending goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Condition, Thread
from typing import NamedTuple

from reconciler.errors import StateError
from reconciler.state.stores.interface import Put
from reconciler.state.stores.lease import LOCK, Lease
from reconciler.state.stores.patient import Overtaken, PatientObjects
from reconciler.state.stores.timing import Timing


class _Job(NamedTuple):
    """What is done in one go. `asked`: how many have asked for it."""

    renew: bool
    lines: bytes
    chores: list[Callable[[], object]]
    asked: int


class Keeper:
    """Keeps a lease until it is closed. After an error nothing more is written, and each method raises it.

    `name` gives the name of the next object of outcomes.
    """

    def __init__(self, objects: PatientObjects, lease: Lease, timing: Timing, name: Callable[[], str]) -> None:
        self._objects = objects
        self._lease = lease
        self._timing = timing
        self._name = name
        self._changed = Condition()
        self._lines = bytearray()
        self._chores: list[Callable[[], object]] = []
        self._error: StateError | None = None
        self._asked = self._served = 0
        self._writing = self._closing = False
        self._renewed = self._grouped = timing.awake()
        self._thread = Thread(target=self._keep, name="state-keeper", daemon=True)

    def start(self) -> None:
        """Begin to keep it; raises StateError where the system has no thread left."""
        try:
            self._thread.start()
        except RuntimeError as error:
            hint = "Let this process have more threads (ulimit -u) or memory (ulimit -v)."
            raise StateError("the system has no thread left to hold the state with", hint=hint) from error

    def require_held(self) -> None:
        """Raise StateError once another run may have the state; in doubt, the lease is renewed first."""
        if self._error:
            raise self._error
        if not self._lease.fresh:
            with self._idle():
                """The lease is renewed with all else."""

    def append(self, lines: bytes) -> None:
        """Have these lines written soon, with others."""
        with self._sound():
            self._lines += lines
            self._changed.notify_all()

    def do(self, chore: Callable[[], object]) -> None:
        """Have this done soon, while all goes on; what it raises is raised by whatever comes next."""
        with self._sound():
            self._chores.append(chore)
            self._changed.notify_all()

    def settle(self) -> None:
        """Return when all lines are there."""
        if self._lines or self._writing or self._error:
            with self._idle():
                """All is there."""

    @contextmanager
    def replacing_lines(self) -> Iterator[None]:
        """Write only the lease meanwhile: what is saved holds the lines that are not there yet. If it is."""
        with self._sound():
            lines = bytes(self._lines)
            self._lines.clear()
            self._changed.wait_for(lambda: not self._writing)
        try:
            yield
        except BaseException:
            self._lines[:0] = lines
            raise

    def close(self) -> None:
        """Let the lease be; what was appended is written first."""
        with suppress(StateError):
            self.settle()
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._writing)

    def join(self) -> None:
        """Wait until all chores are done."""
        if self._thread.ident is not None:
            self._thread.join()

    @contextmanager
    def _sound(self) -> Iterator[None]:
        with self._changed:
            if self._error:
                raise self._error
            yield

    @contextmanager
    def _idle(self) -> Iterator[None]:
        """Have all written now that is to be, and wait for it."""
        with self._sound():
            self._asked += 1
            asked = self._asked
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._served >= asked or self._error)
        with self._sound():
            yield

    # -- in the thread -------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        while job := self._next():
            try:
                for chore in job.chores:
                    chore()
                self._write(job)
            except StateError as error:
                self._error = error
            with self._changed:
                self._writing, self._served = False, job.asked
                self._changed.notify_all()

    def _next(self) -> _Job | None:
        """Wait for something to do; None once there is nothing any more."""
        with self._changed:
            while not self._error:
                wait, renew = self._due()
                writes = wait <= 0 and not self._closing
                if writes or self._chores:
                    return self._taken(writes=writes, renew=renew)
                if self._closing:
                    break
                self._changed.wait(wait)
            return None

    def _taken(self, *, writes: bool, renew: bool) -> _Job:
        lines = bytes(self._lines) if writes else b""
        job = _Job(writes and renew, lines, self._chores, self._asked if writes else self._served)
        self._chores = []
        if writes:
            self._lines.clear()
            self._writing = True
        return job

    def _due(self) -> tuple[float, bool]:
        """Return in how many seconds something is to be written, and whether the lease will be."""
        now = self._timing.awake()
        renewal = self._renewed + self._timing.renew - now
        group = self._grouped + self._timing.group - now if self._lines else renewal
        wait = 0.0 if self._asked > self._served else min(renewal, group)
        return wait, renewal <= 0 or self._objects.together or not self._lease.fresh

    def _write(self, job: _Job) -> None:
        asked = self._timing.always()
        puts = [self._lease.next()] if job.renew else []
        if job.lines:
            puts.append(Put(self._name(), job.lines, None))
        if not puts:
            return
        try:
            versions = self._objects.write(*puts)
        except Overtaken as overtaken:
            if overtaken.name != LOCK:
                raise StateError(f"{self._objects.place}: another run wrote {overtaken.name}") from overtaken
            raise self._lease.taken(overtaken) from overtaken
        now = self._timing.awake()
        if job.renew:
            self._lease.confirm(versions[0], asked)
            self._renewed = now
        if job.lines:
            self._grouped = now
