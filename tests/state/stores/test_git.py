"""A branch that others push to as well, and a git that gives no answer."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path
from unittest import mock

import pytest

from reconciler.state.stores.git import GitObjects
from reconciler.state.stores.interface import Refused, Unclear
from tests.state.stores.repositories import bare, clone, git


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Give a clone of a repository to push to."""
    return clone(tmp_path / "clone", bare(tmp_path / "remote.git").as_uri())


def test_states_that_share_a_branch_do_not_refuse_each_other(here: Path) -> None:
    """A push that comes second because of another file is made anew; one because of its own file is refused."""
    one, other, same = (GitObjects("git:state", here, file) for file in ("a.json", "b.json", "a.json"))
    version = one.put("", b"a1", None)
    assert same.get("") == one.get("")

    def write(objects: GitObjects) -> None:
        expected = None
        for number in range(4):
            expected = objects.put("", b"b%d" % number, expected)

    beside = threading.Thread(target=write, args=[other])
    beside.start()
    for number in range(2, 5):
        version = one.put("", b"a%d" % number, version)
    beside.join()
    with pytest.raises(Refused):
        same.put("", b"late", "0" * 40)
    found = [objects.get("") for objects in (one, other, same)]
    assert [each.body for each in found if each] == [b"a4", b"b3", b"a4"]


def test_a_history_is_fetched_without_what_is_old(here: Path, tmp_path: Path) -> None:
    """However many writes there were, a run fetches the last one, and commits on top of it."""
    objects, version = GitObjects("git:state", here, "a.json"), None
    for _ in range(3):
        version = objects.put("", os.urandom(100_000), version)
    fresh = GitObjects("git:state", here, "a.json")
    with mock.patch("tempfile.tempdir", str(tmp_path)):
        assert fresh.get("") == objects.get("")
    [ours] = tmp_path.glob("reconciler-git-*")
    assert sum(path.stat().st_size for path in ours.rglob("*") if path.is_file()) < 150_000
    fresh.put("", b"next", version)
    fresh.close()
    assert not ours.exists()
    assert git(tmp_path / "remote.git", "rev-list", "--count", "state") == "4"


def test_a_git_that_hangs_is_ended_with_what_it_started(here: Path, tmp_path: Path) -> None:
    """After a while nothing is waited for; whether it was pushed is unclear, and nothing goes on in the background."""
    objects = GitObjects("git:state", here, "a.json")
    objects.put("", b"a", None)
    hook = tmp_path / "remote.git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    hook.chmod(0o755)
    began = time.monotonic()
    with mock.patch("reconciler.state.stores.gitcommand.LONGEST", 1.0), pytest.raises(Unclear, match="longer than 1 s"):
        objects.put(".lock", b"b", None)
    assert time.monotonic() - began < 30
    pid = (tmp_path / "pid").read_text().strip()
    running = ["ps", "-o", "args=", "-p", pid]
    while b"sleep" in subprocess.run(running, check=False, capture_output=True).stdout:
        assert time.monotonic() - began < 30
