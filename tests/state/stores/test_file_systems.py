"""What a file system lacks is said once and done without; what is planted in the state's folder is not followed."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.api import SandboxServer
from tests.command import Workplace
from tests.state.stores.failing_disk import FOLDER, Call, FailingDisk
from tests.state.stores.three import APPLY, BACKUP, BACKUP_NEW, IDS, JOURNAL, LOCK, NEW, STATE, completes, stopped

LACKING: Final = [errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS]
NO_FOLDERS: Final = "can't fsync a folder: a power cut may undo what was saved last"
NO_PERMISSIONS: Final = "can't set permissions: others may be able to read the state"


@pytest.mark.parametrize(
    ("call", "more", "said"),
    [
        (Call("fsync", FOLDER), [errno.EBADF], NO_FOLDERS),
        (Call("fchmod", NEW), [errno.EPERM], NO_PERMISSIONS),
        (Call("link", BACKUP_NEW), [errno.EPERM, errno.EMLINK, errno.EXDEV], ""),
    ],
)
def test_what_a_file_system_lacks(
    one_by_one: Workplace, server: SandboxServer, call: Call, more: list[int], said: str
) -> None:
    """Without durable names, permissions or links an apply goes on, and says once what is not promised there."""
    before = one_by_one.state_path.read_bytes()
    for number in [*LACKING, *more]:
        one_by_one.state_path.write_bytes(before)
        one_by_one.state_path.chmod(0o644)
        with FailingDisk(*call, number) as disk:
            ran = one_by_one.run(*APPLY)
        assert ran.code == 0, ran
        assert disk.failed
        warned = f"Warning: {one_by_one.folder}: this file system {said}\n"
        assert ran.err.count("Warning: ") == ran.err.count(warned) == bool(said)
        completes(one_by_one, server)


@pytest.mark.parametrize("number", LACKING)
@pytest.mark.parametrize("file", [NEW, JOURNAL])
def test_a_file_that_cannot_be_fsynced_is_an_error(
    one_by_one: Workplace, server: SandboxServer, file: str, number: int
) -> None:
    """What is not on the disk is not promised anywhere."""
    with FailingDisk("fsync", file, number):
        stopped(one_by_one.run(*APPLY), one_by_one.folder, os.strerror(number))
    completes(one_by_one, server)


# -- what is planted ---------------------------------------------------------------------------------------------------


def link(victim: Path, path: Path) -> None:
    """Plant a link to a file."""
    path.symlink_to(victim)


def dangling_link(victim: Path, path: Path) -> None:
    """Plant a link to what is not there."""
    path.symlink_to(victim.with_name("made"))


def hard_link(victim: Path, path: Path) -> None:
    """Plant another name of a file."""
    path.hardlink_to(victim)


def pipe(_victim: Path, path: Path) -> None:
    """Plant a pipe that nobody reads or writes."""
    os.mkfifo(path)


def folder(_victim: Path, path: Path) -> None:
    """Plant a folder."""
    path.mkdir()


def left_over(_victim: Path, path: Path) -> None:
    """Leave what a run may that was killed."""
    path.write_bytes(b'{"version": 1, "li')


REPLACED: Final = frozenset({NEW, BACKUP, BACKUP_NEW})
"""What is written anew each time, so that nothing but a folder stands in the way."""


@pytest.mark.parametrize("plant", [link, dangling_link, hard_link, pipe, folder, left_over])
@pytest.mark.parametrize("name", [NEW, BACKUP, BACKUP_NEW, LOCK, JOURNAL])
def test_what_is_planted(
    one_by_one: Workplace, server: SandboxServer, name: str, plant: Callable[[Path, Path], None]
) -> None:
    """Nothing is written through it or waited for: it gives way, or is named in an error until it is removed."""
    victim, path = one_by_one.folder / "victim", one_by_one.folder / name
    victim.write_bytes(b"a customer\n")
    path.unlink(missing_ok=True)
    plant(victim, path)
    ran = one_by_one.run(*APPLY)
    assert victim.read_bytes() == b"a customer\n"
    assert not victim.with_name("made").exists()
    if plant is left_over or (name in REPLACED and plant is not folder):
        assert ran.code == 0, ran
    else:
        stopped(ran, one_by_one.folder, "")
        path.rmdir() if plant is folder else path.unlink()
    completes(one_by_one, server)
    assert set(server.emulator.open) == IDS


COMMANDS: Final = [["plan"], APPLY, ["state", "list"], ["state", "rm", "id-0"], ["state", "new-lineage"]]


@pytest.mark.parametrize("plant", [dangling_link, pipe, folder])
def test_a_state_that_is_no_file(one_by_one: Workplace, plant: Callable[[Path, Path], None]) -> None:
    """A pipe, a folder or a link to nothing where the state should be: an error of each command, and none waits."""
    one_by_one.state_path.unlink()
    plant(one_by_one.folder / "victim", one_by_one.state_path)
    for command in COMMANDS:
        ran = one_by_one.run(*command)
        assert ran.code == (1 if plant is not dangling_link else 5 if command != ["plan"] else 0), ran
        assert "state" in ran.err
        assert "mistake" not in ran.err


@pytest.mark.parametrize("path", [STATE, "loop/state.json", "one"])
def test_a_state_that_links_to_itself(one_by_one: Workplace, path: str) -> None:
    """A link that leads to itself, at once, through another or as a folder, is an error that names it."""
    one_by_one.env["RECONCILER_STATE"] = path
    one_by_one.state_path.unlink()
    for name, other in ((STATE, STATE), ("loop", "loop"), ("one", "other"), ("other", "one")):
        (one_by_one.folder / name).symlink_to(other)
    for command in [*COMMANDS, ["init"], [*APPLY, "--new-state"]]:
        ran = one_by_one.run(*command)
        assert ran.code in {1, 5}, ran
        assert re.search(r"^Error: \S*(loop|json|other|one)\b", ran.err, re.MULTILINE)
        assert "mistake" not in ran.err
