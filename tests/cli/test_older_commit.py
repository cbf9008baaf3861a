"""Old commits don't undo new ones: a guard on real git repositories."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from unittest import mock

import pytest

from tests.api import SandboxServer
from tests.command import Workplace

APPLY = ("apply", "--auto-approve")
AUTHOR = {f"GIT_{who}_{part}": "x@example.com" for who in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}


def git(folder: Path, *arguments: str) -> str:
    """Run git and return what it says."""
    command = ["git", "-c", "init.defaultBranch=main", *arguments]
    ran = subprocess.run(command, cwd=folder, env={**os.environ, **AUTHOR}, capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def commit(place: Workplace, *externalids: str) -> str:
    """Declare just these in a commit of their own, and return it."""
    listed = ", ".join(f"{{externalid: {each}, route: R}}" for each in externalids)
    place.declare(f"interactions: [{listed}]\n")
    git(place.folder, "add", "interactions")
    git(place.folder, "commit", "-q", "-m", " ".join(externalids))
    return git(place.folder, "rev-parse", "HEAD")


@pytest.fixture
def repository(place: Workplace) -> Workplace:
    """Give a place in a repository, with its first commit applied."""
    git(place.folder, "init", "-q")
    git(place.folder, "add", "reconciler.yaml")
    commit(place, "a")
    assert place.run(*APPLY).code == 0
    return place


def test_what_follows_is_applied_and_remembered(repository: Workplace) -> None:
    """The commit is kept with the state and in its history; what differs from it is said to."""
    second = commit(repository, "a", "b")
    assert repository.run(*APPLY).code == 0
    applied = repository.state["applied"]
    assert (applied["commit"], applied["dirty"]) == (second, False)
    repository.declare("interactions: [{externalid: c, route: R}]\n", "new.yaml")
    assert repository.run(*APPLY).code == 0
    assert repository.state["applied"]["dirty"]
    assert [run["commit"] for run in repository.state["history"]][1:] == [second, second]
    assert [run.get("dirty", False) for run in repository.state["history"]] == [False, False, True]


def test_a_repository_of_the_environment_is_not_asked(repository: Workplace, tmp_path: Path) -> None:
    """A hook's variables name the repository that it runs in: the guard and the state are about that of the files."""
    git(tmp_path, "init", "-q", "other")
    git(tmp_path / "other", "commit", "-q", "--allow-empty", "-m", "other")
    second = commit(repository, "a", "b")
    hooked = {"GIT_DIR": str(tmp_path / "other" / ".git"), "GIT_WORK_TREE": str(tmp_path / "other")}
    ran = repository.run(*APPLY, env=hooked)
    assert ran.code == 0, ran.out
    assert repository.state["applied"]["commit"] == second


def test_an_older_commit_is_refused(repository: Workplace, server: SandboxServer) -> None:
    """It would undo the newer one; the override names this commit, and permits no other."""
    old = git(repository.folder, "rev-parse", "HEAD")
    new = commit(repository, "a", "b")
    assert repository.run(*APPLY).code == 0
    git(repository.folder, "checkout", "-q", old)
    calls, before = len(server.calls), repository.state_path.read_bytes()
    ran = repository.run(*APPLY)
    assert (ran.code, len(server.calls)) == (5, calls)
    assert repository.state_path.read_bytes() == before
    assert f"commit {new[:12]} was applied last" in " ".join(ran.out.split())
    assert f"{old[:12]}, which is checked out, is older than it" in " ".join(ran.out.split())
    assert f"--allow-older-commit {old[:12]}" in ran.out
    assert repository.run(*APPLY, "--allow-older-commit", new[:12]).code == 5
    assert repository.run(*APPLY, "--allow-older-commit", old[:12]).code == 0
    assert set(server.emulator.open) == {"a"}
    git(repository.folder, "checkout", "-q", new)
    assert repository.run(*APPLY).code == 0, "the newer one follows it again"


def test_a_plan_shows_it_in_each_format_and_stores_what_was_allowed(repository: Workplace) -> None:
    """The guard and its override stand in text, JSON and Markdown; a saved plan carries the approval."""
    old = git(repository.folder, "rev-parse", "HEAD")
    commit(repository, "a", "b")
    repository.run(*APPLY)
    git(repository.folder, "checkout", "-q", old)
    assert repository.run("plan", "--detailed-exitcode").code == 5
    [refusal] = repository.run("plan", "--format", "json").json["refusals"]
    assert (refusal["code"], refusal["override"]) == ("older-commit", f"--allow-older-commit {old[:12]}")
    assert "--allow-older-commit" in repository.run("plan", "--format", "markdown").out
    ran = repository.run("plan", "--out", "saved", "--allow-older-commit", old[:12], "--detailed-exitcode")
    assert ran.code == 2
    assert f"commit {old[:12]}, which need not follow" in " ".join(ran.out.split())
    assert repository.run("show", "saved", "--format", "json").json["approvals"]["older_commit"] == old[:12]
    assert repository.run("apply", "saved").code == 0


def test_another_line_is_refused(repository: Workplace) -> None:
    """A branch that lacks what was applied, as after a rebase or a force-push, is told from an older commit."""
    commit(repository, "a", "b")
    repository.run(*APPLY)
    git(repository.folder, "checkout", "-q", "-b", "other", "HEAD~1")
    commit(repository, "a", "c")
    ran = repository.run(*APPLY)
    assert ran.code == 5
    assert "does not follow it: it is on another branch, or that one was rebased or force-pushed" in " ".join(
        ran.out.split()
    )


def test_a_shallow_clone_says_how_to_deepen_it(repository: Workplace) -> None:
    """It lacks the commit that was applied, so nobody can tell what follows."""
    commit(repository, "a", "b")
    clone = cloned(repository, "--depth", "1")
    ran = clone.run("plan", "--detailed-exitcode")
    assert ran.code == 5
    assert "Fetch its history: git fetch --unshallow" in " ".join(ran.out.split())
    git(clone.folder, "fetch", "-q", "--unshallow")
    assert clone.run("plan", "--detailed-exitcode").code == 2


def test_a_commit_that_is_not_there_is_refused(repository: Workplace) -> None:
    """What was applied may not have been pushed, or no longer be on any branch."""
    clone = cloned(repository)
    commit(repository, "a", "b")
    repository.run(*APPLY)
    clone.state_path.write_bytes(repository.state_path.read_bytes())
    ran = clone.run(*APPLY)
    assert ran.code == 5
    assert "that one is not in this repository" in " ".join(ran.out.split())
    clone.state_path.write_bytes(clone.state_path.read_bytes().replace(b'"commit":"', b'"commit":"--output=x'))
    assert clone.run(*APPLY).code == 5
    assert not (clone.folder / "x").exists()


def cloned(place: Workplace, *options: str) -> Workplace:
    """Return a clone of the repository, with the state beside it."""
    clone = Workplace(place.folder / "clone", place.env)
    git(place.folder, "clone", "-q", *options, place.folder.as_uri(), str(clone.folder))
    clone.state_path.write_bytes(place.state_path.read_bytes())
    return clone


def test_nothing_is_refused_where_nothing_would_change(repository: Workplace) -> None:
    """An older commit that declares the same passes, and is not remembered as the last one."""
    old = git(repository.folder, "rev-parse", "HEAD")
    (repository.folder / "README").touch()
    git(repository.folder, "add", "README")
    git(repository.folder, "commit", "-q", "-m", "nothing declared")
    commit(repository, "a", "b")
    new = commit(repository, "a")
    assert repository.run(*APPLY).code == 0
    assert repository.state["applied"]["commit"] == new, "what came in between must not be applied later"
    git(repository.folder, "checkout", "-q", old)
    assert repository.run(*APPLY).code == 0
    assert repository.state["applied"]["commit"] == new


def test_a_commit_of_other_files_is_not_worth_a_write(repository: Workplace) -> None:
    """Else a pipeline that commits the state beside the declarations would never come to rest."""
    git(repository.folder, "add", "reconciler.state.json")
    git(repository.folder, "commit", "-q", "-m", "the state")
    before = repository.state_path.read_bytes()
    assert repository.run(*APPLY).code == 0
    assert repository.state_path.read_bytes() == before


def test_git_is_asked_as_little_as_possible(repository: Workplace) -> None:
    """Once for a plan that changes something, never for one that changes nothing or where nothing is remembered."""
    with mock.patch.object(subprocess, "run", side_effect=subprocess.run) as ran:
        repository.run("plan")
        assert ran.call_count == 0
        repository.declare("interactions: []\n")
        repository.run("plan")
        assert ran.call_count == 1


@pytest.mark.parametrize("broken", ["no repository", "no git", "no commit", "not trusted"])
def test_without_git_nothing_is_refused(place: Workplace, broken: str, tmp_path: Path) -> None:
    """Where git can't tell, nothing is remembered, and an apply goes on as ever."""
    if broken != "no repository":
        git(place.folder, "init", "-q")
    if broken == "not trusted":
        commit(place, "a")
    place.declare("interactions: [{externalid: a, route: R}]\n")
    distrustful = tmp_path / "bin" / "git"
    distrustful.parent.mkdir()
    distrustful.write_text(f'#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec {shutil.which("git")} "$@"\n')
    distrustful.chmod(0o755)
    path = {"no git": str(place.folder), "not trusted": f"{distrustful.parent}:{os.environ['PATH']}"}
    assert place.run(*APPLY, env={"PATH": path[broken]} if broken in path else None).code == 0
    assert place.state["applied"] is None
