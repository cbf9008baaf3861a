"""A state in a place that several runners share, made of the few things that any such place can do (`Objects`).

…                           the state, replaced only on the condition that it is still the one that was read
….lock                      lease.py's
….journal/SERIAL-RUN-NR     groups of outcomes since the state of that serial was saved; part of it until it is saved
….backup                    the state before the last apply
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from typing import Final, NamedTuple
from uuid import uuid4

import orjson

from reconciler.errors import StateError, StateLocked, StateMissing
from reconciler.state import codec, journal
from reconciler.state.codec import Prepared
from reconciler.state.journal import Record
from reconciler.state.model import Open, State
from reconciler.state.stores import lease
from reconciler.state.stores.interface import Closing, Found, Objects, Put, StoredState
from reconciler.state.stores.keeper import Keeper
from reconciler.state.stores.lease import LOCK, Lease
from reconciler.state.stores.moved import is_stone, refuse_moved, stone
from reconciler.state.stores.patient import Overtaken, PatientObjects
from reconciler.state.stores.reading import MAKE_STATE, WRONG_PATH
from reconciler.state.stores.timing import Timing
from reconciler.state.stores.trial import try_out

STATE: Final = ""
BACKUP: Final = ".backup"
JOURNAL: Final = ".journal/"
_READS: Final = 20
_START: Final = b"{\n"
_WRITE: Final = b'  "write": "%b",\n'
_WRITTEN: Final = re.compile(rb'\{\n  "write": "[0-9a-f]{32}",\n')
_WRITTEN_LENGTH: Final = len(_START + _WRITE % uuid4().hex.encode())


def _say_nothing(_message: str) -> None:
    """Go on without a word."""


class _Version(NamedTuple):
    """A state as it was saved, and the groups of outcomes beside it; of old ones, only the names."""

    found: Found
    state: State
    groups: Mapping[str, bytes]
    old: Sequence[str]

    def folded(self, place: str) -> StoredState:
        """Return the state with its journal folded in; raises StateError for a journal that is not its own."""
        records = journal.decode(b"".join(self.groups.values()), f"{place}: journal")
        folded = journal.fold_left_over(self.state, records, f"{place}: journal")
        return StoredState(folded, left_over=folded is not self.state)


def _look_up(objects: PatientObjects) -> _Version:
    """Return the state and the outcomes beside it; raises as Store.read does.

    A state is there before its groups, and they go only once the next one is: listed first, they are of the state that
    is found, or old, or are ahead of one that was put back.
    """
    for _ in range(_READS):
        names = objects.names(JOURNAL)
        found = objects.get(STATE)
        if found is None:
            raise _missing(objects.place, names)
        refuse_moved(found.body, objects.place)
        state = codec.decode(_without_id(found.body), objects.place)
        current = [name for name in names if _serial(name) >= state.serial]
        groups = {name: group.body for name in current if (group := objects.get(name))}
        if len(groups) == len(current):
            return _Version(found, state, groups, [name for name in names if name not in groups])
    raise StateError(f"{objects.place}: it is replaced faster than it can be read")


def _missing(place: str, groups: Sequence[str]) -> StateMissing:
    if groups:
        hint = "Restore the state from where it is kept: the journal continues it."
        return StateMissing(f"{place}: there is a journal, but no state beside it", hint=hint)
    return StateMissing(f"{place}: there is no state", hint=WRONG_PATH, command=MAKE_STATE)


def _serial(group: str) -> int:
    """Return the serial of the state that a group continues."""
    number = group.removeprefix(JOURNAL).partition("-")[0]
    return int(number) if number.isdecimal() else 0


def _with_id(pieces: Iterable[bytes]) -> bytes:
    """Return a state as no other run could write it, so that it is known again."""
    return b"".join(pieces).replace(_START, _START + _WRITE % uuid4().hex.encode(), 1)


def _without_id(body: bytes) -> bytes:
    """Return the bytes of a state without the key that is not its own, however it is laid out by now."""
    if _WRITTEN.match(body):
        return _START + body[_WRITTEN_LENGTH:]
    try:
        raw = orjson.loads(body)
        del raw["write"]
    except (ValueError, KeyError, TypeError):
        return body
    return orjson.dumps(raw)


class RemoteStore:
    """A state that anybody may read, and one run at a time may hold, wherever it runs."""

    def __init__(self, objects: Objects, timing: Timing | None = None) -> None:
        self._timing = timing or Timing()
        self._given = objects
        self._objects = PatientObjects(objects, self._timing)
        self.place = objects.place

    def read(self) -> StoredState:
        """See Store."""
        with self._opened():
            return _look_up(self._objects).folded(self.place)

    @contextmanager
    def hold(
        self, command: str, *, timeout: float = 0.0, say: Callable[[str], None] = _say_nothing
    ) -> Iterator[RemoteWriter]:
        """See Store."""
        with self._opened():
            held = lease.acquire(self._objects, command, self._timing, timeout=timeout, say=say)
            writer = RemoteWriter(self._objects, held, self._timing)
            try:
                writer.start()
                yield writer
            finally:
                writer.close()
                if held.fresh and not held.lost:
                    with suppress(Overtaken, StateError):  # it ends by itself
                        self._objects.write(held.next(released=True))
                writer.join()

    def try_out(self) -> None:
        """See Store."""
        with self._opened() as objects:
            try_out(objects)

    def unlock(self, held: str) -> str:
        """See Store."""
        with self._opened():
            return lease.unlock(self._objects, held, self._timing)

    @contextmanager
    def _opened(self) -> Iterator[Objects]:
        """Let go of what the place keeps open once it is not used any more."""
        try:
            yield self._given
        finally:
            if isinstance(self._given, Closing):
                self._given.close()


class RemoteWriter:
    """Writes one state, as long as no other run does."""

    def __init__(self, objects: PatientObjects, held: Lease, timing: Timing) -> None:
        self.place = objects.place
        self._objects = objects
        self._timing = timing
        self._run = uuid4().hex
        self._serial = 0
        self._numbers = count(1)
        self._found: Found | None = None
        self._read: State | None = None
        self._backup: bytes | None = None
        self._groups: list[str] = []
        self._saved = False
        self._prepared = Prepared()
        self._keeper = Keeper(objects, held, timing, self._next_group)

        self.start, self.close, self.join = self._keeper.start, self._keeper.close, self._keeper.join

    def read(self) -> StoredState:
        """See Writer."""
        found = self._look_up().folded(self.place)
        self._read = found.state
        return found

    def read_despite_journal(self) -> tuple[State, str | None]:
        """See Writer."""
        version, aside = self._look_up(), None
        try:
            self._read = version.folded(self.place).state
        except StateError:
            self._read, aside = version.state, f".journal-aside.{self._run}"
            self._write(Put(aside, b"".join(version.groups.values()), None))
        return self._read, aside and f"…{aside}, beside it"

    def _look_up(self) -> _Version:
        version = _look_up(self._objects)
        self._found, self._serial, self._groups = version.found, version.state.serial, [*version.groups]
        self._remove(version.old)
        return version

    def create(self, state: State) -> None:
        """See Writer."""
        found = self._objects.get(STATE)
        if (found and not is_stone(found.body)) or self._objects.names(JOURNAL):
            raise StateError(f"{self.place}: there is a state already", hint="It is kept as it is.")
        self._found = found
        self.save(state)

    def back_up(self, public: State) -> None:
        """See Writer; it is written with the next save, or beside it."""
        found = self._found
        body = found.body if found and public is self._read else _with_id(codec.encode(public))
        if self._objects.together:
            self._backup = body
        else:
            self._keeper.do(lambda: self._write(self._backup_of(body)))

    def save(self, state: State) -> None:
        """See Writer."""
        self._replace(_with_id(codec.encode(state, self._prepared)))
        self._read, self._serial, self._saved, self._prepared = state, state.serial, True, Prepared()

    def _backups(self) -> list[Put]:
        body, self._backup = self._backup, None
        return [] if body is None else [self._backup_of(body)]

    def _backup_of(self, body: bytes) -> Put:
        there = self._objects.get(BACKUP)
        return Put(BACKUP, body, there.version if there else None)

    def prepare(self, opened: Mapping[str, Open]) -> None:
        """See Writer."""
        self._prepared.prepare(opened)

    def append(self, records: Sequence[Record]) -> None:
        """See Writer."""
        self._keeper.append(b"".join(map(journal.encode, records)))

    def settle(self) -> None:
        """See Writer."""
        self._keeper.settle()

    def require_held(self) -> None:
        """See Writer."""
        self._keeper.require_held()

    def leave(self, to: str) -> None:
        """See Writer."""
        if self._read is None:
            raise AssertionError("a state is read before it is left")
        self._replace(stone(to, self._read))

    def _replace(self, body: bytes) -> None:
        """Put this in the place of what was read or saved, and remove what is folded into it."""
        self._keeper.require_held()
        with self._keeper.replacing_lines():
            expected = self._found.version if self._found else None
            *_, version = self._write(*self._backups(), Put(STATE, body, expected))
            self._found = Found(body, version)
        garbage, self._groups = self._groups, []
        self._remove(garbage)

    def _remove(self, names: Sequence[str]) -> None:
        if self._objects.together:  # with the next write
            self._objects.remove(names)
        elif names:
            self._keeper.do(lambda: self._objects.remove(names))

    def _next_group(self) -> str:
        name = f"{JOURNAL}{self._serial:016d}-{self._run}-{next(self._numbers):06d}"
        self._groups.append(name)
        return name

    def _write(self, *puts: Put) -> list[object]:
        try:
            return self._objects.write(*puts)
        except Overtaken as overtaken:
            raise self._overtaken(overtaken) from overtaken

    def _overtaken(self, overtaken: Overtaken) -> StateLocked:
        """Return that another run was there, and whose."""
        found = self._objects.get(LOCK)
        who = lease.holder(found, self._timing).who if found else "nobody who says so"
        if not self._saved:
            hint = "Nothing was sent. Once that run is done, run this again."
        else:
            hint = (
                "Nothing more was sent. What was sent is pending in the state that this run saved, and settled under "
                f"the same requestids. {self._keep_aside(overtaken)}"
            )
        return StateLocked(f"{self.place}: the state was written by another run meanwhile: {who}", hint=hint)

    def _keep_aside(self, overtaken: Overtaken) -> str:
        """Keep what this run saved, unless what is there now follows it; return where."""
        there = overtaken.found
        with suppress(StateError):
            if overtaken.name == STATE and there and self._follows(codec.decode(_without_id(there.body), self.place)):
                return ""
        aside = f".aside.{self._run}"
        if self._found is None:
            return ""
        with suppress(StateError, Overtaken):
            self._objects.write(Put(aside, self._found.body, None))
            return f"What is there does not follow it; it is kept beside it, as …{aside} (docs/reliability.md)."
        return "It can't be kept; what is there does not follow it."

    def _follows(self, state: State) -> bool:
        return self._read is not None and state.lineage == self._read.lineage and state.serial > self._serial
