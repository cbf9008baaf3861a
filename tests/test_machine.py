"""Any order of edits, faults, crashes, lost disks and runs: nothing is ever open twice, nothing is ever forgotten.

The real command against the real server over HTTP; the server's own record is the truth. The machine keeps to what
docs/reliability.md promises: a disk is lost only with unchanged declarations and configuration, and without definite
failures in the lost run; a person who resolves tells the truth; and the API fails a release only of what is not open,
or once by accident.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from reconciler.delivery.client import Client
from reconciler.state.model import Kind, State
from reconciler.state.stores.local import LocalStore, LocalWriter
from reconciler.state.stores.reading import journal_path
from tests.api import SandboxServer
from tests.api.record import Handling, Processed
from tests.command import Ran, Workplace
from tests.conftest import connection, quick
from tests.soak.budget import InTime, while_it_lasts

IDS = ("a", "b", "c", "d")
ONCES = ("once:o", "once:p")
PROVIDERS = (None, "P", "Q")
EFFECTIVE = {Handling.DISPATCHED, Handling.RELEASED, Handling.COMPLETED}
QUIET_WITHIN = 10


@dataclass
class Declared:
    """One declaration: content is (`version`, `provider`)."""

    version: int
    provider: str | None
    on_change: str
    prevent: bool = False

    def plain(self, address: str) -> dict[str, Any]:
        """Return it as it stands in the file."""
        name = {"once": address.removeprefix("once:")} if address in ONCES else {"externalid": address}
        lifecycle: dict[str, Any] = {"on_change": self.on_change}
        if self.prevent:
            lifecycle["prevent_release"] = True
        return {**name, "provider": self.provider, "route": f"R{self.version}", "lifecycle": lifecycle}


DECLARED = st.builds(
    Declared,
    version=st.integers(0, 2),
    provider=st.sampled_from(PROVIDERS),
    on_change=st.sampled_from(["replace", "replace", "replace", "keep"]),
    prevent=st.sampled_from([*[False] * 11, True]),
)

# A refusal by status (400) is for dispatches only: one of a release behind a burn counts as released, by design.
FAULTS = st.one_of(
    st.builds(
        "{} times={}".format,
        st.sampled_from(
            [
                "drop=before",
                "drop=after",
                "drop=after how=close",
                "late-copy",
                "late-copy how=close",
                "status=429 retry-after=1",
                "status=503 retry-after=1",
                "status=403",
                "status=404",
                "status-after=404",
                "status=400 action=dispatch",
                "status=413 action=dispatch",
                "status=408",
                "status-after=500",
                "garbage",
                "garbage processed=no",
                "not-array",
                "foreign-id",
                "duplicate-id",
                "no-content",
                "truncated",
                "expire-token",
                "status=503 path=token",
                "status=400 path=token",
            ]
        ),
        st.sampled_from([1, 2, 5, 7]),
    ),
    st.builds(
        "{} action={} times={}".format,
        st.sampled_from(["drop=after", "late-copy", "status=503"]),
        st.sampled_from(["dispatch", "release"]),
        st.sampled_from([1, 4, 5, 9]),
    ),
    # The outcome stays unknown, and a copy is still under way when the next run begins; or only then comes a refusal.
    st.sampled_from(
        [
            "late-copy; drop=before times=4",
            "late-copy; status=503 times=4",
            "late-copy action=dispatch; status=503 action=dispatch times=4",
            "late-copy action=dispatch; status=400 action=dispatch times=9",
            "drop=after action=dispatch; status=400 action=dispatch times=9",
            "drop=after action=release; status=403 times=9",
        ]
    ),
    st.builds("fail action=dispatch externalid={}".format, st.sampled_from(IDS)),
    st.just("fail action=dispatch"),
)
PROVES_TOO_MUCH = ("fail", "status=400", "status=413")
"""Definite answers: in a run after a lost disk they would be believed, for the state knows of no first copy."""

POINTS = ("backup", "save", "saved", "saving", "append", "appended", "appending", "send", "sent")


class Crash(BaseException):
    """The process is gone."""


@dataclass
class Before:
    """The files as they were before the last apply, its policy, and where the server's record stood."""

    state: bytes
    journal: bytes | None
    declarations: str
    processed: int
    calls: int
    hold: bool


class Machine(RuleBasedStateMachine):
    """A folder, a server, and everything that happens to them.

    What a rule draws never depends on what happened, so that a run with several calls at once can be told again.
    """

    parallelism = 1

    def __init__(self) -> None:
        super().__init__()
        self.server = SandboxServer()
        self.server.start()
        self.place = Workplace(Path(tempfile.mkdtemp()), connection(self.server))
        # httpx reads the system's certificates for each client; these few are enough for plain HTTP.
        self.place.env["SSL_CERT_FILE"] = str(Path(__file__).parent / "sandbox" / "tls" / "cert.pem")
        self.place.env["RECONCILER_PARALLELISM"] = str(self.parallelism)
        self.place.env["RECONCILER_MAX_RELEASE_PERCENT"] = "100"
        assert self.place.run("init").code == 0
        (self.place.folder / "interactions" / "example.yaml").unlink()
        self.declared: dict[str, Declared] = {}
        self.versions = 0
        self.kinds: dict[str, Kind] = {}
        self.before: Before | None = None
        self.lost: Before | None = None
        self._write()

    @initialize(declared=st.dictionaries(st.sampled_from(IDS + ONCES), DECLARED, max_size=4))
    def begin(self, declared: dict[str, Declared]) -> None:
        """Start with something open."""
        self._edit(declared)
        assert self._apply() == 0

    # -- people ----------------------------------------------------------------------------------------------------

    @rule(edits=st.dictionaries(st.sampled_from(IDS + ONCES), st.one_of(DECLARED, DECLARED, st.none()), min_size=1))
    def edit(self, edits: dict[str, Declared | None]) -> None:
        """Add interactions, change their content or provider or lifecycle, or declare them no more."""
        self._edit(edits)

    def _edit(self, edits: Mapping[str, Declared | None]) -> None:
        if self.lost:
            return
        for address, declared in sorted(edits.items()):
            if declared is None:
                self.declared.pop(address, None)
                continue
            self.declared[address] = replace(declared)
            if address in ONCES:
                # Content that was never there before, so that each version may be dispatched once and no more.
                self.versions += 1
                again = declared.on_change == "replace"
                self.declared[address] = Declared(10 + self.versions, declared.provider, "again" if again else "keep")
        self._write()

    @rule(address=st.sampled_from(IDS))
    def agent_completes(self, address: str) -> None:
        """Let an agent end an interaction; nobody is told."""
        self.server.complete(address)

    @rule(address=st.sampled_from(IDS + ONCES))
    def resolve(self, address: str) -> None:
        """Let a person look up what became of an unknown request, and say so."""
        unknown = self._unknown().get(address) or self._doubtful(address)
        if unknown is None or self.lost:
            return
        self.server.release_late_copies()
        answer = "applied" if self._is_applied(address, *unknown) else "not-applied"
        assert self.place.run("state", "resolve", address, "--as", answer).code == 0
        self.before = None

    @rule()
    def release_late_copies(self) -> None:
        """Deliver what the network held back."""
        self.server.release_late_copies()

    # -- runs ------------------------------------------------------------------------------------------------------

    @rule(faults=st.lists(FAULTS, max_size=3), hold=st.sampled_from([False, False, False, True]))
    def apply(self, faults: list[str], hold: bool) -> None:  # noqa: FBT001
        """Run apply, while something goes wrong with its calls."""
        self._expect(faults)
        self._apply(hold=hold)

    @rule(faults=st.lists(FAULTS, min_size=1, max_size=3), edits=st.dictionaries(st.sampled_from(IDS), DECLARED))
    def change_and_apply(self, faults: list[str], edits: dict[str, Declared]) -> None:
        """Change something and run apply, while something goes wrong with its calls."""
        self._edit(edits)
        self._expect(faults)
        self._apply()

    def _expect(self, faults: list[str]) -> None:
        self.server.faults.clear()
        for fault in faults:
            if not (self.lost and any(proof in fault for proof in PROVES_TOO_MUCH)):
                self.server.faults.add(fault)

    def _apply(self, *, hold: bool = False) -> int:
        """Run apply, after a lost disk as the lost run was; where it ends with 0, nothing is left to do."""
        hold = self.lost.hold if self.lost else hold
        self._remember(hold=hold)
        ran = self._run("apply", "--auto-approve", "--allow-empty", hold=hold)
        assert ran.code in {0, 1, 4, 5, 7}, ran
        if ran.code == 5:
            assert self.before is not None
            assert self.before.calls == len(self.server.calls)
        elif ran.code == 0:
            assert self._run("plan", "--detailed-exitcode").code == 0
        links = self._state().pending.values()
        held = {link.address for link in links if link.unknown} if hold else set()  # so it was in the lost run
        if ran.code in {0, 4, 7} and not any(link.unsent for link in links if link.address not in held):
            self.lost = None
        return ran.code

    @rule(address=st.sampled_from(IDS))
    def apply_while_a_release_fails(self, address: str) -> None:
        """Fail a release by accident; more of them in a row would look like one that is gone already."""
        state = self._state()
        links = [link.kind for link in state.pending.values() if link.address == address]
        if address not in state.interactions:
            tries = 0 if Kind.TOLERANT in links else 2
        else:
            doubtful = links or any(failure.address == address for failure in state.failed.values())
            tries = 0 if doubtful else 1
        if tries and not self.lost:
            self._expect([f"fail action=release externalid={address} times={tries}"])
            self._apply()
            self.server.faults.clear()

    @rule(
        edits=st.dictionaries(st.sampled_from(IDS), DECLARED),
        faults=st.lists(FAULTS, max_size=2),
        point=st.sampled_from(POINTS),
        nth=st.sampled_from([1, 1, 1, 2, 3]),
        torn=st.integers(1, 400),
    )
    def crash(self, edits: dict[str, Declared], faults: list[str], point: str, nth: int, torn: int) -> None:
        """Change something and die somewhere in an apply, at the n-th time that it gets there."""
        self._edit(edits)
        self._expect(faults)
        hold = bool(self.lost and self.lost.hold)
        self._remember(hold=hold)
        try:
            with _Crashing(nth, torn).at(point):
                self._run("apply", "--auto-approve", "--allow-empty", hold=hold)
        except Crash:
            return

    @rule()
    def lose_disk(self) -> None:
        """Lose the machine of the last apply: the next one starts from the state of before."""
        before = self.before
        if before is None or before.declarations != self._declarations() or before.calls == len(self.server.calls):
            return
        if self._failed_for_good(before):
            return
        self.place.state_path.write_bytes(before.state)
        journal = journal_path(self.place.state_path)
        if before.journal is None:
            journal.unlink(missing_ok=True)
        else:
            journal.write_bytes(before.journal)
        self.lost, self.before = before, None

    @rule(detailed=st.booleans())
    def plan(self, detailed: bool) -> None:  # noqa: FBT001
        """Plan, which sends and writes nothing."""
        files = {path: path.read_bytes() for path in self.place.folder.rglob("*") if path.is_file()}
        calls = len(self.server.calls)
        ran = self._run("plan", *(["--detailed-exitcode"] if detailed else []))
        assert ran.code in ({0, 2, 5, 7} if detailed else {0}), ran
        assert calls == len(self.server.calls)
        assert {path: path.read_bytes() for path in self.place.folder.rglob("*") if path.is_file()} == files

    # -- what always holds -----------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_open_twice(self) -> None:
        """No externalid is dispatched while it is open, and no `once` ever again."""
        record = self.server.emulator.record
        assert not record.doubles
        assert not record.mixed
        assert not self.server.errors
        assert all(times == 1 for times in record.once_by_content.values()), record.once_by_content

    @invariant()
    def nothing_is_forgotten(self) -> None:
        """Whatever reached the server and is open there is known to the state, and the state decodes."""
        state = self._state()
        if self.lost:
            return
        known = {entry.requestid for entry in state.interactions.values()} | state.pending.keys()
        cleaning = {link.address for link in state.pending.values() if link.kind is not Kind.DISPATCH}
        cleaning |= {failure.address for failure in state.failed.values()}
        for address, opened in self.server.emulator.open.items():
            assert opened.requestid in known or address in cleaning, (address, opened.requestid)
        last = {self._once_of(entry): entry for entry in self.server.emulator.record.processed if _is_once(entry)}
        for address, entry in last.items():
            assert entry.request.requestid in known or address not in self.declared

    def _once_of(self, entry: Processed) -> str:
        version = _version(entry)
        return next((name for name, one in self.declared.items() if one.version == version), "gone")

    # -- the end ---------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Let everything come to rest; then what is open is what is declared, and a plan has nothing to do."""
        try:
            if sys.exception() is None:
                self._come_to_rest()
        finally:
            self.server.stop()
            shutil.rmtree(self.place.folder)

    def _come_to_rest(self) -> None:
        self.server.faults.clear()
        for _ in range(2):
            if self.lost:
                self._apply()
        assert not self.lost
        self._lift_preventions()
        self._until_quiet()
        self.server.release_late_copies()
        code = self._until_quiet()
        state = self._state()
        if code == 7:
            assert {link.address for link in state.pending.values()} <= set(ONCES)
        else:
            assert (code, state.pending, state.failed) == (0, {}, {})
        assert self._run("plan", "--detailed-exitcode").code == code
        self.nothing_is_open_twice()
        self.nothing_is_forgotten()
        self._check_open()
        self._check_onces(state)

    def _lift_preventions(self) -> None:
        for declared in self.declared.values():
            declared.prevent = False
        state = self._state()
        gone = {address for address, entry in state.interactions.items() if entry.prevent_release}
        gone |= {link.address for link in state.pending.values() if link.prevent_release}
        gone |= {failure.address for failure in state.failed.values() if failure.prevent_release}
        gone -= self.declared.keys()
        for address in gone:
            self.declared[address] = Declared(0, None, "replace")
        self._write()
        if gone:
            self._until_quiet()
            for address in gone:
                del self.declared[address]
            self._write()

    def _until_quiet(self) -> int:
        code = -1
        for _ in range(QUIET_WITHIN):
            calls = len(self.server.calls)
            code = self._apply()
            self.nothing_is_open_twice()
            if code == 0 or calls == len(self.server.calls):
                return code
        raise AssertionError(f"not quiet after {QUIET_WITHIN} runs: exit {code}, {self._state()}")

    def _check_open(self) -> None:
        histories = self.server.emulator.record.histories()
        for address in IDS:
            effective = [entry for entry in histories.get(address, ()) if entry.outcome in EFFECTIVE]
            declared = self.declared.get(address)
            if declared is None:
                assert address not in self.server.emulator.open
                continue
            dispatched = [entry for entry in effective if entry.outcome is Handling.DISPATCHED][-1]
            # Who completed it is not asked: what was declared had been open, and the state can't know that it ended.
            assert address in self.server.emulator.open or effective[-1].outcome is Handling.COMPLETED
            if declared.on_change == "replace":
                assert (_version(dispatched), dispatched.provider) == (declared.version, declared.provider)

    def _check_onces(self, state: State) -> None:
        held = {link.address for link in state.pending.values()}
        sent = {_version(entry) for entry in self.server.emulator.record.processed if _is_once(entry)}
        for address in self.declared.keys() & set(ONCES) - held:
            assert address in state.interactions
            if self.declared[address].on_change == "again":
                assert self.declared[address].version in sent

    # -- parts -----------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        self.place.declare(self._declarations(), "all.json")

    def _declarations(self) -> str:
        return json.dumps({"interactions": [one.plain(address) for address, one in sorted(self.declared.items())]})

    def _run(self, *arguments: str, hold: bool = False) -> Ran:
        env = {"RECONCILER_ON_UNKNOWN": "hold"} if hold else {}
        with quick(), self._watching():
            ran = self.place.run(*arguments, env=env)
        assert "Traceback" not in ran.err
        return ran

    @contextmanager
    def _watching(self) -> Iterator[None]:
        save = LocalWriter.save

        def watched(store: LocalWriter, state: State) -> None:
            self.kinds |= {requestid: link.kind for requestid, link in state.pending.items()}
            save(store, state)

        with mock.patch.object(LocalWriter, "save", watched):
            yield

    def _state(self) -> State:
        return LocalStore(self.place.state_path).read().state

    def _remember(self, *, hold: bool) -> None:
        journal = journal_path(self.place.state_path)
        self.before = Before(
            self.place.state_path.read_bytes(),
            journal.read_bytes() if journal.exists() else None,
            self._declarations(),
            len(self.server.emulator.record.processed),
            len(self.server.calls),
            hold,
        )

    def _failed_for_good(self, before: Before) -> bool:
        """Whether the last run had definite failures; that of a burn or of a tolerant release proves nothing."""
        tolerant = {Kind.BURN, Kind.TOLERANT}
        processed = list(self.server.emulator.record.processed)[before.processed :]
        failed = [entry.request.requestid for entry in processed if entry.outcome is Handling.FAILED]
        refused = [call for call in self.server.calls[before.calls :] if call.status in {400, 413}]
        return bool(refused) or any(self.kinds.get(str(requestid)) not in tolerant for requestid in failed)

    def _unknown(self) -> dict[str, tuple[str, Kind]]:
        """Return the first request of unknown outcome of each address that has any."""
        found: dict[str, tuple[str, Kind]] = {}
        for address, links in self._state().chains().items():
            for requestid, link in links:
                if link.unknown:
                    found.setdefault(address, (requestid, link.kind))
        return found

    def _doubtful(self, address: str) -> tuple[str, Kind] | None:
        """Return what failed only when it was sent again, if nothing is pending that settles it."""
        state = self._state()
        if address in state.chains():
            return None
        failures = state.failures().get(address, ())
        return next(((rid, Kind(failure.action)) for rid, failure in failures if failure.resent), None)

    def _is_applied(self, address: str, requestid: str, kind: Kind) -> bool:
        """Return the truth, as a person would find it: nothing is under way any more."""
        taken = [
            entry.outcome for entry in self.server.emulator.record.processed if entry.request.requestid == requestid
        ]
        if kind is Kind.DISPATCH:
            return Handling.DISPATCHED in taken
        if kind is Kind.BURN:
            return bool(taken)
        return Handling.RELEASED in taken or address not in self.server.emulator.open


def _is_once(entry: Processed) -> bool:
    return entry.request.externalid is None and entry.outcome is Handling.DISPATCHED


def _version(entry: Processed) -> int:
    return int(str(entry.request.route).removeprefix("R"))


class _Crashing:
    """Lets the process die at the n-th time that it gets to a point of the store or the sender; files stay as they are.

    `torn`: how many bytes are missing from the last record of a journal that was being written.
    """

    def __init__(self, nth: int, torn: int) -> None:
        self._left = nth
        self._torn = torn

    @contextmanager
    def at(self, point: str) -> Iterator[None]:
        place, name, wrap = {
            "backup": (LocalWriter, "back_up", self._before),
            "save": (LocalWriter, "save", self._before),
            "saved": (LocalWriter, "save", self._after),
            "saving": (LocalWriter, "save", self._saving),
            "append": (LocalWriter, "append", self._before),
            "appended": (LocalWriter, "append", self._after),
            "appending": (LocalWriter, "append", self._appending),
            "send": (Client, "invoke", self._before),
            "sent": (Client, "invoke", self._after),
        }[point]
        with mock.patch.object(place, name, wrap(getattr(place, name))):
            yield

    def _crash_here(self) -> bool:
        self._left -= 1
        return self._left == 0

    def _before(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            if self._crash_here():
                raise Crash
            return original(*arguments)

        return wrapped

    def _after(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            answer = original(*arguments)
            if self._crash_here():
                raise Crash
            return answer

        return wrapped

    def _saving(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(store: LocalWriter, state: State) -> None:
            if self._crash_here():
                store.path.with_name(store.path.name + ".new").write_bytes(b'{"version": 1, "li')
                raise Crash
            original(store, state)

        return wrapped

    def _appending(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(store: LocalWriter, record: Any) -> None:
            journal = journal_path(store.path)
            start = journal.stat().st_size if journal.exists() else 0
            original(store, record)
            if self._crash_here():
                whole = journal.read_bytes()
                journal.write_bytes(whole[: max(start, len(whole) - self._torn)])
                raise Crash

        return wrapped


class BusyMachine(Machine):
    """The same with several calls at once."""

    parallelism = 4


def _settings(examples: int, steps: int, *, derandomize: bool) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=derandomize,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )


def test_nothing_is_lost_or_doubled_whatever_happens() -> None:
    """After any sequence of edits, faults, crashes, lost disks and runs, what is open is what is declared, once."""
    run_state_machine_as_test(Machine, settings=_settings(35, 30, derandomize=True))


@pytest.mark.soak(weight=20)
@pytest.mark.parametrize("machine", [Machine, BusyMachine])
def test_nothing_is_lost_or_doubled_for_a_long_time(machine: type[Machine], in_time: InTime) -> None:
    """The same at random and for much longer, with calls one by one and with several at once."""
    for _ in while_it_lasts(range(50), in_time):
        run_state_machine_as_test(machine, settings=_settings(10, 60, derandomize=False))
