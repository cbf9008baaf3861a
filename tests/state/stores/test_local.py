"""The state on disk: replaced whole, readable at any moment, and nothing lost when a write fails."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import pytest

from reconciler.errors import StateError, StateMissing
from reconciler.state import codec, journal
from reconciler.state.journal import Record
from reconciler.state.model import Outcome, Result, State
from reconciler.state.stores.interface import StoredState
from reconciler.state.stores.local import LocalStore, LocalWriter, backup_path
from reconciler.state.stores.reading import journal_path
from reconciler.state.transitions import fold
from tests.known import AT, LINEAGE, interaction, opened, pending, state
from tests.state.stores.failing_disk import FailingDisk

ONE: Final = state(pending={"p1": pending(interaction("A")), "p2": pending(interaction("B"))})
DONE: Final = [Outcome("p1", Result.SUCCEEDED), Outcome("p2", Result.FAILED, "no")]


def record(outcome: Outcome) -> Record:
    """Return the record of one outcome of ONE."""
    return Record(LINEAGE, ONE.serial, AT, (outcome,))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give where a state may be."""
    return tmp_path / "reconciler.state.json"


@pytest.fixture
def store(path: Path) -> Iterator[LocalWriter]:
    """Give who may write ONE."""
    with hold(path) as store:
        store.create(ONE)
        yield store


def hold(path: Path) -> AbstractContextManager[LocalWriter]:
    """Hold the state, as a command does."""
    return LocalStore(path).hold("test")


def read(path: Path) -> StoredState:
    """Read the state, as anybody may."""
    return LocalStore(path).read()


def names(path: Path) -> set[str]:
    """Return what else stands in the state's folder."""
    return {other.name.removeprefix(path.name) for other in path.parent.iterdir()} - {"", ".lock"}


def mode(path: Path) -> int:
    """Return a file's permissions."""
    return path.stat().st_mode & 0o7777


def test_what_is_saved_is_read(store: LocalWriter, path: Path) -> None:
    """A saved state is read back, and no temporary file is left."""
    store.save(state(serial=8))
    found = read(path)
    assert (found.state, found.left_over) == (state(serial=8), False)
    assert names(path) == set()


def test_create_keeps_what_is_there(store: LocalWriter, path: Path) -> None:
    """A state is never made where there is one."""
    before = path.read_bytes()
    with pytest.raises(StateError, match="there is a state already"):
        store.create(state(serial=0))
    assert path.read_bytes() == before


def test_create_refuses_a_journal_without_its_state(path: Path) -> None:
    """A journal whose state is gone is evidence: nothing new is made beside it."""
    journal_path(path).write_bytes(journal.encode(record(DONE[0])))
    with hold(path) as store, pytest.raises(StateError, match="already"):
        store.create(state())


def test_a_missing_state_says_what_to_do(path: Path) -> None:
    """No state is an error of its own kind, which says that it may be lost, and how to make the first one."""
    with pytest.raises(StateMissing, match="there is no state") as error:
        read(path)
    assert error.value.command == ("init",)
    assert "path is wrong" in error.value.hint


def test_a_missing_state_beside_its_journal_says_so(path: Path) -> None:
    """Where a journal is left, a state was lost: the way on is to restore it."""
    journal_path(path).write_bytes(journal.encode(record(DONE[0])))
    with pytest.raises(StateMissing, match="a journal, but no state") as error:
        read(path)
    assert "Restore" in error.value.hint


@pytest.mark.parametrize("name", ["", ".journal"])
def test_what_can_not_be_read_is_an_error(store: LocalWriter, path: Path, name: str) -> None:
    """A folder where a file should be is an error that names it."""
    blocked = path.with_name(path.name + name)
    blocked.unlink(missing_ok=True)
    blocked.mkdir()
    with pytest.raises(StateError, match=f"{blocked.name}: the .* can't be read"):
        read(store.path)


def test_a_new_state_is_the_users_alone(store: LocalWriter, path: Path) -> None:
    """The files that we create are 0600."""
    store.append([record(DONE[0])])
    assert (mode(path), mode(journal_path(path))) == (0o600, 0o600)


@pytest.mark.parametrize("permissions", [0o644, 0o640, 0o660])
def test_permissions_are_kept(store: LocalWriter, path: Path, permissions: int) -> None:
    """Whoever widened a state's permissions finds them as they were."""
    path.chmod(permissions)
    store.save(state(serial=8))
    assert mode(path) == permissions


def test_outcomes_are_folded_in_memory(store: LocalWriter, path: Path) -> None:
    """A left-over journal counts, and reading writes nothing."""
    store.append([record(DONE[0])])
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    found = read(path)
    assert found.left_over
    assert found.state == fold(ONE, [(DONE[0], AT)])
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before


def test_what_was_prepared_is_saved_only_if_it_is_still_so(store: LocalWriter, path: Path) -> None:
    """An entry made ready before the save is written as it is then; one that has changed since is encoded anew."""
    one, two, other = opened(interaction("A")), opened(interaction("B")), opened(interaction("B"), settled=True)
    store.prepare({"A": one, "B": two, "C": two})
    after = state(serial=8, interactions={"A": one, "B": other})
    store.save(after)
    assert path.read_bytes() == b"".join(codec.encode(after))
    assert read(path).state == after


def test_a_save_removes_the_journal(store: LocalWriter, path: Path) -> None:
    """What is folded into the state is in the journal no more."""
    store.append([record(DONE[0])])
    store.save(fold(ONE, [(DONE[0], AT)]))
    assert names(path) == set()


def test_a_journal_that_outlived_its_fold_counts_once(store: LocalWriter, path: Path) -> None:
    """If the machine stops between the save and the removal, the records are known by their serial."""
    store.append([record(DONE[0])])
    left = journal_path(path).read_bytes()
    after = fold(ONE, [(DONE[0], AT)])
    store.save(after)
    journal_path(path).write_bytes(left)
    assert read(path).state == after


def test_the_next_run_saves_over_a_left_over_journal(path: Path) -> None:
    """The next run folds what the last one left, and its own first record starts a new journal."""
    with hold(path) as store:
        store.create(ONE)
        for outcome in DONE:
            store.append([record(outcome)])
    again = state(serial=9, pending={"p3": pending(interaction("C"))})
    with hold(path) as store:
        assert store.read() == StoredState(fold(ONE, [(outcome, AT) for outcome in DONE]), left_over=True)
        store.save(again)
        third = Record(LINEAGE, 9, AT, (Outcome("p3", Result.SUCCEEDED),))
        store.append([third])
        assert journal_path(path).read_bytes() == journal.encode(third)


def test_the_backup_costs_no_bytes(store: LocalWriter, path: Path) -> None:
    """The backup is the state's own file under a second name, until the state is replaced."""
    store.back_up(ONE)
    assert path.stat().st_ino == backup_path(path).stat().st_ino
    before = path.read_bytes()
    store.save(state(serial=8))
    assert backup_path(path).read_bytes() == before
    assert names(path) == {".backup"}


def test_the_backup_is_the_state_before_the_last_save(store: LocalWriter, path: Path) -> None:
    """A second backup replaces the first, and a backup of what is backed up already leaves nothing behind."""
    store.back_up(ONE)
    second = state(serial=8)
    store.save(second)
    store.back_up(second)
    store.back_up(second)
    store.save(state(serial=9))
    assert codec.decode(backup_path(path).read_bytes(), "s") == second
    assert names(path) == {".backup"}


def test_the_backup_is_a_copy_where_links_are_not_known(store: LocalWriter, path: Path) -> None:
    """A file system without hard links gets a copy, 0600."""
    with FailingDisk("link", number=errno.EPERM):
        store.back_up(ONE)
    assert backup_path(path).read_bytes() == path.read_bytes()
    assert mode(backup_path(path)) == 0o600


def test_the_backup_of_what_is_not_public_any_more(store: LocalWriter, path: Path) -> None:
    """What the state held that is sensitive by now is not in the backup: it is the state without."""
    public = state(pending={"p1": pending(interaction("A"), fields=b"{}")})
    store.back_up(public)
    assert codec.decode(backup_path(path).read_bytes(), "s") == public
    assert mode(backup_path(path)) == 0o600


@pytest.mark.parametrize("call", ["pwrite", "fsync", "fstat"])
def test_after_a_failed_append_the_next_one_starts_at_the_last_good_offset(
    store: LocalWriter, path: Path, call: str
) -> None:
    """A record that could not be written leaves no trace before the next one."""
    store.append([record(DONE[0])])
    with (
        FailingDisk(call, times=1, half=call == "pwrite"),
        pytest.raises(StateError, match="the journal can't be written: No space left on device") as error,
    ):
        store.append([record(Outcome("p2", Result.SUCCEEDED))])
    assert "Nothing more was sent" in error.value.hint
    store.append([record(DONE[1])])
    assert journal_path(path).read_bytes() == b"".join(journal.encode(record(outcome)) for outcome in DONE)


def test_what_cannot_be_cut_off_is_not_written_behind(store: LocalWriter, path: Path) -> None:
    """Half a record that can't be cut off again stays the end of the journal, until it can."""
    store.append([record(DONE[0])])
    with FailingDisk("pwrite", half=True), FailingDisk("ftruncate"):
        for _ in range(2):
            with pytest.raises(StateError, match="the journal can't be written: No space left on device"):
                store.append([record(DONE[1])])
            assert journal.decode(journal_path(path).read_bytes(), "j") == (record(DONE[0]),)
    store.append([record(DONE[1])])
    assert journal_path(path).read_bytes() == b"".join(journal.encode(record(outcome)) for outcome in DONE)


def test_answers_that_came_together_share_a_write_and_a_sync(store: LocalWriter, path: Path) -> None:
    """Several records cost one write and one fsync; if that fails, the next ones take the place of all of them."""
    store.append([record(DONE[0])])
    with FailingDisk("none") as disk:
        store.append(list(map(record, DONE)))
    assert [call.call for call in disk.seen if call.call in {"pwrite", "fsync"}] == ["pwrite", "fsync"]
    assert len(journal.decode(journal_path(path).read_bytes(), "journal")) == 1 + len(DONE)
    with FailingDisk("fsync"), pytest.raises(StateError):
        store.append(list(map(record, DONE)))
    store.append([record(DONE[1])])
    assert len(journal.decode(journal_path(path).read_bytes(), "journal")) == 2 + len(DONE)


def test_a_read_never_mixes_two_saves(store: LocalWriter, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process saves and appends, each read is a state as it once was, whole."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    rounds, ended = 150, threading.Event()

    def write() -> None:
        now: State = ONE
        for number in range(rounds):
            address = f"X{number}"
            begun = state(serial=now.serial + 1, pending={address: pending(interaction(address))})
            store.save(begun)
            outcome = Outcome(address, Result.SUCCEEDED)
            store.append([Record(LINEAGE, begun.serial, AT, (outcome,))])
            now = fold(begun, [(outcome, AT)])
            store.save(now)
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    serials, reads = [ONE.serial], 0
    while not ended.is_set():
        seen = read(path).state
        assert seen == ONE or len(seen.pending) + len(seen.interactions) == 1
        serials.append(seen.serial)
        reads += 1
    writer.join()
    assert serials == sorted(serials), "a later read is never of an earlier state"
    assert reads
    assert read(path).state.serial == ONE.serial + 2 * rounds


def test_a_foreign_journal_is_told_and_set_aside(path: Path) -> None:
    """A restored state is read for what it is; the journal that is ahead of it is kept under another name."""
    with hold(path) as store:
        store.create(ONE)
        store.append([record(DONE[0])])
    ahead = journal_path(path).read_bytes()
    path.write_bytes(b"".join(codec.encode(state(serial=3))))
    with pytest.raises(StateError, match="restored from an older copy"):
        read(path)
    with hold(path) as store:
        found, aside = store.read_despite_journal()
        assert (found, aside) == (state(serial=3), f"{path}.journal.aside1")
        assert (path.with_name(f"{path.name}.journal.aside1").read_bytes(), names(path)) == (
            ahead,
            {".journal", ".journal.aside1"},
        )
        with pytest.raises(StateError, match="restored from an older copy"):
            read(path)
        store.save(state(serial=4))
    assert read(path).state == state(serial=4)
    journal_path(path).write_bytes(b"another\n")
    with hold(path) as store:
        assert store.read_despite_journal()[1] == f"{path}.journal.aside2"
    assert path.with_name(f"{path.name}.journal.aside1").read_bytes() == ahead


def test_an_own_journal_is_not_foreign(store: LocalWriter) -> None:
    """A journal that belongs to the state is folded, not set aside."""
    store.append([record(DONE[0])])
    assert store.read_despite_journal() == (fold(ONE, [(DONE[0], AT)]), None)


def test_a_state_of_many_is_read_as_written(store: LocalWriter, path: Path) -> None:
    """A state larger than any single write comes back whole."""
    many = state(serial=8, interactions={f"A{n:05}": opened(interaction(f"A{n:05}")) for n in range(5_000)})
    store.save(many)
    assert path.stat().st_size > 1_000_000
    assert read(path).state == many
