"""Runs a scenario, kills it, looks for what the disk may hold then, takes each up again and judges the result.

The truth is the server's own record. What a kill leaves is a situation: the folder and what the server knows. The
same situation is taken up again once only, however many kills lead to it.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import count, pairwise
from pathlib import Path
from typing import Any, Final, Literal

from reconciler.declarations.loader import load
from reconciler.errors import StateError
from reconciler.interaction import Interaction, is_once, same_content
from reconciler.state.model import State
from reconciler.state.stores.local import LocalStore
from tests.api import SandboxServer
from tests.api.record import Call
from tests.crash.disk import Disk, Files
from tests.crash.driver import Driver, Event, Job, Run
from tests.crash.effects import INVOKE, Cut, When
from tests.crash.scenarios import Phase, Scenario
from tests.known import RULES

Arrive = Literal["before", "amid", "after"]
STATE: Final = "reconciler.state.json"
SAVES: Final = frozenset({("open", STATE + ".new"), ("put", STATE)})
"""How a save begins, in a folder and in a bucket."""
ARRIVE: Final[tuple[Arrive, ...]] = ("before", "amid", "after")
APPLY: Final = ("apply", "--auto-approve", "--allow-releases", "1000", "--allow-empty")
PLAN: Final = ("plan", "--detailed-exitcode")
_TIMES: Final = re.compile(rb"\d{4}-\d\d-\d\dT[0-9:.+]+Z?")
_CHECKSUM: Final = re.compile(rb"^[0-9a-f]{8} ", re.MULTILINE)
_REFUSALS: Final = range(300, 500)
DONE, UNKNOWN, FAILED, INTERRUPTED = 0, 7, 4, 130
TOKEN: Final = "planted-token"
CREDENTIALS: Final = {"RECONCILER_CLIENT_ID": "tester", "RECONCILER_CLIENT_SECRET": "planted-secret"}


@dataclass(frozen=True)
class Point:
    """Where a run is killed: at which event, and whether before it, amid it or after it."""

    cut: Cut
    event: Event

    def __str__(self) -> str:
        return f"{self.cut.when} event {self.cut.number} ({self.event})"


@dataclass
class Tally:
    """What was done, as counts: `disks` are those of power cuts, `recovered` the situations taken up again."""

    killed: int = 0
    disks: int = 0
    recovered: int = 0
    interrupted: int = 0
    mutants: int = 0


@dataclass(frozen=True)
class Snapshot:
    """The folder and the server, as they were."""

    files: Files
    memory: Any
    record: Any
    copies: Any


@dataclass(frozen=True)
class Finding:
    """Something that must not be."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass
class Bench:
    """A folder, a server and a driver, for one scenario; `mutant` is the protection that is removed, if any."""

    folder: Path
    server: SandboxServer
    driver: Driver
    scenario: Scenario
    mutant: str = ""
    tally: Tally = field(default_factory=Tally)
    _met: set[object] = field(default_factory=set)
    start: Snapshot = field(init=False)

    # -- the scenario's course -------------------------------------------------------------------------------------

    def findings(self, arrive: Arrive | None = None) -> Iterator[Finding]:
        """Yield what is wrong after the run, and after a kill of it at each point."""
        run = self.prepare()
        yield from self._take_up("not killed", self.files(), "after", run)
        yield from self.kill_everywhere(self.points(run), arrive)

    def prepare(self) -> Run:
        """Do what comes before, then the run itself without a kill; return that run."""
        self.command("apply", "--auto-approve", "--new-state", "--allow-empty", declared=Phase('{"interactions": []}'))
        for phase in self.scenario.before:
            self._expect(self.command(*APPLY, declared=phase), phase)
        self.start = self.snapshot()
        run = self._commands([APPLY], self.scenario.run, told=True)
        self._expect(run, self.scenario.run)
        return run

    def _expect(self, run: Run, phase: Phase) -> None:
        assert run.ran, "nobody killed it"
        if not self.mutant:
            assert run.ran[0].code == phase.code, run.ran[0].err

    def command(self, *command: str, declared: Phase | None = None, cut: Cut | None = None) -> Run:
        """Run one command in a process of its own, and wait until the server has served what reached it."""
        return self._commands([command], declared, cut)

    def _commands(
        self, commands: Sequence[Sequence[str]], declared: Phase | None, cut: Cut | None = None, *, told: bool = False
    ) -> Run:
        self.server.faults.clear()
        if declared is not None:
            self.declare(declared.declared)
            self.server.faults.add(declared.faults)
        run = self.driver.run(self.job(commands, cut, told=told))
        self.server.wait_idle()
        assert not self.server.errors, self.server.errors
        for ran in run.ran or ():
            assert ran.code != -1, f"a traceback, not an exit code: {ran.err}"
        return run

    def job(self, commands: Sequence[Sequence[str]], cut: Cut | None = None, *, told: bool = False) -> Job:
        """Return the job of running the commands here; `told`: with their events, though nothing is cut."""
        env = {
            "RECONCILER_BASE_URL": self.server.base_url,
            "RECONCILER_PARALLELISM": "1",
            **({"RECONCILER_ACCESS_TOKEN": TOKEN} if not self.scenario.fetches_token else CREDENTIALS),
            **self.scenario.env,
        }
        return Job(self.folder, env, commands, cut, self.mutant, told)

    def declare(self, text: str) -> tuple[Interaction, ...]:
        """Write the declarations, and return what they declare."""
        path = self.folder / "interactions" / "all.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return load(path, RULES, base=self.folder).interactions

    def points(self, run: Run, signal: str = "KILL") -> list[Point]:
        """Return each place where the run can be killed.

        Unless the scenario is thorough, without those that lead to what others lead to: before an event is after the
        one before it, until the intent is saved all runs are alike, and not every event changes something by itself.
        """
        thorough = self.scenario.thorough
        whens: tuple[When, ...] = ("before", "amid", "after") if thorough else ("amid", "after")
        saves = (number for number, event in enumerate(run.events, start=1) if (event.op, event.name) in SAVES)
        first = 1 if thorough else next(saves, 1)
        return [
            Point(Cut(number, when, signal), event)
            for number, event in enumerate(run.events, start=1)
            for when in whens
            if (when != "amid" or event.op == "pwrite") and number >= first and (thorough or _tells(event))
        ]

    # -- kills -----------------------------------------------------------------------------------------------------

    def kill_everywhere(self, points: Iterable[Point], arrive: Arrive | None = None) -> Iterator[Finding]:
        """Kill the run at each point; yield what is wrong with what comes of it, on each disk that may be found.

        `arrive`: when the dead run's calls arrive that were on their way; None takes turns.
        """
        for point in points:
            self.restore(self.start)
            run = self.command(*APPLY, declared=self.scenario.run, cut=point.cut)
            self.tally.killed += run.killed
            for disk, files in self._disks(point, run):
                yield from self._take_up(f"killed {point}, {disk}", files, arrive, run)
            if not self.scenario.same_disk_only:
                yield from self._take_up_old_disk(f"killed {point}, the disk before the run", arrive)

    def kill_twice(self, pairs: Iterable[tuple[Point, Cut]]) -> Iterator[Finding]:
        """Kill the run at a point, and the run after it too."""
        for first, cut in pairs:
            yield from self._kill_twice(first, cut)

    def kill_twice_everywhere(self, points: Iterable[Point]) -> Iterator[Finding]:
        """Kill the run at each point, and the run after it after each event."""
        for first in points:
            for number in count(1):
                before = self.tally.killed
                yield from self._kill_twice(first, Cut(number, "after"))
                if self.tally.killed < before + 2:
                    break

    def _kill_twice(self, first: Point, cut: Cut) -> Iterator[Finding]:
        self.restore(self.start)
        run = self.command(*APPLY, declared=self.scenario.run, cut=first.cut)
        self.tally.killed += run.killed
        if not run.killed:
            return
        unheard = len(self.server.calls)
        second = self.command(*APPLY, declared=self.scenario.recovery[0], cut=cut)
        self.tally.killed += second.killed
        where = f"killed {first}, then {cut.when} event {cut.number}"
        yield from self._take_up(where, self.files(), None, second, unheard)

    def _disks(self, point: Point, run: Run) -> Iterator[tuple[str, Files]]:
        """Yield the disk as it is after the kill, and those that a power cut may leave."""
        real = self.files()
        yield "the disk as it is", real
        if point.cut.when == "amid" or not run.killed:
            return
        happened = run.events if point.cut.when == "after" else run.events[: point.cut.number - 1]
        disk = Disk.of(self.start.files).run(happened)
        if disk.current() != real:
            raise AssertionError(f"{point}: the disk is not what the events tell")
        for files in disk.after_power_cut(seed=point.cut.number):
            self.tally.disks += 1
            yield "power cut", files

    def interrupt_everywhere(self, points: Iterable[Point]) -> Iterator[Finding]:
        """Interrupt the run at each point; yield where it isn't as promised: exit 130, each answer saved, all well."""
        for point in points:
            run = self._interrupted(point)
            self.tally.interrupted += 1
            where = f"{point.cut.signal} {point}"
            if not run.ran or run.ran[0].code != INTERRUPTED:
                yield Finding(where, f"it is not the end of an interrupted run: {run.ran}")
            found = LocalStore(self.folder / STATE).read()
            if found.left_over:
                yield Finding(where, "the journal was not folded")
            for link in found.state.pending.values():
                if link.unknown:
                    yield Finding(where, f"the {link.kind} of {link.address} is left unknown, though it was answered")
            yield from self._take_up(where, self.files(), "after", run)

    def _interrupted(self, point: Point) -> Run:
        """Return a run that was interrupted at the point: where answers come together, a run may be over before it."""
        for _ in range(20):
            self.restore(self.start)
            run = self.command(*APPLY, declared=self.scenario.run, cut=point.cut)
            if len(run.events) >= point.cut.number:
                return run
        raise AssertionError(f"{point}: no run came so far")

    # -- recovery --------------------------------------------------------------------------------------------------

    def _take_up(
        self, where: str, files: Files, arrive: Arrive | None, run: Run, unheard: int = 0
    ) -> Iterator[Finding]:
        if self._met_before("after", files, arrive):
            return
        dead = self.snapshot()
        self.write(files)
        yield from (Finding(where, what) for what in self._saved(run, unheard))
        yield from (Finding(where, what) for what in self._recover(self.scenario.recovery, arrive))
        self.restore(dead)

    def _take_up_old_disk(self, where: str, arrive: Arrive | None) -> Iterator[Finding]:
        if self._met_before("old", self.start.files, arrive):
            return
        dead = self.snapshot()
        self.write(self.start.files)
        phases = (Phase(self.scenario.run.declared),)
        yield from (Finding(where, what) for what in self._recover(phases, arrive))
        self.restore(dead)

    def _met_before(self, disk: str, files: Files, arrive: Arrive | None) -> bool:
        memory, record = self.server.emulator.memory, self.server.emulator.record
        late = tuple(call.body for call in self.late())
        key = (
            disk,
            frozenset((name, _without_times(name, data)) for name, data in files.items()),
            tuple((requestid, taken.failed) for requestid, taken in memory.ids.items()),
            tuple(sorted(memory.open)),
            tuple(record.once_by_requestid.items()),
            late,
            arrive if late else None,
        )
        if key in self._met:
            return True
        self._met.add(key)
        self.tally.recovered += 1
        return False

    def _recover(self, phases: Sequence[Phase], arrive: Arrive | None) -> Iterator[str]:
        """Apply until it is done, and judge; then let every call that was ever sent arrive again, and judge again."""
        arrive = arrive or ARRIVE[self.tally.recovered % len(ARRIVE)]
        if arrive == "before":
            self.deliver(self.late())
        elif arrive == "amid":
            self._deliver_at_next_call(self.late())
        last = len(phases) - 1
        for number, phase in enumerate(phases):
            wanted = self.declare(phase.declared)
            applies = self.scenario.applies if number == last else 1
            yield from self._apply(phase, wanted, applies)
        self.server.on_call = None
        yield from judge(self.server, wanted, once=self.scenario.once)
        self.deliver(self.late())
        self.deliver(call for call in self.server.calls if call.processed and call.kind == "invoke")
        yield from (
            f"{what}, once every call arrived again" for what in judge(self.server, wanted, once=self.scenario.once)
        )

    def _apply(self, phase: Phase, wanted: Sequence[Interaction], applies: int) -> Iterator[str]:
        for left in reversed(range(applies)):
            if expected := self._must_hold(wanted):
                yield from self._resolve(phase, expected)
                continue
            run = self._commands([APPLY, PLAN], phase)
            assert run.ran
            applied, planned = run.ran
            if applied.code == DONE:
                if planned.code != DONE:
                    yield f"the next plan ends with {planned.code}:\n{planned.out}{planned.err}"
                return
            if applied.code not in {FAILED, UNKNOWN} or not left:
                yield f"apply ends with {applied.code}:\n{applied.out}{applied.err}"
                return

    def _must_hold(self, wanted: Sequence[Interaction]) -> list[tuple[str, str]]:
        """Return (requestid, address) of each `once` whose outcome is unknown and that can't be settled [§6]."""
        if not self.scenario.held:
            return []
        try:
            pending = self._state().pending
        except StateError:
            return []  # told already
        by_address = {interaction.address: interaction for interaction in wanted}
        ids = self.server.emulator.memory.ids
        return [
            (requestid, link.address)
            for requestid, link in pending.items()
            if link.unknown
            and is_once(link.address)
            and (
                not same_content(link.digest, by_address[link.address]) or (requestid in ids and ids[requestid].failed)
            )
        ]

    def _resolve(self, phase: Phase, expected: Sequence[tuple[str, str]]) -> Iterator[str]:
        """Expect exit 7 of apply and plan, then say what the server's record says, and expect all to be done."""
        run = self._commands([APPLY, PLAN], phase)
        assert run.ran
        if [ran.code for ran in run.ran] != [UNKNOWN, UNKNOWN]:
            yield f"apply and plan end with {[ran.code for ran in run.ran]}, not with 7:\n{run.ran[0].out}"
        for requestid, address in expected:
            dispatched = self.server.emulator.record.once_by_requestid[requestid]
            self.command("state", "resolve", address, "--as", "applied" if dispatched else "not-applied")
        run = self._commands([APPLY, PLAN], phase)
        assert run.ran
        if [ran.code for ran in run.ran] != [DONE, DONE]:
            yield f"once resolved, apply and plan end with {[ran.code for ran in run.ran]}:\n{run.ran[0].out}"

    # -- late copies -----------------------------------------------------------------------------------------------

    def late(self) -> list[Call]:
        """Return the calls that may still be on their way: nobody got an answer, and they were not processed."""
        return [
            call
            for call in self.server.calls
            if call.kind == "invoke" and not call.processed and call.invocation and call.status not in _REFUSALS
        ]

    def deliver(self, calls: Iterable[Call]) -> None:
        """Let the calls arrive once more, with nobody to answer to."""
        for call in calls:
            self.server.emulator.process(call, time.time(), lambda _request: False)

    def _deliver_at_next_call(self, calls: Sequence[Call]) -> None:
        def deliver(call: Call) -> None:
            if call.kind == "invoke":
                self.server.on_call = None
                self.deliver(calls)

        self.server.on_call = deliver

    # -- what is saved ---------------------------------------------------------------------------------------------

    def _state(self) -> State:
        return LocalStore(self.folder / STATE).read().state

    def _saved(self, run: Run, unheard: int) -> Iterator[str]:
        """Compare what reached the server in the killed run with what is on the disk after it.

        Answers to the first `unheard` calls of all were for a run before it, which may have died before it heard them.
        """
        try:
            state = self._state()
        except StateError as error:
            yield f"the state can't be read: {error}"
            return
        calls = [call for call in list(self.server.calls)[len(self.start.record.calls) :] if call.kind == "invoke"]
        arrived = {requestid for call in calls for requestid in call.requestids}
        told = {requestid for call in calls if call.status is not None for requestid in call.requestids}
        if lost := arrived - told - state.pending.keys():
            yield f"sent, and in the state as nothing: {sorted(lost)}"
        doubted = {rid for call in calls if call.status is None or call.processed for rid in call.requestids}
        for requestid, link in state.pending.items():
            if requestid in doubted and not link.unknown:
                yield f"processed or not answered, and marked unsent: {link.address} ({link.kind})"
        yield from _out_of_order(state, arrived)
        if self.saves_outcomes(run.events):
            heard = [call for call in calls if call.n > unheard and call.status == 200 and not call.fault]
            answered = {requestid for call in heard for requestid in call.requestids}
            for requestid in answered & state.pending.keys():
                yield f"answered, and still unknown: {state.pending[requestid].address}"

    def saves_outcomes(self, events: Sequence[Event]) -> bool:
        """Whether a run came so far that it saves the state after the last answer: all outcomes are kept by then."""
        received = max(
            (n for n, event in enumerate(events) if (event.op, event.name) == ("receive", INVOKE)), default=None
        )
        return received is not None and any((event.op, event.name) in SAVES for event in events[received:])

    # -- snapshots -------------------------------------------------------------------------------------------------

    def files(self) -> dict[str, bytes]:
        """Return the state's files but the lock, which died with its owner's process."""
        return {
            path.name: path.read_bytes() for path in self.folder.glob(STATE + "*") if not path.name.endswith(".lock")
        }

    def write(self, files: Files) -> None:
        """Make the state's files these and no others."""
        for path in self.folder.glob(STATE + "*"):
            path.unlink()
        for name, data in files.items():
            (self.folder / name).write_bytes(data)

    def snapshot(self) -> Snapshot:
        """Return what the folder and the server hold."""
        emulator = self.server.emulator
        return Snapshot(self.files(), deepcopy(emulator.memory), deepcopy(emulator.record), deepcopy(emulator.copies))

    def restore(self, snapshot: Snapshot) -> None:
        """Put folder and server back."""
        self.write(snapshot.files)
        self.server.emulator.memory = deepcopy(snapshot.memory)
        self.server.emulator.record = deepcopy(snapshot.record)
        self.server.emulator.copies = deepcopy(snapshot.copies)


def judge(server: SandboxServer, wanted: Sequence[Interaction], *, once: int) -> Iterator[str]:
    """Compare the server's record with what is declared; yield each difference."""
    emulator = server.emulator
    externals = {interaction.address: interaction for interaction in wanted if not is_once(interaction.address)}
    for address in sorted(externals.keys() - emulator.open.keys()):
        yield f"{address} is declared and not open"
    for address, opened in sorted(emulator.open.items()):
        interaction = externals.get(address)
        if interaction is None:
            yield f"{address} is open and not declared"
        elif (opened.provider, opened.content, emulator.copies[address]) != (interaction.provider, interaction.body, 1):
            yield f"{address} is open with other content than declared, or more than once: {opened}"
    for double in emulator.doubles:
        yield f"{double.externalid} was dispatched while it was open"
    for call, address in emulator.record.mixed:
        yield f"call {call} holds several requests of {address}"
    yield from _judge_once(emulator.record.once_by_content, once)


def _judge_once(processed: Any, expected: int) -> Iterator[str]:
    if processed.total() != expected:
        yield f"{processed.total()} once were processed, not {expected}"
    for (_, content), times in processed.items():
        if times > 1:
            yield f"a once was processed {times} times: {content.decode()}"


def _out_of_order(state: State, arrived: set[str]) -> Iterator[str]:
    for address, links in state.chains().items():
        for (_, earlier), (later, link) in pairwise(links):
            if later in arrived:
                yield f"{address}: the {link.kind} was sent before the outcome of the {earlier.kind} was saved"


def _tells(event: Event) -> bool:
    """Whether the event by itself changes what is on the disk or known to the server or the run."""
    return event.op in {"pwrite", "rename", "unlink", "put", "delete", "send", "receive"} or (event.op, event.name) == (
        "fsync",
        ".",
    )


def _without_times(name: str, data: bytes) -> bytes:
    plain = _TIMES.sub(b"T", data)
    return _CHECKSUM.sub(b"", plain) if name.endswith(".journal") else plain


def seeded(points: Sequence[Point], size: int, seed: int) -> list[tuple[Point, Cut]]:
    """Return pairs of a point and a place in the run after it, drawn from the seed."""
    draw = random.Random(seed)  # noqa: S311
    whens: tuple[When, When] = ("before", "after")
    return [(draw.choice(points), Cut(draw.randint(5, 30), draw.choice(whens))) for _ in range(size)]
