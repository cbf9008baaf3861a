"""Disks that are full, broken, read-only or gone, wherever the command writes: an error, and nothing more is sent.

Real ways where they need no privilege (a folder that is replaced, a limit on file sizes) or are permitted (a tiny file
system); the rest are errors of the system calls themselves. The server's record tells what was sent.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import subprocess
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, cycle
from pathlib import Path
from threading import Barrier, Event

import pytest

from reconciler.state import journal
from tests.api import SandboxServer
from tests.api.record import Call as ApiCall
from tests.command import Workplace
from tests.conftest import connection
from tests.state.stores.failing_disk import FOLDER, Call, FailingDisk
from tests.state.stores.three import (
    APPLY,
    BACKUP_NEW,
    IDS,
    JOURNAL,
    LOCK,
    NEW,
    STATE,
    THREE,
    completes,
    invoked,
    nothing_more_than,
    stopped,
)

# That who holds the lock can't be said, and that there are no links, stops nothing.
HARMLESS = {Call("ftruncate", LOCK), Call("pwrite", LOCK), Call("link", BACKUP_NEW)}


@contextmanager
def fresh(folder: Path) -> Iterator[tuple[Workplace, SandboxServer]]:
    """Give the same in a new folder, with a server of its own."""
    folder.mkdir()
    with SandboxServer() as server:
        place = Workplace(folder, {**connection(server), "RECONCILER_PARALLELISM": "1"})
        assert place.run("init").code == 0
        (folder / "interactions" / "example.yaml").unlink()
        place.state_path.chmod(0o644)
        place.declare(THREE)
        yield place, server


def no_links() -> FailingDisk:
    """Return a disk without hard links: there the backup is a copy, which has more that can fail."""
    return FailingDisk("link", number=errno.EPERM)


def test_an_error_wherever_it_writes(tmp_path: Path) -> None:
    """Whatever call on whatever file fails, from its first or its last time on: an error; the next run completes.

    Of a write, half is on the disk: it is never taken for a whole one.
    """
    with fresh(tmp_path / "good") as (place, _), no_links() as disk:
        assert place.run(*APPLY).code == 0
    calls = [call for call in disk.seen if call.file == FOLDER or call.file.startswith(STATE)]
    assert {call.file for call in calls} == {STATE, NEW, LOCK, JOURNAL, BACKUP_NEW, FOLDER}
    numbers = cycle([errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
    for call in dict.fromkeys(calls):
        for nth in {1, calls.count(call)} if call not in HARMLESS else ():
            number = next(numbers)
            _an_error(tmp_path / f"{call.call} {call.file} {nth}", call, nth, number)


def _an_error(folder: Path, call: Call, nth: int, number: int) -> None:
    sent: list[int] = []
    with fresh(folder) as (place, server):

        def watch(_data: bytes, fails: bool) -> None:  # noqa: FBT001
            if fails:
                sent.append(invoked(server))

        with no_links(), FailingDisk(*call, number, nth=nth, half=call.call == "pwrite", watch=watch):
            ran = place.run(*APPLY)
        stopped(ran, place.folder, os.strerror(number))
        assert invoked(server) == sent[0], "nothing more is sent"
        assert place.run("plan").code == place.run("state", "list").code == 0
        completes(place, server)


def test_what_is_known_after_a_failed_record_is_still_recorded(place: Workplace, server: SandboxServer) -> None:
    """Where several calls are in flight and one record fails, the next ones start where it stood, and none is lost."""
    place.declare(THREE)
    records: list[bytes] = []

    def watch(data: bytes, _fails: bool) -> None:  # noqa: FBT001
        records.append(data)
        if len(records) < len(turns):
            turns[len(records)].set()

    # All three calls are on their way before the first one is answered; each of the others when a record is written.
    on_their_way, turns, answers = Barrier(3), [Event(), Event(), Event()], count()
    turns[0].set()

    def one_by_one(call: ApiCall) -> None:
        if call.kind == "invoke":
            on_their_way.wait(10)
            assert turns[next(answers)].wait(10)

    server.on_processed = one_by_one
    with FailingDisk("pwrite", JOURNAL, errno.EIO, times=1, half=True, watch=watch):
        ran = place.run(*APPLY)
    server.on_processed = None
    stopped(ran, place.folder / JOURNAL, os.strerror(errno.EIO))
    assert len(records) == 3
    assert [len(record.outcomes) for record in journal.decode((place.folder / JOURNAL).read_bytes(), JOURNAL)] == [1, 1]
    completes(place, server)


def test_answers_that_came_together_are_not_lost_together(place: Workplace, server: SandboxServer) -> None:
    """Where several answers share a record that can't be written, each of them is then tried by itself."""
    place.declare(THREE)
    records: list[bytes] = []
    answered = Barrier(3)

    def all_at_once(call: ApiCall) -> None:
        if call.kind == "invoke":
            answered.wait(10)

    server.on_processed = all_at_once
    with FailingDisk("pwrite", JOURNAL, errno.EIO, times=1, watch=lambda data, _fails: records.append(data)):
        ran = place.run(*APPLY)
    server.on_processed = None
    stopped(ran, place.folder / JOURNAL, os.strerror(errno.EIO))
    known = journal.decode((place.folder / JOURNAL).read_bytes(), JOURNAL)
    # A record that failed alone is not tried again; of those that failed together, each is.
    assert len(known) == (2 if records[0].count(b"\n") == 1 else 3)
    completes(place, server)


@pytest.mark.parametrize("call", ["open", "pwrite", "fsync", "replace"])
def test_a_new_state_that_cannot_be_written(place: Workplace, server: SandboxServer, call: str) -> None:
    """`apply --new-state` and `init` that can't write the state say so, and nothing is sent or left half made."""
    place.declare(THREE)
    place.state_path.unlink()
    for arguments in ([*APPLY, "--new-state"], ["init"]):
        with FailingDisk(call, NEW):
            stopped(place.run(*arguments), place.state_path, os.strerror(errno.ENOSPC))
        assert not place.state_path.exists()
    assert server.calls == []
    assert place.run(*APPLY, "--new-state").code == 0
    completes(place, server)


@pytest.mark.parametrize("subcommand", [["rm", "id-0"], ["new-lineage"]])
def test_a_state_command_that_cannot_write(place: Workplace, subcommand: list[str]) -> None:
    """A state command that can't write leaves the state as it was."""
    place.declare(THREE)
    place.run(*APPLY)
    before = place.state_path.read_bytes()
    with FailingDisk("fsync", NEW, errno.EIO):
        stopped(place.run("state", *subcommand), place.state_path, os.strerror(errno.EIO))
    assert place.state_path.read_bytes() == before


def test_an_owner_that_cannot_be_written_is_said(one_by_one: Workplace, server: SandboxServer) -> None:
    """The lock is held even where its owner can't be noted: the disk may have room for the state."""
    with FailingDisk("pwrite", LOCK):
        ran = one_by_one.run(*APPLY)
    assert ran.code == 0
    assert "Warning: the lock's owner can't be written: No space left on device\n" in ran.err
    completes(one_by_one, server)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP], ids=errno.errorcode.get)
@pytest.mark.parametrize("arguments", [APPLY, ("state", "new-lineage"), ("state", "rm", "id-0")])
def test_a_file_system_without_locks(
    one_by_one: Workplace, server: SandboxServer, arguments: tuple[str, ...], number: int
) -> None:
    """Where there can be no lock nothing is written or sent, and the message says what to do; a plan needs none."""
    before = one_by_one.state_path.read_bytes()
    with FailingDisk("flock", LOCK, number):
        ran = one_by_one.run(*arguments)
        assert one_by_one.run("plan").code == 0
    stopped(ran, one_by_one.folder / LOCK, os.strerror(number))
    assert "this file system has no locks" in ran.err
    assert "Keep the state on a local disk" in ran.err
    assert server.calls == []
    assert one_by_one.state_path.read_bytes() == before


# -- real ways ---------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_folder_without_permission(elsewhere: Workplace, server: SandboxServer) -> None:
    """A folder that turns read-only while the first call is served: nothing more is sent."""
    kept = elsewhere.folder / "kept"
    server.on_processed = lambda call: kept.chmod(0o500) if call.kind == "invoke" else None
    with nothing_more_than(1, server):
        ran = elsewhere.run(*APPLY)
    server.on_processed = None
    kept.chmod(0o700)
    stopped(ran, kept / JOURNAL, os.strerror(errno.EACCES))
    completes(elsewhere, server)


def test_a_limit_on_the_size_of_files(place: Workplace, server: SandboxServer) -> None:
    """Under `ulimit -f`, an intent that doesn't fit is an error, and nothing is sent."""
    entries = "".join(f"  - {{externalid: id-{n}, provider: P{n % 3}, route: {'R' * 900}}}\n" for n in range(60))
    place.declare("interactions:\n" + entries)
    ran = place.shell(f"ulimit -f 32; exec reconciler {shlex.join(APPLY)}")
    stopped(ran, place.state_path, os.strerror(errno.EFBIG))
    assert server.calls == []
    assert place.run(*APPLY).code == 0
    assert len(server.emulator.open) == 60
    assert not server.emulator.doubles


@pytest.fixture
def tiny(elsewhere: Workplace) -> Iterator[Path]:
    """Give a file system of a few pages, where one may be mounted, with the state on it."""
    kept = elsewhere.folder / "kept"
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", kept], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        assert elsewhere.run("init").code == 0
        yield kept
    finally:
        subprocess.run(["umount", "--lazy", kept], check=True)


def fill(folder: Path) -> None:
    """Leave no room at all."""
    filler = (folder / "filler").open("ab", buffering=0)
    with filler, pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        deque(filler.write(b"x" * 512) for _ in iter(int, 1))


@pytest.mark.parametrize("call", [0, 1, 3])
def test_a_disk_that_is_really_full(elsewhere: Workplace, server: SandboxServer, tiny: Path, call: int) -> None:
    """A file system is full, or fills up while the n-th call is served; with room again, the next run completes."""
    if call:
        server.on_processed = lambda _call: fill(tiny) if invoked(server) == call else None
    else:
        fill(tiny)
    with nothing_more_than(call, server):
        ran = elsewhere.run(*APPLY)
    server.on_processed = None
    # The page of an open journal may have room for another record: then it is the fold that fails.
    stopped(ran, tiny / {0: STATE, 1: JOURNAL, 3: STATE}[call], os.strerror(errno.ENOSPC))
    assert elsewhere.run("plan").code == 0
    (tiny / "filler").unlink()
    completes(elsewhere, server)


@pytest.mark.usefixtures("tiny")
def test_a_file_system_that_is_really_read_only(elsewhere: Workplace, server: SandboxServer, tiny: Path) -> None:
    """On a read-only file system there can be no lock, and nothing is sent; a plan still works."""
    subprocess.run(["mount", "-o", "remount,ro", tiny], check=True)
    (tiny / LOCK).exists()
    stopped(elsewhere.run(*APPLY), tiny / LOCK, os.strerror(errno.EROFS))
    assert server.calls == []
    assert elsewhere.run("plan", "--detailed-exitcode").code == 2
    subprocess.run(["mount", "-o", "remount,rw", tiny], check=True)
    completes(elsewhere, server)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_behind_stdout_stops_no_apply(one_by_one: Workplace, server: SandboxServer) -> None:
    """What can't be shown is still done and saved."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ran = one_by_one.process(*APPLY, stdout=full)
    assert "Traceback" not in ran.err
    assert "Exception ignored" not in ran.err
    assert set(one_by_one.state["interactions"]) == IDS
    completes(one_by_one, server)
