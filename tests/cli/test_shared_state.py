"""A state on a branch, as people and pipelines use it: several clones, one memory, and nobody's checkout touched."""

from __future__ import annotations

import os
import re
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final
from unittest import mock

import pytest

from reconciler.errors import ExitCode
from reconciler.state.stores.git import TIMING, GitObjects
from reconciler.state.stores.local import LocalStore
from reconciler.state.stores.remote import RemoteStore
from tests.api import SandboxServer
from tests.command import Workplace
from tests.conftest import connection
from tests.state.stores.githttp import TOKEN, served
from tests.state.stores.repositories import bare, clone, git
from tests.state.stores.test_stores import DONE, ONE, record

TWO: Final = "interactions: [{externalid: a, route: R}, {externalid: b, route: R}]"
APPLY: Final = ("apply", "--auto-approve")
ALIVE: Final = replace(TIMING, renew=0.3, poll=0.2)


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    """Give a repository to push to."""
    return bare(tmp_path / "remote.git")


@pytest.fixture
def one(tmp_path: Path, remote: Path, server: SandboxServer) -> Workplace:
    """Give a clone with declarations, and the state on a branch."""
    folder = clone(tmp_path / "one", remote.as_uri())
    place = Workplace(folder, connection(server))
    place.declare(TWO)
    assert place.run("--state", "git:state", "init").code == 0
    return place


@pytest.fixture
def two(tmp_path: Path, one: Workplace, remote: Path) -> Workplace:
    """Give another clone of it."""
    folder = clone(tmp_path / "two", remote.as_uri())
    place = Workplace(folder, one.env | {"RECONCILER_STATE": "git:origin/state"})
    place.declare(TWO)
    return place


def test_what_one_clone_applies_the_other_knows(one: Workplace, two: Workplace, server: SandboxServer) -> None:
    """Each run starts from what the last one left, wherever that ran; the header says where the state is."""
    assert one.run(*APPLY).code == 0
    planned = two.run("plan")
    assert "state git:origin/state, serial 2, 2 open" in planned.out
    assert "No changes" in planned.out
    two.declare(TWO.replace("{externalid: b, route: R}", "{externalid: c, route: R}"))
    assert two.run(*APPLY, "--allow-releases=1").code == 0
    assert sorted(server.emulator.open) == ["a", "c"]
    assert [line.split()[1] for line in one.run("state", "list").out.splitlines()[:-1]] == ["a", "c"]


def test_nobodys_checkout_is_touched(one: Workplace, remote: Path, tmp_path: Path) -> None:
    """Working tree, index, references and settings of the clone stay as they are, and no folder is left behind."""
    inside = one.folder / ".git"

    def looks() -> object:
        kept = {str(path): path.read_bytes() for path in inside.rglob("*") if path.is_file()}
        return kept, git(one.folder, "--no-optional-locks", "status", "--porcelain"), git(one.folder, "for-each-ref")

    before, spare = looks(), tmp_path / "spare"
    spare.mkdir()
    with mock.patch("tempfile.tempdir", str(spare)):
        assert one.run(*APPLY).code == 0
        assert one.run("state", "rm", "a").code == 0
    assert looks() == before
    assert not [*spare.iterdir()]
    files = git(remote, "ls-tree", "-r", "--name-only", "state").split()
    assert files == ["reconciler.state.json", "reconciler.state.json.backup", "reconciler.state.json.lock"]
    assert "[skip ci]" in git(remote, "log", "-1", "--format=%s", "state")


def test_environments_share_a_branch(one: Workplace, remote: Path) -> None:
    """Each environment has its own file on it, by the same names as files have, and neither is in the other's way."""
    assert one.run("--env", "prod", "--state", "git:state", "init").code == 0
    assert one.run(*APPLY).code == 0
    assert one.run("--env", "prod", "--interactions", "none", *APPLY).code == 5
    assert "State serial 0: 0 open" in one.run("--env", "prod", "state", "list").out
    assert "2 open" in one.run("state", "list").out
    names = git(remote, "ls-tree", "--name-only", "state").split()
    assert {"reconciler.state.json", "reconciler.prod.state.json"} <= {*names}


def test_a_state_is_made_once(one: Workplace, two: Workplace) -> None:
    """Who comes second keeps what is there; without a state, an apply is refused as in a file."""
    assert one.run(*APPLY).code == 0
    assert two.run("init").code == 0
    assert "2 open" in two.run("state", "list").out
    missing = one.run("--state", "git:other", *APPLY)
    assert (missing.code, "git:origin/other: there is no state" in missing.err) == (5, True)
    assert one.run("--state", "git:other", "--interactions", "none", *APPLY, "--new-state").code == 5
    assert one.run("--state", "git:other", "state", "list").out.startswith("State serial 0 of ")


@pytest.fixture
def held(one: Workplace) -> Iterator[RemoteStore]:
    """Give the store while a run that lives elsewhere holds it."""
    store = RemoteStore(GitObjects("git:state", one.folder, "reconciler.state.json"), ALIVE)
    with mock.patch("reconciler.state.stores.git.TIMING", ALIVE), store.hold("apply"):
        yield store


@pytest.mark.usefixtures("held")
def test_a_lock_says_whose_it_is_and_can_be_taken(one: Workplace) -> None:
    """A run that meets a living one is refused, and told how a person takes the lock, which names whose it was."""
    refused = one.run(*APPLY)
    assert refused.code == ExitCode.LOCKED
    assert re.search(r"The state is locked by \S+@\S+, pid \d+, `apply`, since \S+; it counts as dead", refused.err)
    [command] = re.findall(r"reconciler (state unlock \S+)", refused.err)
    wrong = one.run("state", "unlock", "x")
    assert (wrong.code, command in wrong.err) == (1, True)
    assert one.run("plan").code == 0
    taken = one.run(*command.split())
    assert (taken.code, "Took the lock from" in taken.err) == (0, True)
    assert one.run(*APPLY).code == 0


def test_who_waits_is_told_for_whom(one: Workplace, held: RemoteStore) -> None:
    """With --lock-timeout the run goes on once the other is done; a plan needs no lock."""
    lock = lock_of(one)
    end = threading.Timer(0.6, lambda: held.unlock(lock))
    end.start()
    ran = one.run(*APPLY, "--lock-timeout=60")
    end.join()
    assert ran.code == 0
    assert re.search(r"Waiting up to 60 s for the lock of \S+@\S+, pid", ran.err)


def lock_of(place: Workplace) -> str:
    """Return the id of the lock."""
    [lock] = re.findall(r"state unlock (\S+)", place.run("state", "unlock", "x").err)
    return str(lock)


def test_a_file_has_no_lock_to_take(one: Workplace) -> None:
    """The kernel's lock goes with its process: there is nothing to unlock."""
    ran = one.run("--state", "here.json", "state", "unlock", "x")
    assert (ran.code, "ends with the process that holds it" in ran.err) == (1, True)


# -- from one place to another -------------------------------------------------------------------------------------


def test_a_state_moves_and_says_where_it_went(place: Workplace, remote: Path, server: SandboxServer) -> None:
    """Lineage and serial stay, the old place refuses from then on, and a state may come back."""
    place.declare(TWO)
    assert place.run(*APPLY).code == 0
    clone(place.folder, remote.as_uri())
    before = place.state
    moved = place.run("state", "migrate", "reconciler.state.json", "git:state")
    assert (moved.code, "state: git:state" in moved.err) == (0, True)
    for command in (["plan"], [*APPLY], ["state", "list"], ["state", "rm", "a"]):
        refused = place.run(*command)
        assert (refused.code, "the state was moved to git:state" in refused.err) == (1, True)
    there = place.run("--state", "git:state", "state", "list", "--format=json").json
    assert (there["lineage"], there["serial"]) == (before["lineage"], before["serial"])
    assert "No changes" in place.run("--state", "git:state", "plan").out
    assert place.run("state", "migrate", "git:state", "reconciler.state.json").code == 0
    assert "No changes" in place.run("plan").out
    assert (place.state, len(server.emulator.open)) == (before, 2)


def test_a_journal_moves_with_its_state(place: Workplace, remote: Path) -> None:
    """What a killed run has journalled is in the state that arrives, and the journal goes."""
    place.state_path.unlink()
    with LocalStore(place.state_path).hold("apply") as writer:
        writer.create(ONE)
        writer.append([record(*DONE)])
    clone(place.folder, remote.as_uri())
    assert place.run("state", "migrate", "reconciler.state.json", "git:state").code == 0
    assert not Path(f"{place.state_path}.journal").exists()
    listed = place.run("--state", "git:state", "state", "list").out
    assert "1 open, 0 pending, 1 failed" in listed


def test_no_state_is_overwritten_by_another(one: Workplace) -> None:
    """A place with a state of its own is refused, both being kept; one with just this state is taken as arrived."""
    assert one.run(*APPLY).code == 0
    assert one.run("--state", "other.json", "init").code == 0
    refused = one.run("state", "migrate", "git:state", "other.json")
    assert (refused.code, "there is another state already" in refused.err) == (1, True)
    assert "No changes" in one.run("plan").out
    (one.folder / "same.json").write_text(one.run("state", "pull").out, encoding="utf-8")
    assert one.run("state", "migrate", "git:state", "same.json").code == 0
    assert "No changes" in one.run("--state", "same.json", "plan").out
    same = one.run("state", "migrate", "same.json", "./same.json")
    assert (same.code, "the state is there already" in same.err) == (1, True)
    same = one.run("state", "migrate", "git:other", "git:origin/other")
    assert (same.code, "the state is there already" in same.err) == (1, True)


# -- what goes wrong with git --------------------------------------------------------------------------------------


def failed(place: Workplace, *said: str, state: str = "git:state") -> None:
    """Require that a plan ends with an error that says so, and with no traceback."""
    ran = place.run("--state", state, "state", "list")
    assert ran.code == 1, ran.err
    for text in said:
        assert re.search(text, ran.err), ran.err
    assert "Traceback" not in ran.err


def test_what_is_missing_is_named(place: Workplace, tmp_path: Path) -> None:
    """No repository, no remote, no such remote, no git: each is said, with what to do."""
    failed(place, "not a git repository", "run this within a clone")
    git(place.folder, "init", "--quiet")
    failed(place, "no remote that this could mean", "git remote add origin")
    git(place.folder, "remote", "add", "up", "file:///nowhere")
    failed(place, "git:up/state: the branch can't be read: .*nowhere")
    failed(place, "no branch can have this name", state="git:up/..")
    git(place.folder, "symbolic-ref", "HEAD", "refs/heads/work")
    failed(place, "git:work: this branch is checked out", state="git:work")
    git(place.folder, "remote", "add", "down", "file:///nowhere")
    failed(place, "no remote that this could mean", "It has: down, up; say git:REMOTE/BRANCH")
    place.env["PATH"] = str(tmp_path)
    failed(place, "git is not installed")


def test_other_places_are_refused_by_name(place: Workplace) -> None:
    """A place of a kind that there isn't is told from a path."""
    failed(place, "state https://example.com/state: no state can be kept there", state="https://example.com/state")


def test_a_branch_that_may_not_be_written_is_an_error(one: Workplace, remote: Path) -> None:
    """The server's own words are shown, and nothing is sent."""
    hook = remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'the branch is protected' >&2\nexit 1\n")
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    ran = one.run(*APPLY)
    assert (ran.code, "pre-receive hook declined" in ran.err, "the branch is protected" in ran.err) == (1, True, True)


def test_settings_and_hooks_of_the_clone_have_no_effect(one: Workplace, tmp_path: Path) -> None:
    """Whatever the clone does on a push of its own, and wherever a hook that calls us points git."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("pre-push", "reference-transaction", "post-commit"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
        (hooks / name).chmod(0o755)
    for key, value in {
        "core.hooksPath": str(hooks),
        "core.fsmonitor": f"touch {tmp_path}/ran",
        "push.gpgSign": "true",
        "commit.gpgSign": "true",
        "remote.origin.mirror": "true",
        "remote.origin.push": "+refs/heads/*:refs/heads/*",
        "push.followTags": "true",
        "fetch.prune": "true",
        "core.autocrlf": "true",
    }.items():
        git(one.folder, "config", key, value)
    hooked = {"GIT_DIR": "/nowhere", "GIT_INDEX_FILE": "/nowhere", "GIT_WORK_TREE": "/nowhere"}
    ran = one.run(*APPLY, env=hooked)
    assert ran.code == 0, ran.err
    assert not (tmp_path / "ran").exists()


def test_a_token_goes_to_its_server_and_nowhere_else(one: Workplace, remote: Path, tmp_path: Path) -> None:
    """A token of the environment lets a pipeline push over HTTP; it is on no command line, in no file and no output."""
    git(remote, "config", "http.receivepack", "true")
    seen = tmp_path / "seen"
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    found = next(path for folder in os.environ["PATH"].split(":") if (path := Path(folder) / "git").exists())
    wrapper.write_text(f'#!/bin/sh\necho "$@" >> {seen}\nexec {found} "$@"\n')
    wrapper.chmod(0o755)
    with served(tmp_path) as url:
        git(one.folder, "remote", "set-url", "origin", f"{url}/remote.git")
        one.env["PATH"] = f"{wrapper.parent}:{os.environ['PATH']}"
        for token in ({}, {"RECONCILER_GIT_TOKEN": "wrong"}):
            refused = one.run(*APPLY, env=token)
            assert refused.code == 1
            assert "Authentication failed" in refused.err or "could not read Username" in refused.err
            assert "RECONCILER_GIT_TOKEN" in refused.err
        ran = one.run(*APPLY, env={"RECONCILER_GIT_TOKEN": TOKEN})
        assert ran.code == 0, ran.err
        git(one.folder, "remote", "set-url", "origin", f"{url.replace('//', '//someone:else@')}/remote.git")
        again = one.run(*APPLY, env={"RECONCILER_GIT_TOKEN": TOKEN})
        assert (again.code, "else@" in again.err) == (0, False)
    assert "push" in seen.read_text()
    everything = [path.read_bytes() for path in one.folder.rglob("*") if path.is_file()]
    for text in (seen.read_text(), refused.err, ran.err, ran.out, *map(repr, everything)):
        assert TOKEN not in text
