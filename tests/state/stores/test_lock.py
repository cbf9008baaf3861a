"""One writer at a time: the lock is the kernel's, and it says who holds it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import orjson
import pytest

from reconciler.errors import ExitCode, StateError, StateLocked
from reconciler.state.stores.local import LocalStore
from reconciler.state.stores.owner import job_url

HOLDER: Final = """
import sys
from pathlib import Path
from reconciler.state.stores.local import LocalStore
with LocalStore(Path(sys.argv[1])).hold("apply"):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give where a state may be."""
    return tmp_path / "reconciler.state.json"


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Give another process that holds the lock until it reads a line, or ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        env={**os.environ, "BUILD_URL": "https://ci/7"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert pipe(process.stdout).readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def pipe(stream: IO[str] | None) -> IO[str]:
    """Return a pipe that is there."""
    assert stream is not None
    return stream


def try_lock(path: Path, timeout: float = 0.0) -> None:
    """Take the lock and give it back."""
    with LocalStore(path).hold("plan", timeout=timeout):
        pass


def test_one_process_at_a_time(path: Path) -> None:
    """While another process holds the lock, taking it fails at once, with the documented exit code and the owner."""
    with holder(path) as process:
        with pytest.raises(StateLocked, match=rf"@.*, pid {process.pid}, `apply`, since 20\d\d-\d\d-\d\dT") as error:
            try_lock(path)
        assert error.value.exit_code is ExitCode.LOCKED
        assert str(error.value).endswith(", https://ci/7")
        assert "--lock-timeout" in error.value.hint


def test_a_process_that_was_killed_holds_nothing(path: Path) -> None:
    """A lock is gone with its process, however that ended; the file that stays means nothing."""
    with holder(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        try_lock(path)


def test_waiting_for_the_lock(path: Path) -> None:
    """With a timeout the lock is taken as soon as it is free, and who is waited for is said once."""
    said: list[str] = []
    with holder(path) as process:

        def say(message: str) -> None:
            said.append(message)
            pipe(process.stdin).write("\n")
            pipe(process.stdin).flush()

        with LocalStore(path).hold("apply", timeout=60, say=say):
            assert process.wait() == 0
    (message,) = said
    assert f"pid {process.pid}" in message


def test_a_lock_that_was_replaced_meanwhile_is_no_lock(path: Path) -> None:
    """Who waited for a file that is gone when it is free takes the one that stands there now, so nobody else can."""
    lock = path.with_name(f"{path.name}.lock")
    with holder(path) as process:

        def say(_message: str) -> None:
            lock.unlink()
            lock.touch()
            pipe(process.stdin).write("\n")
            pipe(process.stdin).flush()

        with LocalStore(path).hold("apply", timeout=60, say=say), pytest.raises(StateLocked):
            try_lock(path)


def test_waiting_ends(path: Path) -> None:
    """After the timeout the answer is the same as without one."""
    with LocalStore(path).hold("apply"), pytest.raises(StateLocked):
        try_lock(path, timeout=0.01)


def test_the_lock_can_be_taken_again(path: Path) -> None:
    """A lock that was given back is free, and names its newest owner only."""
    with LocalStore(path).hold("a-very-long-command-name"):
        pass
    with LocalStore(path).hold("apply"):
        owner = orjson.loads(path.with_name(f"{path.name}.lock").read_bytes())
    assert (owner["command"], owner["pid"], owner["job"]) == ("apply", os.getpid(), None)


def test_a_name_that_is_no_utf_8_is_spelled(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's name is bytes: what the locale can't decode is read as UTF-8, and what is none is spelled."""
    monkeypatch.setenv("LOGNAME", os.fsdecode("zoë-".encode() + b"\xe9"))
    with LocalStore(path).hold("apply"), pytest.raises(StateLocked, match=r"locked by zoë-\\xe9@"):
        try_lock(path)


def test_an_error_gives_the_lock_back(path: Path) -> None:
    """Whatever goes wrong while it is held, the lock is free afterwards."""
    with pytest.raises(ZeroDivisionError), LocalStore(path).hold("apply"):
        _ = 1 / 0
    try_lock(path)


def test_the_file_is_the_users_alone_and_stays(path: Path) -> None:
    """The lock's file is 0600, and is not removed: two files of one name would be two locks."""
    try_lock(path)
    file = path.with_name(f"{path.name}.lock")
    before = file.stat()
    try_lock(path)
    assert (before.st_mode & 0o777, file.stat().st_ino) == (0o600, before.st_ino)


@pytest.mark.parametrize("owner", [b"", b"not json", b"[]", b"{}", b'{"user": 1}', b"\xff"])
def test_an_owner_that_can_not_be_read_is_another_process(path: Path, owner: bytes) -> None:
    """Whatever the file holds, the lock counts."""
    with LocalStore(path).hold("apply"):
        path.with_name(f"{path.name}.lock").write_bytes(owner)
        with pytest.raises(StateLocked, match="locked by another process"):
            try_lock(path)


def test_a_folder_that_is_not_there_is_an_error(path: Path) -> None:
    """A lock that can't be opened is an error that names the file."""
    with pytest.raises(StateError, match=r"nowhere.*\.lock: the lock can't be opened: No such file"):
        try_lock(path.parent / "nowhere" / path.name)


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, None),
        ({"BUILD_URL": ""}, None),
        ({"BUILD_URL": "https://jenkins/7"}, "https://jenkins/7"),
        ({"CI_JOB_URL": "https://gitlab/7", "BUILD_URL": "https://jenkins/7"}, "https://gitlab/7"),
        ({"RECONCILER_JOB_URL": "https://own/7?id=8", "CI_JOB_URL": "https://gitlab/7"}, "https://own/7?id=8"),
        ({"RECONCILER_JOB_URL": "https://user:secret@own/7", "BUILD_URL": "https://jenkins/@7"}, "https://jenkins/@7"),
        ({"RECONCILER_JOB_URL": "https://own/\udce9", "CI_JOB_URL": "https://own/7\n", "BUILD_URL": "7"}, None),
        ({"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "a/b"}, None),
        (
            {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "a/b", "GITHUB_RUN_ID": "7"},
            "https://github.com/a/b/actions/runs/7",
        ),
    ],
)
def test_the_url_of_the_job(environment: dict[str, str], url: str | None) -> None:
    """The job is named by a variable of our own, or by what GitHub, GitLab or Jenkins say; a secret in it is not."""
    assert job_url(environment) == url
