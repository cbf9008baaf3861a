"""Disks that are full, broken, read-only or gone, wherever the command writes: an error, and nothing more is sent.

Real ways where they need no privilege (a folder that is replaced, a limit on file sizes) or are permitted (a tiny file
system); the rest are errors of the system calls themselves. The server's record tells what was sent.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shlex
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Barrier, Event
from typing import Any, NamedTuple
from unittest import mock

import pytest

from reconciler.state import journal
from tests.api import SandboxServer
from tests.api.record import Call, Outcome
from tests.command import COMMAND, Ran, Workplace, clean_environment

APPLY = ("apply", "--auto-approve")
# Three Invocations, one after the other.
THREE = """\
interactions:
  - {externalid: id-0, provider: P0, route: R}
  - {externalid: id-1, provider: P1, route: R}
  - {externalid: id-2, provider: P2, route: R}
"""
IDS = {"id-0", "id-1", "id-2"}

STATE = "reconciler.state.json"
NEW = f"{STATE}.new"
LOCK = f"{STATE}.lock"
JOURNAL = f"{STATE}.journal"
BACKUP = f"{STATE}.backup"
BACKUP_NEW = f"{STATE}.backup.new"
FOLDER = "the folder"


class Where(NamedTuple):
    """Where it happens: the n-th system call on a file; the Invocations sent until then; the file that is blamed."""

    call: str
    file: str
    nth: int
    sent: int
    blamed: str

    def __str__(self) -> str:
        return f"{self.call} {self.nth} of {self.file.removeprefix(STATE) or 'state'}"


PLACES = [
    Where("open", LOCK, 1, 0, LOCK),
    Where("flock", LOCK, 1, 0, LOCK),
    Where("open", BACKUP_NEW, 1, 0, BACKUP),
    Where("pwrite", BACKUP_NEW, 1, 0, BACKUP),
    Where("fsync", BACKUP_NEW, 1, 0, BACKUP),
    Where("replace", BACKUP_NEW, 1, 0, BACKUP),
    Where("fsync", FOLDER, 1, 0, BACKUP),
    Where("open", NEW, 1, 0, STATE),
    Where("fchmod", NEW, 1, 0, STATE),
    Where("pwrite", NEW, 1, 0, STATE),
    Where("fsync", NEW, 1, 0, STATE),
    Where("replace", NEW, 1, 0, STATE),
    Where("fsync", FOLDER, 2, 0, STATE),
    Where("open", JOURNAL, 1, 1, JOURNAL),
    Where("fstat", JOURNAL, 1, 1, JOURNAL),
    Where("pwrite", JOURNAL, 1, 1, JOURNAL),
    Where("pwrite", JOURNAL, 2, 2, JOURNAL),
    Where("fsync", JOURNAL, 1, 1, JOURNAL),
    Where("fsync", JOURNAL, 3, 3, JOURNAL),
    Where("fsync", FOLDER, 3, 1, JOURNAL),
    Where("open", NEW, 2, 3, STATE),
    Where("pwrite", NEW, 2, 3, STATE),
    Where("fsync", NEW, 2, 3, STATE),
    Where("replace", NEW, 2, 3, STATE),
    Where("fsync", FOLDER, 4, 3, STATE),
    Where("unlink", JOURNAL, 1, 3, STATE),
    Where("fsync", FOLDER, 5, 3, STATE),
]


class Disk:
    """Lets one system call on one file fail, from the n-th time on; `half` writes half of the bytes before."""

    def __init__(self, call: str, file: str, nth: int, number: int, *, half: bool = False) -> None:
        self._call, self._file, self._left, self._number, self._half = call, file, nth, number, half
        self._names: dict[int, str] = {}
        self.failed = False

    @contextmanager
    def broken(self) -> Iterator[Disk]:
        """Break it for a while; hard links are not to be had either, so that the backup is written."""
        with mock.patch.object(os, "open", self._open(os.open)), mock.patch.object(os, "link", self._no_links):
            if self._call == "open":
                yield self
                return
            place = fcntl if self._call == "flock" else os
            with mock.patch.object(place, self._call, self._failing(getattr(place, self._call))):
                yield self

    def _no_links(self, *_: Any) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    def _open(self, original: Callable[..., int]) -> Callable[..., int]:
        def wrapped(path: Any, *arguments: Any, **more: Any) -> int:
            name = FOLDER if os.path.isdir(path) else Path(path).name  # noqa: PTH112  # whatever may be opened
            if self._call == "open":
                self._fail(name)
            descriptor = original(path, *arguments, **more)
            self._names[descriptor] = name
            return descriptor

        return wrapped

    def _failing(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(target: Any, *arguments: Any, **more: Any) -> Any:
            name = self._names.get(target, "") if isinstance(target, int) else Path(target).name
            if self._half and self._hits(name):
                original(target, arguments[0][: len(arguments[0]) // 2], *arguments[1:])
            self._fail(name)
            return original(target, *arguments, **more)

        return wrapped

    def _hits(self, name: str) -> bool:
        return name == self._file and self._left <= 1

    def _fail(self, name: str) -> None:
        hit = self._hits(name)
        self._left -= name == self._file
        if hit:
            self.failed = True
            raise OSError(self._number, os.strerror(self._number))


@pytest.fixture
def one_by_one(place: Workplace) -> Workplace:
    """Give a folder with three things to dispatch, one Invocation at a time."""
    place.env["RECONCILER_PARALLELISM"] = "1"
    place.declare(THREE)
    return place


def invoked(server: SandboxServer) -> int:
    """Return how many Invocations arrived."""
    return sum(call.kind == "invoke" for call in server.calls)


@contextmanager
def nothing_more_than(sent: int, server: SandboxServer) -> Iterator[None]:
    """Check that no more Invocations are sent than that."""
    yield
    assert invoked(server) == sent


def refused(ran: Ran, path: Path, number: int) -> None:
    """Check that it ended with an error that names the file and what the system said."""
    assert ran.code == 1, ran
    assert "Traceback" not in ran.err
    message = ran.err[ran.err.index("Error: ") :]
    assert message.startswith(f"Error: {path}: ")
    assert os.strerror(number) in message


def completes(place: Workplace, server: SandboxServer) -> None:
    """Apply again, with a disk that works, and check that each was dispatched exactly once."""
    ran = place.run(*APPLY)
    assert ran.code == 0, ran
    assert set(server.emulator.open) == set(place_state(place)["interactions"]) == IDS
    outcomes = [entry.outcome for entry in server.emulator.record.processed]
    assert outcomes.count(Outcome.DISPATCHED) == len(IDS)
    assert set(outcomes) <= {Outcome.DISPATCHED, Outcome.IGNORED}
    assert place.run("plan", "--detailed-exitcode").code == 0


def place_state(place: Workplace) -> dict[str, Any]:
    """Return the state, wherever the environment says it is."""
    path = place.folder / place.env.get("RECONCILER_STATE", STATE)
    return dict(json.loads(path.read_bytes()))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT], ids=errno.errorcode.get)
@pytest.mark.parametrize("where", PLACES, ids=str)
def test_an_error_wherever_it_writes(one_by_one: Workplace, server: SandboxServer, where: Where, number: int) -> None:
    """Whatever fails, with whatever error: exit 1 and the file's name, nothing more is sent; the next run completes."""
    place = one_by_one
    with Disk(where.call, where.file, where.nth, number).broken() as disk, nothing_more_than(where.sent, server):
        ran = place.run(*APPLY)
    assert disk.failed
    refused(ran, place.folder / where.blamed, number)
    completes(place, server)


@pytest.mark.parametrize(("file", "nth", "sent"), [(NEW, 1, 0), (JOURNAL, 1, 1), (JOURNAL, 2, 2), (NEW, 2, 3)])
def test_a_disk_that_fills_up_in_the_middle_of_a_write(
    one_by_one: Workplace, server: SandboxServer, file: str, nth: int, sent: int
) -> None:
    """Half of a state or of a record is never taken for a whole one."""
    place = one_by_one
    with Disk("pwrite", file, nth, errno.ENOSPC, half=True).broken(), nothing_more_than(sent, server):
        assert place.run(*APPLY).code == 1
    assert place.run("plan").code == place.run("state", "list").code == 0
    completes(place, server)


def test_what_is_known_after_a_failed_record_is_still_recorded(place: Workplace, server: SandboxServer) -> None:
    """Where several calls are in flight and one record fails, the next ones start where it stood, and none is lost."""
    place.declare(THREE)
    offsets: list[int] = []
    pwrite = os.pwrite

    def fails_once(descriptor: int, data: bytes, offset: int) -> int:
        if b'"outcomes"' in bytes(data):
            offsets.append(offset)
            if len(offsets) < len(turns):
                turns[len(offsets)].set()
            if len(offsets) == 1:
                pwrite(descriptor, data[:20], offset)
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pwrite(descriptor, data, offset)

    # All three calls are on their way before the first one is answered; each of the others when a record is written.
    on_their_way, turns, answers = Barrier(3), [Event(), Event(), Event()], count()
    turns[0].set()

    def one_by_one(call: Call) -> None:
        if call.kind == "invoke":
            on_their_way.wait(10)
            assert turns[next(answers)].wait(10)

    server.on_processed = one_by_one
    with mock.patch.object(os, "pwrite", fails_once):
        ran = place.run(*APPLY)
    server.on_processed = None
    refused(ran, place.folder / JOURNAL, errno.EIO)
    assert offsets[:2] == [0, 0]
    assert len(offsets) == 3
    assert [len(record.outcomes) for record in journal.decode((place.folder / JOURNAL).read_bytes(), JOURNAL)] == [1, 1]
    completes(place, server)


def test_answers_that_came_together_are_not_lost_together(place: Workplace, server: SandboxServer) -> None:
    """Where several answers share a record that can't be written, each of them is then tried by itself."""
    place.declare(THREE)
    records: list[bytes] = []
    pwrite, answered = os.pwrite, Barrier(3)

    def all_at_once(call: Call) -> None:
        if call.kind == "invoke":
            answered.wait(10)

    def fails_once(descriptor: int, data: bytes, offset: int) -> int:
        if b'"outcomes"' in bytes(data):
            records.append(bytes(data))
            if len(records) == 1:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pwrite(descriptor, data, offset)

    server.on_processed = all_at_once
    with mock.patch.object(os, "pwrite", fails_once):
        ran = place.run(*APPLY)
    server.on_processed = None
    refused(ran, place.folder / JOURNAL, errno.EIO)
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
        with Disk(call, NEW, 1, errno.ENOSPC).broken():
            refused(place.run(*arguments), place.state_path, errno.ENOSPC)
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
    with Disk("fsync", NEW, 1, errno.EIO).broken():
        refused(place.run("state", *subcommand), place.state_path, errno.EIO)
    assert place.state_path.read_bytes() == before


def test_an_owner_that_cannot_be_written_is_said(one_by_one: Workplace, server: SandboxServer) -> None:
    """The lock is held even where its owner can't be noted: the disk may have room for the state."""
    with Disk("pwrite", LOCK, 1, errno.ENOSPC).broken():
        ran = one_by_one.run(*APPLY)
    assert ran.code == 0
    assert "The lock's owner can't be written: No space left on device." in ran.err
    completes(one_by_one, server)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP], ids=errno.errorcode.get)
@pytest.mark.parametrize("arguments", [APPLY, ("state", "new-lineage"), ("state", "rm", "id-0")])
def test_a_file_system_without_locks(
    one_by_one: Workplace, server: SandboxServer, arguments: tuple[str, ...], number: int
) -> None:
    """Where there can be no lock nothing is written or sent, and the message says what to do; a plan needs none."""
    before = one_by_one.state_path.read_bytes()
    with Disk("flock", LOCK, 1, number).broken():
        ran = one_by_one.run(*arguments)
        assert one_by_one.run("plan").code == 0
    refused(ran, one_by_one.folder / LOCK, number)
    assert "this file system has no locks" in ran.err
    assert "Keep the state on a local disk" in ran.err
    assert server.calls == []
    assert one_by_one.state_path.read_bytes() == before


# -- real ways ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def elsewhere(one_by_one: Workplace) -> Workplace:
    """Give the same, with the state in a folder of its own."""
    one_by_one.env["RECONCILER_STATE"] = f"kept/{STATE}"
    kept = one_by_one.folder / "kept"
    kept.mkdir()
    one_by_one.state_path.rename(kept / STATE)
    return one_by_one


def take_away(folder: Path, by: str) -> None:
    """Move a folder away, and put nothing or a file in its place."""
    folder.rename(folder.with_name("away"))
    if by == "a file":
        folder.write_bytes(b"")


def put_back(folder: Path) -> None:
    """Undo that."""
    folder.unlink(missing_ok=True)
    folder.with_name("away").rename(folder)


@pytest.mark.parametrize("by", ["nothing", "a file"])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_folder_that_goes_away(elsewhere: Workplace, server: SandboxServer, call: int, by: str) -> None:
    """A folder that is moved away, or replaced by a file, while the n-th call is served: nothing more is sent."""
    kept = elsewhere.folder / "kept"
    server.on_processed = lambda _call: take_away(kept, by) if invoked(server) == call else None
    with nothing_more_than(call, server):
        ran = elsewhere.run(*APPLY)
    server.on_processed = None
    refused(ran, kept / JOURNAL, errno.ENOENT if by == "nothing" else errno.ENOTDIR)
    put_back(kept)
    completes(elsewhere, server)


@pytest.mark.parametrize("by", ["nothing", "a file"])
def test_a_folder_that_was_never_there(elsewhere: Workplace, server: SandboxServer, by: str) -> None:
    """Where the state's folder is missing, there is no state: refused, and nothing is sent or made."""
    kept = elsewhere.folder / "kept"
    take_away(kept, by)
    ran = elsewhere.run(*APPLY)
    assert ran.code == 5
    assert ran.err.startswith("Error: kept: ")
    assert server.calls == []
    assert not kept.is_dir()
    put_back(kept)
    completes(elsewhere, server)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_a_folder_without_permission(elsewhere: Workplace, server: SandboxServer) -> None:
    """A folder that turns read-only while the first call is served: nothing more is sent."""
    kept = elsewhere.folder / "kept"
    server.on_processed = lambda call: kept.chmod(0o500) if call.kind == "invoke" else None
    with nothing_more_than(1, server):
        ran = elsewhere.run(*APPLY)
    server.on_processed = None
    kept.chmod(0o700)
    refused(ran, kept / JOURNAL, errno.EACCES)
    completes(elsewhere, server)


def test_a_limit_on_the_size_of_files(place: Workplace, server: SandboxServer) -> None:
    """Under `ulimit -f`, an intent that doesn't fit is an error, and nothing is sent."""
    entries = "".join(f"  - {{externalid: id-{n}, provider: P{n % 3}, route: {'R' * 900}}}\n" for n in range(60))
    place.declare("interactions:\n" + entries)
    ran = subprocess.run(
        ["bash", "-c", f"ulimit -f 32; exec {shlex.join([*COMMAND, *APPLY])}"],
        cwd=place.folder,
        env={**clean_environment(), **place.env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    refused(Ran(ran.returncode, ran.stdout, ran.stderr), place.state_path, errno.EFBIG)
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
    refused(ran, tiny / {0: STATE, 1: JOURNAL, 3: STATE}[call], errno.ENOSPC)
    assert elsewhere.run("plan").code == 0
    (tiny / "filler").unlink()
    completes(elsewhere, server)


@pytest.mark.usefixtures("tiny")
def test_a_file_system_that_is_really_read_only(elsewhere: Workplace, server: SandboxServer, tiny: Path) -> None:
    """On a read-only file system there can be no lock, and nothing is sent; a plan still works."""
    subprocess.run(["mount", "-o", "remount,ro", tiny], check=True)
    (tiny / LOCK).exists()
    refused(elsewhere.run(*APPLY), tiny / LOCK, errno.EROFS)
    assert server.calls == []
    assert elsewhere.run("plan", "--detailed-exitcode").code == 2
    subprocess.run(["mount", "-o", "remount,rw", tiny], check=True)
    completes(elsewhere, server)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_behind_stdout_stops_no_apply(one_by_one: Workplace, server: SandboxServer) -> None:
    """What can't be shown is still done and saved."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ran = subprocess.run(
            [*COMMAND, *APPLY],
            cwd=one_by_one.folder,
            env={**clean_environment(), **one_by_one.env},
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    assert "Traceback" not in ran.stderr
    assert "Exception ignored" not in ran.stderr
    assert set(one_by_one.state["interactions"]) == IDS
    completes(one_by_one, server)
