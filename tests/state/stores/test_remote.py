"""A state that several runs share: nothing is lost or doubled, whatever the place answers and whoever comes between."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import orjson
import pytest

from reconciler.errors import ExitCode, StateError, StateLocked
from reconciler.state import codec
from reconciler.state.journal import Record
from reconciler.state.stores.git import GitObjects
from reconciler.state.stores.interface import Found, Objects, Put, StoredState, Unclear
from reconciler.state.stores.remote import RemoteStore, RemoteWriter
from reconciler.state.stores.timing import Timing
from reconciler.state.stores.trial import try_out
from reconciler.state.transitions import fold
from tests.known import AT, LINEAGE, state
from tests.state.stores.memory import (
    Answer,
    Memory,
    MemoryObjects,
    MemoryTogether,
    Scripted,
    honest,
    lost_answer,
    lost_request,
    refused_after_landing,
    refused_without_reason,
    unconditional,
)
from tests.state.stores.places import QUICK
from tests.state.stores.repositories import bare, clone, git
from tests.state.stores.test_stores import DONE, ONE

FOLDED = fold(ONE, [(outcome, AT) for outcome in DONE])
STILL = replace(QUICK, renew=1000.0, lease=4000.0)
"""Nothing is written but what the test writes."""
HOUR = 3600.0


@pytest.fixture
def memory() -> Memory:
    """Give a place with ONE in it."""
    memory = Memory()
    with RemoteStore(MemoryObjects(memory), QUICK).hold("init") as writer:
        writer.create(ONE)
    return memory


def store(memory: Memory, timing: Timing = QUICK) -> RemoteStore:
    """Return a run's store in it."""
    return RemoteStore(MemoryObjects(memory), timing)


def run(store: RemoteStore) -> None:
    """Do to ONE what an apply does that is answered twice."""
    with store.hold("apply") as writer:
        found = writer.read().state
        writer.back_up(found)
        writer.save(found)
        for outcome in DONE:
            writer.append([Record(LINEAGE, ONE.serial, AT, (outcome,))])
            writer.settle()
        writer.save(FOLDED)


def body(memory: Memory, name: str = "") -> Any:
    """Return an object as JSON."""
    return orjson.loads(memory.objects[name].body)


# -- what a run leaves ---------------------------------------------------------------------------------------------


def test_a_run_leaves_state_backup_and_a_free_lock(memory: Memory) -> None:
    """The state says which write it was, the backup is the state of before, and the lock was given back."""
    before = memory.objects[""].body
    run(store(memory))
    assert {*memory.objects} == {"", ".backup", ".lock"}
    assert store(memory).read() == StoredState(FOLDED, left_over=False)
    assert (body(memory)["serial"], len(body(memory)["write"])) == (FOLDED.serial, 32)
    assert memory.objects[".backup"].body == before
    assert body(memory, ".lock")["released"] is True
    assert {"id", "user", "host", "pid", "command", "job", "commit", "since", "seconds"} <= body(memory, ".lock").keys()


def test_a_state_that_was_laid_out_anew_is_read(memory: Memory) -> None:
    """A person or a tool may have written the object, with our key or as a plain state."""
    for text in (orjson.dumps(body(memory), option=orjson.OPT_INDENT_2), b"".join(codec.encode(ONE))):
        memory.objects[""] = Found(text, 0)
        assert store(memory).read().state == ONE


def test_what_is_left_of_a_fold_is_removed_by_the_next_run(memory: Memory) -> None:
    """Groups that were folded already count no more, and go, though nothing is saved."""
    old = f".journal/{ONE.serial - 1:016d}-gone-000001"
    memory.objects[old] = Found(b"whatever", 0)
    assert store(memory).read() == StoredState(ONE, left_over=False)
    with store(memory).hold("apply") as writer:
        writer.read()
    assert old not in memory.objects


def test_outcomes_come_in_groups(memory: Memory) -> None:
    """Many records make few objects; nothing waits for any of them but a barrier."""
    with store(memory, replace(STILL, group=HOUR)).hold("apply") as writer:
        writer.read()
        writer.save(ONE)
        for outcome in DONE:
            writer.append([Record(LINEAGE, ONE.serial, AT, (outcome,))])
        assert not MemoryObjects(memory).names(".journal/")
        writer.settle()
        [name] = MemoryObjects(memory).names(".journal/")
        assert name.startswith(f".journal/{ONE.serial:016d}-")
        assert store(memory).read().state == FOLDED


def test_lease_and_outcomes_are_written_together_where_that_can_be(memory: Memory) -> None:
    """A place that counts its writes gets one for both."""
    calls: list[list[str]] = []

    class Counted(MemoryTogether):
        def put_all(self, puts: Any) -> list[object]:
            calls.append([put.name.partition("-")[0] for put in puts])
            return super().put_all(puts)

    with RemoteStore(Counted(memory), STILL).hold("apply") as writer:
        writer.read()
        writer.back_up(ONE)
        writer.save(ONE)
        writer.append([Record(LINEAGE, ONE.serial, AT, DONE)])
        writer.settle()
    assert calls == [[".lock"], [".backup", ""], [".lock", f".journal/{ONE.serial:016d}"], [".lock"]]


# -- places that answer wrongly ------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [lost_answer, lost_request, refused_after_landing, refused_without_reason])
@pytest.mark.parametrize("write", range(7))
def test_an_answer_that_tells_nothing_or_lies_is_seen_through(answer: Answer, write: int, memory: Memory) -> None:
    """Whichever write it is about, the run comes to the same end: what is there is read back."""
    script = chain(repeat(None, write), [answer])
    run(RemoteStore(Scripted(MemoryObjects(memory), script), STILL))
    assert not list(script), "no write was answered so"
    assert store(memory).read() == StoredState(FOLDED, left_over=False)
    assert {*memory.objects} == {"", ".backup", ".lock"}


def test_a_place_that_never_answers_is_an_error_after_a_while(memory: Memory) -> None:
    """Nothing is waited for without end; the error names the place and what happened."""
    with pytest.raises(StateError, match=r"memory:test: it can't be written: no answer"):
        run(RemoteStore(Scripted(MemoryObjects(memory), repeat(lost_request)), replace(STILL, patience=0.05)))
    with pytest.raises(StateError, match=r"memory:test: it can't be written: it refuses"):
        run(RemoteStore(Scripted(MemoryObjects(memory), repeat(refused_without_reason)), replace(STILL, patience=0.05)))


def another_came_first(objects: Objects, put: Put) -> object:
    """Have another run write the object just before."""
    there = objects.get(put.name)
    objects.put(put.name, state_body(8), there.version if there else None)
    return honest(objects, put)


def another_came_after(objects: Objects, put: Put) -> object:
    """Have another run write the object just after, with our answer lost."""
    version = honest(objects, put)
    objects.put(put.name, state_body(8), version)
    raise Unclear("no answer")


def state_body(serial: int) -> bytes:
    """Return a state as another tool may have written it."""
    return b"".join(codec.encode(state(serial=serial)))


@pytest.mark.parametrize("answer", [another_came_first, another_came_after])
@pytest.mark.parametrize("nth", [0, 1])
def test_a_state_that_another_run_wrote_is_left_to_it(answer: Answer, nth: int, memory: Memory) -> None:
    """Even under the lock, a write counts only for the state that was read: nothing more is done, exit 6."""
    states = iter([None, answer] if nth else [answer])

    class Overtaken(Scripted):
        def put(self, name: str, body: bytes, expected: object | None) -> object:
            self.script = states if name == "" else iter(())
            return super().put(name, body, expected)

    with pytest.raises(
        StateLocked, match=r"memory:test: the state was written by another run meanwhile: .*@"
    ) as raised:
        run(RemoteStore(Overtaken(MemoryObjects(memory), iter(())), STILL))
    assert raised.value.exit_code is ExitCode.LOCKED
    assert ("Nothing was sent" in raised.value.hint) == (nth == 0)
    assert memory.objects[""].body == state_body(8)


def test_a_run_whose_state_was_put_back_keeps_what_it_knew(memory: Memory) -> None:
    """Where what is there does not follow what this run saved, that is kept beside it."""
    with store(memory, STILL).hold("apply") as writer:
        writer.read()
        writer.save(ONE)
        saved = memory.objects[""].body
        memory.objects[""] = Found(state_body(ONE.serial - 1), 0)
        with pytest.raises(StateLocked, match="written by another run") as raised:
            writer.save(FOLDED)
    [aside] = MemoryObjects(memory).names(".aside.")
    assert f"beside it, as …{aside} " in raised.value.hint, "on a branch, its place and this make no name"
    assert memory.objects[aside].body == saved


# -- places that are not trusted -----------------------------------------------------------------------------------


class Forgetful(MemoryObjects):
    """Reads what it read first, as a cache does."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.first: dict[str, Found | None] = {}

    def get(self, name: str) -> Found | None:
        """See Objects."""
        self.first = {name: super().get(name), **getattr(self, "first", {})}
        return self.first[name]

    def put(self, name: str, body: bytes, expected: object | None) -> object:
        """See Objects."""
        version = super().put(name, body, expected)
        self.get(name)
        return version


class Resurrecting(MemoryObjects):
    """Writes what is gone, whatever the condition says."""

    def put(self, name: str, body: bytes, expected: object | None) -> object:
        """See Objects."""
        return super().put(name, body, expected if name in self.memory.objects else None)


class Unlisting(MemoryObjects):
    """Lists late."""

    def names(self, start: str) -> list[str]:
        """See Objects."""
        return super().names(start)[1:]


class Overwriting(MemoryObjects):
    """Knows `create`, and no versions."""

    def put(self, name: str, body: bytes, expected: object | None) -> object:
        """See Objects."""
        there = self.get(name)
        return super().put(name, body, there.version if there and expected else expected)


@pytest.mark.parametrize(
    ("objects", "lack"),
    [
        (Scripted(MemoryObjects(Memory()), repeat(unconditional)), "overwrites an object that it was told to create"),
        (Overwriting(Memory()), "is not the version that it was told to replace"),
        (Forgetful(Memory()), "what was just written is not what is read"),
        (Unlisting(Memory()), "what was just written is not listed"),
        (Resurrecting(Memory()), "writes an object that is gone"),
        (Scripted(MemoryObjects(Memory()), repeat(lost_request)), "can't be tried: no answer"),
    ],
)
def test_a_place_that_accepts_what_it_must_refuse_is_refused(objects: Objects, lack: str) -> None:
    """Each lack is named, and nothing is left of the trial."""
    with pytest.raises(StateError, match=lack):
        try_out(objects)


# -- the lease -----------------------------------------------------------------------------------------------------


class Cut(MemoryObjects):
    """A way to the place that can be cut off: its writes wait, as those of a process that is stopped."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.open = threading.Event()
        self.open.set()

    def put(self, name: str, body: bytes, expected: object | None) -> object:
        """See Objects."""
        self.open.wait()
        return super().put(name, body, expected)


@contextmanager
def cut_off(memory: Memory) -> Iterator[tuple[RemoteWriter, Cut]]:
    """Give who holds the state and has saved ONE, cut off from the place, and the way there."""
    way = Cut(memory)
    with RemoteStore(way, QUICK).hold("apply") as writer:
        writer.read()
        writer.save(ONE)
        way.open.clear()
        try:
            yield writer, way
        finally:
            way.open.set()


def stops(robbed: RemoteWriter, why: str) -> None:
    """Require that a run that was robbed notices by its next renewal, and does nothing from then on."""
    with suppress(StateLocked):
        time.sleep(2 * QUICK.renew)
        robbed.settle()
    for act in (robbed.require_held, robbed.settle, lambda: robbed.append([]), lambda: robbed.save(FOLDED)):
        with pytest.raises(StateLocked, match=why):
            act()


def test_a_holder_that_lives_is_not_robbed(memory: Memory) -> None:
    """A lease that is renewed stays held for longer than its time; who waits is refused once it was seen alive."""
    with store(memory).hold("apply") as writer:
        writer.read()
        began = time.monotonic()
        with pytest.raises(StateLocked, match="the state is locked by") as raised, store(memory).hold("apply"):
            pass
        assert time.monotonic() - began < QUICK.lease
        lease = body(memory, ".lock")["id"]
        assert raised.value.command == ("state", "unlock", lease)
        with pytest.raises(StateLocked), store(memory).hold("apply", timeout=1.5 * QUICK.lease):
            pass
        writer.require_held()


def test_a_dead_lease_is_taken_after_its_time(memory: Memory) -> None:
    """Who sees no sign of life takes it, with no time to wait given; the robbed run does nothing more."""
    said: list[str] = []
    with cut_off(memory) as (robbed, way):
        with store(memory).hold("state rm", say=said.append) as writer:
            assert writer.read().state == ONE
            writer.save(state(serial=40))
        way.open.set()
        stops(robbed, "lost the lock of the state: it was taken by .*`state rm`")
    assert "no sign of life for 1 s" in said[0]
    assert store(memory).read().state == state(serial=40)
    assert body(memory, ".lock")["command"] == "state rm"


def test_outcomes_of_a_robbed_run_count_no_more(memory: Memory) -> None:
    """Once another run has saved, a group that the robbed one still wrote is of no use, and does no harm."""
    with cut_off(memory) as (robbed, way):
        robbed.append([Record(LINEAGE, ONE.serial, AT, DONE)])
        with store(memory).hold("apply") as writer:
            writer.read()
            writer.save(state(serial=40))
            with suppress(StateError):
                way.open.set()
                robbed.settle()
    assert store(memory).read() == StoredState(state(serial=40), left_over=False)


def test_a_lease_that_was_given_up_is_taken_at_once(memory: Memory) -> None:
    """`state unlock` takes it from a run that lives: the next has the state, and that run does nothing more."""
    with store(memory).hold("apply") as writer:
        writer.read()
        who = store(memory).unlock(body(memory, ".lock")["id"])
        assert "`apply`" in who
        with store(memory).hold("apply") as second:
            second.read()
            stops(writer, "lost the lock of the state: it was taken by")
    with pytest.raises(StateError, match="the state is not locked"):
        store(memory).unlock("x")


def test_only_the_named_lock_is_taken(memory: Memory) -> None:
    """Who read of another lock before takes none by mistake."""
    with store(memory).hold("apply") as writer:
        with pytest.raises(StateError, match="the lock is that of") as raised:
            store(memory).unlock("another")
        assert raised.value.command == ("state", "unlock", body(memory, ".lock")["id"])
        writer.require_held()


def test_a_lock_that_says_nothing_is_somebodys_until_it_is_dead(memory: Memory) -> None:
    """Whatever stands there is not overwritten before its time."""
    memory.objects[".lock"] = Found(b"not ours", 0)
    began = time.monotonic()
    with store(memory, replace(QUICK, lease=0.3)).hold("apply"):
        assert time.monotonic() - began >= 0.3


def test_a_run_that_slept_asks_before_it_sends(memory: Memory) -> None:
    """After a jump of its clock by hours a holder renews first: it goes on if nobody came, and stops otherwise."""
    jumped = 0.0
    timing = replace(STILL, always=lambda: time.monotonic() + jumped)
    with store(memory, timing).hold("apply") as writer:
        before = body(memory, ".lock")
        writer.require_held()
        assert body(memory, ".lock") == before
        for jump in (3 * HOUR, 6 * HOUR, HOUR):
            jumped = jump
            writer.require_held()
        assert body(memory, ".lock")["renewed"] == before["renewed"] + 2
        store(memory).unlock(before["id"])
        jumped = 9 * HOUR
        with pytest.raises(StateLocked, match="lost the lock"):
            writer.require_held()


@pytest.mark.parametrize("jump", [-5 * HOUR, 5 * HOUR])
def test_no_two_clocks_are_compared(jump: float, memory: Memory) -> None:
    """Whoever waits goes by what changes, however far its clocks are from the holder's."""
    shifted = replace(QUICK, awake=lambda: time.monotonic() + jump, always=lambda: time.monotonic() + jump)
    with store(memory).hold("apply"), pytest.raises(StateLocked), store(memory, shifted).hold("apply"):
        pass
    with store(memory, shifted).hold("apply") as writer:
        assert writer.read().state == ONE


def test_slow_renewals_do_not_lose_a_lease_that_nobody_wants(memory: Memory) -> None:
    """A place that takes longer for a renewal than the lease is trusted holds up what is sent, and no more."""

    def slowly(objects: Objects, put: Put) -> object:
        time.sleep(QUICK.lease if put.name == ".lock" else 0)
        return honest(objects, put)

    slow = Scripted(MemoryObjects(memory), chain([None], repeat(slowly, 2)))
    with RemoteStore(slow, QUICK).hold("apply") as writer:
        time.sleep(QUICK.lease)
        writer.require_held()
        writer.read()
        writer.save(FOLDED)
    assert store(memory).read().state == FOLDED


# -- others at the same time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["names", "get"])
def test_a_reader_sees_a_state_with_its_own_outcomes(when: str, memory: Memory) -> None:
    """A run that folds between two reads leaves no reader with a state and the outcomes of another."""
    folded = False

    class Between(MemoryObjects):
        def names(self, start: str) -> list[str]:
            found = super().names(start)
            if when == "names":
                fold_now()
            return found

        def get(self, name: str) -> Found | None:
            found = super().get(name)
            if when == "get" and name == "":
                fold_now()
            return found

    def fold_now() -> None:
        nonlocal folded
        if not folded:
            folded = True
            writer.save(FOLDED)

    with store(memory).hold("apply") as writer:
        writer.read()
        writer.save(ONE)
        writer.append([Record(LINEAGE, ONE.serial, AT, DONE)])
        writer.settle()
        assert RemoteStore(Between(memory), QUICK).read().state == FOLDED


def test_of_many_runs_each_has_its_turn(memory: Memory) -> None:
    """Runs that all want the state at once save one after the other, each on what the one before it saved."""

    def work() -> None:
        with store(memory).hold("apply", timeout=60) as writer:
            found = writer.read().state
            writer.save(replace(found, serial=found.serial + 1))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store(memory).read().state == replace(ONE, serial=ONE.serial + 4)


def test_a_state_that_was_put_back_is_refused_with_its_journal(memory: Memory) -> None:
    """Outcomes ahead of the state mean that an old one was put back: refused, until they are set aside."""
    later = replace(ONE, serial=ONE.serial + 5)
    with store(memory).hold("apply") as writer:
        writer.read()
        writer.save(later)
        writer.append([Record(LINEAGE, later.serial, AT, (DONE[0],))])
        writer.settle()
    memory.objects[""] = Found(b"".join(codec.encode(ONE)), 0)
    with pytest.raises(StateError, match="restored from an older copy"):
        store(memory).read()
    with store(memory).hold("state new-lineage") as writer:
        found, aside = writer.read_despite_journal()
        assert found == ONE
        writer.save(state(serial=30))
    assert aside
    assert aside.removeprefix("…").removesuffix(", beside it") in memory.objects
    assert store(memory).read() == StoredState(state(serial=30), left_over=False)


def test_on_a_branch_a_run_is_as_few_pushes_as_can_be(tmp_path: Path) -> None:
    """Lock, intent, outcomes with the lock at each barrier, the end, and the lock given back with what is folded."""
    remote = bare(tmp_path / "remote.git")
    store = RemoteStore(GitObjects("git:state", clone(tmp_path / "clone", remote.as_uri()), "s.json"), STILL)
    with store.hold("init") as writer:
        writer.create(ONE)
    before = git(remote, "rev-parse", "state")
    run(store)
    told = git(remote, "log", "--reverse", "--format=%s", f"{before}..state").splitlines()
    kinds = ["lock", "backup, state", "lock, outcomes", "lock, outcomes", "state", "lock"]
    assert told == [f"s.json: {kind} [skip ci]" for kind in kinds]
    assert git(remote, "ls-tree", "-r", "--name-only", "state").split() == ["s.json", "s.json.backup", "s.json.lock"]
