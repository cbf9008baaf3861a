"""The state on disk: replaced whole, readable at any moment, and nothing lost when a write fails."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from reconciler.errors import StateError, StateMissing
from reconciler.state import codec, journal
from reconciler.state.journal import Record
from reconciler.state.model import Outcome, Result, State
from reconciler.state.stores import local
from reconciler.state.stores.local import StateFile, backup_path, journal_path
from reconciler.state.transitions import fold
from tests.known import AT, LINEAGE, interaction, opened, pending, state

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
def store(path: Path) -> StateFile:
    """Give a store that holds ONE."""
    store = StateFile(path)
    store.create(ONE)
    return store


def names(path: Path) -> set[str]:
    """Return what else stands in the state's folder."""
    return {other.name.removeprefix(path.name) for other in path.parent.iterdir()} - {""}


def mode(path: Path) -> int:
    """Return a file's permissions."""
    return path.stat().st_mode & 0o7777


def test_what_is_saved_is_read(store: StateFile, path: Path) -> None:
    """A saved state is read back, and no temporary file is left."""
    store.save(state(serial=8))
    found = local.read(path)
    assert (found.state, found.left_over) == (state(serial=8), False)
    assert names(path) == set()


def test_create_keeps_what_is_there(store: StateFile, path: Path) -> None:
    """A state is never made where there is one."""
    before = path.read_bytes()
    with pytest.raises(StateError, match="there is a state already"):
        store.create(state(serial=0))
    assert path.read_bytes() == before


def test_create_refuses_a_journal_without_its_state(path: Path) -> None:
    """A journal whose state is gone is evidence: nothing new is made beside it."""
    journal_path(path).write_bytes(journal.encode(record(DONE[0])))
    with pytest.raises(StateError, match="already"):
        StateFile(path).create(state())


def test_a_missing_state_says_what_to_do(path: Path) -> None:
    """No state is an error of its own kind, which says that it may be lost, and how to make the first one."""
    with pytest.raises(StateMissing, match="there is no state") as error:
        local.read(path)
    assert error.value.command == ("init",)
    assert "path is wrong" in error.value.hint


def test_a_missing_state_beside_its_journal_says_so(path: Path) -> None:
    """Where a journal is left, a state was lost: the way on is to restore it."""
    journal_path(path).write_bytes(journal.encode(record(DONE[0])))
    with pytest.raises(StateMissing, match="a journal, but no state") as error:
        local.read(path)
    assert "Restore" in error.value.hint


@pytest.mark.parametrize("name", ["", ".journal"])
def test_what_can_not_be_read_is_an_error(store: StateFile, path: Path, name: str) -> None:
    """A folder where a file should be is an error that names it."""
    blocked = path.with_name(path.name + name)
    blocked.unlink(missing_ok=True)
    blocked.mkdir()
    with pytest.raises(StateError, match=f"{blocked.name}: the .* can't be read"):
        local.read(store.path)


def test_a_new_state_is_the_users_alone(store: StateFile, path: Path) -> None:
    """The files that we create are 0600."""
    store.append([record(DONE[0])])
    assert (mode(path), mode(journal_path(path))) == (0o600, 0o600)


@pytest.mark.parametrize("permissions", [0o644, 0o640, 0o660])
def test_permissions_are_kept(store: StateFile, path: Path, permissions: int) -> None:
    """Whoever widened a state's permissions finds them as they were."""
    path.chmod(permissions)
    store.save(state(serial=8))
    assert mode(path) == permissions


def test_outcomes_are_folded_in_memory(store: StateFile, path: Path) -> None:
    """A left-over journal counts, and reading writes nothing."""
    store.append([record(DONE[0])])
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    found = local.read(path)
    assert found.left_over
    assert found.state == fold(ONE, [(DONE[0], AT)])
    assert {file: file.read_bytes() for file in path.parent.iterdir()} == before


def test_what_was_prepared_is_saved_only_if_it_is_still_so(store: StateFile, path: Path) -> None:
    """An entry made ready before the save is written as it is then; one that has changed since is encoded anew."""
    one, two, other = opened(interaction("A")), opened(interaction("B")), opened(interaction("B"), settled=True)
    store.prepare({"A": one, "B": two, "C": two})
    after = state(serial=8, interactions={"A": one, "B": other})
    store.save(after)
    assert path.read_bytes() == b"".join(codec.encode(after))
    assert local.read(path).state == after


def test_a_save_removes_the_journal(store: StateFile, path: Path) -> None:
    """What is folded into the state is in the journal no more."""
    store.append([record(DONE[0])])
    store.save(fold(ONE, [(DONE[0], AT)]))
    assert names(path) == set()


def test_a_journal_that_outlived_its_fold_counts_once(store: StateFile, path: Path) -> None:
    """If the machine stops between the save and the removal, the records are known by their serial."""
    store.append([record(DONE[0])])
    left = journal_path(path).read_bytes()
    after = fold(ONE, [(DONE[0], AT)])
    store.save(after)
    journal_path(path).write_bytes(left)
    assert local.read(path).state == after


def test_a_fresh_store_saves_over_a_left_over_journal(store: StateFile, path: Path) -> None:
    """The next run folds what the last one left, and its own first record starts a new journal."""
    for outcome in DONE:
        store.append([record(outcome)])
    after = fold(ONE, [(outcome, AT) for outcome in DONE])
    again = state(serial=9, pending={"p3": pending(interaction("C"))})
    fresh = StateFile(path)
    fresh.save(after)
    fresh.save(again)
    third = Record(LINEAGE, 9, AT, (Outcome("p3", Result.SUCCEEDED),))
    fresh.append([third])
    assert journal_path(path).read_bytes() == journal.encode(third)


def test_the_backup_costs_no_bytes(store: StateFile, path: Path) -> None:
    """The backup is the state's own file under a second name, until the state is replaced."""
    store.back_up()
    assert path.stat().st_ino == backup_path(path).stat().st_ino
    before = path.read_bytes()
    store.save(state(serial=8))
    assert backup_path(path).read_bytes() == before
    assert names(path) == {".backup"}


def test_the_backup_is_the_state_before_the_last_save(store: StateFile, path: Path) -> None:
    """A second backup replaces the first, and a backup of what is backed up already leaves nothing behind."""
    store.back_up()
    store.save(state(serial=8))
    store.back_up()
    store.back_up()
    store.save(state(serial=9))
    assert codec.decode(backup_path(path).read_bytes(), "s") == state(serial=8)
    assert names(path) == {".backup"}


def test_the_backup_is_a_copy_where_links_are_not_known(
    store: StateFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system without hard links gets a copy, 0600."""

    def no_links(_source: object, _target: object) -> None:
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", no_links)
    store.back_up()
    assert backup_path(path).read_bytes() == path.read_bytes()
    assert mode(backup_path(path)) == 0o600


def failing(times: int, real: Callable[..., Any], *, half: bool = False) -> Callable[..., Any]:
    """Return a system call that fails so often as on a full disk, after half of what it should write."""
    left = [times]

    def call(descriptor: int, *arguments: Any) -> Any:
        if left[0] == 0:
            return real(descriptor, *arguments)
        left[0] -= 1
        if half:
            data, offset = arguments
            real(descriptor, bytes(data)[: len(data) // 2], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    return call


@pytest.mark.parametrize("call", ["pwrite", "fsync", "fstat"])
def test_after_a_failed_append_the_next_one_starts_at_the_last_good_offset(
    store: StateFile, path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A record that could not be written leaves no trace before the next one."""
    store.append([record(DONE[0])])
    monkeypatch.setattr(os, call, failing(1, getattr(os, call), half=call == "pwrite"))
    with pytest.raises(StateError, match="the journal can't be written: No space left on device") as error:
        store.append([record(Outcome("p2", Result.SUCCEEDED))])
    assert "Nothing more was sent" in error.value.hint
    store.append([record(DONE[1])])
    assert journal_path(path).read_bytes() == b"".join(journal.encode(record(outcome)) for outcome in DONE)


def test_what_cannot_be_cut_off_is_not_written_behind(
    store: StateFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a record that can't be cut off again stays the end of the journal, until it can."""
    store.append([record(DONE[0])])
    monkeypatch.setattr(os, "pwrite", failing(1, os.pwrite, half=True))
    monkeypatch.setattr(os, "ftruncate", failing(1, os.ftruncate))
    for _ in range(2):
        with pytest.raises(StateError, match="the journal can't be written: No space left on device"):
            store.append([record(DONE[1])])
        assert journal.decode(journal_path(path).read_bytes(), "j") == (record(DONE[0]),)
    store.append([record(DONE[1])])
    assert journal_path(path).read_bytes() == b"".join(journal.encode(record(outcome)) for outcome in DONE)


def test_answers_that_came_together_share_a_write_and_a_sync(
    store: StateFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several records cost one write and one fsync; if that fails, the next ones take the place of all of them."""
    store.append([record(DONE[0])])
    calls: list[str] = []
    for call in ("pwrite", "fsync"):
        monkeypatch.setattr(os, call, noted(call, calls))
    store.append(list(map(record, DONE)))
    assert calls == ["pwrite", "fsync"]
    assert len(journal.decode(journal_path(path).read_bytes(), "journal")) == 1 + len(DONE)
    monkeypatch.setattr(os, "fsync", failing(1, os.fsync))
    with pytest.raises(StateError):
        store.append(list(map(record, DONE)))
    store.append([record(DONE[1])])
    assert len(journal.decode(journal_path(path).read_bytes(), "journal")) == 2 + len(DONE)


def noted(name: str, calls: list[str]) -> Callable[..., Any]:
    """Return the call of `os`, noting that it was made."""
    real = getattr(os, name)

    def call(*arguments: Any) -> Any:
        calls.append(name)
        return real(*arguments)

    return call


def test_a_record_that_was_half_written_is_dropped(
    store: StateFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If nothing is appended after a failure, what stands before it counts."""
    store.append([record(DONE[0])])
    monkeypatch.setattr(os, "pwrite", failing(1, os.pwrite, half=True))
    with pytest.raises(StateError):
        store.append([record(DONE[1])])
    assert local.read(path).state == fold(ONE, [(DONE[0], AT)])


@pytest.mark.parametrize("call", ["pwrite", "fsync", "fchmod"])
def test_a_failed_save_leaves_the_state_as_it_was(
    store: StateFile, path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A state that can't be written whole replaces nothing; the next save goes on as if nothing had been."""
    before = path.read_bytes()
    monkeypatch.setattr(os, call, failing(1, getattr(os, call), half=call == "pwrite"))
    with pytest.raises(StateError, match="the state can't be saved: No space left on device"):
        store.save(state(serial=8))
    assert path.read_bytes() == before
    store.save(state(serial=9))
    assert local.read(path).state == state(serial=9)


def test_the_folder_is_synced_after_the_rename(store: StateFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save is done only when the name is on the disk too: file first, then rename, then folder."""
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace
    kinds = {True: "sync folder", False: "sync file"}

    def spy_sync(descriptor: int) -> None:
        done.append(kinds[os.path.isdir(f"/proc/self/fd/{descriptor}") or os.path.isdir(f"/dev/fd/{descriptor}")])  # noqa: PTH112
        fsync(descriptor)

    def spy_replace(source: Path, target: Path) -> Path:
        done.append("rename")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", spy_sync)
    monkeypatch.setattr(Path, "replace", spy_replace)
    store.save(state(serial=8))
    assert done == ["sync file", "rename", "sync folder"]


def test_a_read_never_mixes_two_saves(store: StateFile, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
        read = local.read(path).state
        assert read == ONE or len(read.pending) + len(read.interactions) == 1
        serials.append(read.serial)
        reads += 1
    writer.join()
    assert serials == sorted(serials), "a later read is never of an earlier state"
    assert reads
    assert local.read(path).state.serial == ONE.serial + 2 * rounds


def test_a_foreign_journal_is_told_and_set_aside(store: StateFile, path: Path) -> None:
    """A restored state is read for what it is; the journal that is ahead of it is kept under another name."""
    store.append([record(DONE[0])])
    ahead = journal_path(path).read_bytes()
    path.write_bytes(b"".join(codec.encode(state(serial=3))))
    with pytest.raises(StateError, match="restored from an older copy"):
        local.read(path)
    assert local.read_whatever_journal(path) == (state(serial=3), True)
    first = store.set_journal_aside()
    assert (first.read_bytes(), names(path)) == (ahead, {".journal", ".journal.aside1"})
    with pytest.raises(StateError, match="restored from an older copy"):
        local.read(path)
    store.save(state(serial=4))
    assert local.read(path).state == state(serial=4)
    journal_path(path).write_bytes(b"another")
    assert store.set_journal_aside() != first
    assert first.read_bytes() == ahead


def test_an_own_journal_is_not_foreign(store: StateFile, path: Path) -> None:
    """A journal that belongs to the state is folded, not set aside."""
    store.append([record(DONE[0])])
    assert local.read_whatever_journal(path) == (fold(ONE, [(DONE[0], AT)]), False)


def test_a_state_of_many_is_read_as_written(store: StateFile, path: Path) -> None:
    """A state larger than any single write comes back whole."""
    many = state(serial=8, interactions={f"A{n:05}": opened(interaction(f"A{n:05}")) for n in range(5_000)})
    store.save(many)
    assert path.stat().st_size > 1_000_000
    assert local.read(path).state == many
