"""The very workflows and actions, run by nektos act, against a GitHub and an API of our own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api import SandboxServer
from tests.ci.act import USES, Act
from tests.ci.github import NOBODY, GitHub, Json, git, served
from tests.command import Workplace
from tests.conftest import connection

ONE = "provider: Crm\ninteractions:\n  - {externalid: case-1, route: Day}\n"
TWO = ONE + "  - {externalid: case-2, route: Day}\n"
OTHER = "provider: Other\ninteractions:\n  - {externalid: other-1, route: Day}\n"
CRM, OTHERS = "interactions/crm.yaml", "interactions/other.yaml"
PLAN, APPLY, FORKS = (f"reconciler-{name}.yml" for name in ("plan", "apply", "forks"))


class Story:
    """A repository with the workflows, and a state."""

    def __init__(self, folder: Path, server: SandboxServer, branch: str, environment: str | None) -> None:
        self.host, self.server, self.environment = GitHub(folder, branch), server, environment
        self.act = Act(self.host, folder, {name: connection(server)[name] for name in SECRETS})
        self.act.set_up()
        self.host.make()
        more = ["--env", environment] if environment else []
        place = Workplace(self.host.dev, dict(NOBODY))
        early = place.run("ci", "init", "--uses", USES)
        assert (early.code, "no branch yet" in early.err) == (64, True)
        self.host.commit("Start")
        git(self.host.dev, "push", "--quiet", "origin", f"HEAD:{branch}")
        ran = place.run("ci", "init", "--uses", USES, "--forks", *more)
        assert ran.code == 0, ran.err
        settings = self.host.dev / "reconciler.yaml"
        settings.write_text(f"base_url: {server.base_url}\n{settings.read_text('utf-8')}", encoding="utf-8")
        self.host.commit("Set up the pipeline")
        git(self.host.dev, "push", "--quiet", "origin", f"HEAD:{branch}")

    def file(self, name: str) -> str:
        """Return the workflow of this environment."""
        return name.replace(".yml", f"-{self.environment}.yml") if self.environment else name

    def planned(self, files: dict[str, str | None]) -> Json:
        """Propose something and have it planned."""
        pull = self.host.propose(files)
        ran = self.act.run(self.file(PLAN), "pull_request", pull=pull)
        assert ran.code == 0, ran.out
        return pull

    def applied(self, commit: str = "", event: str = "push", **inputs: str) -> str:
        """Run what a merge sets off; return what it said."""
        return self.act.run(self.file(APPLY), event, commit=commit, inputs=inputs).out

    @property
    def opened(self) -> set[str]:
        """What is open."""
        return set(self.server.emulator.open)


SECRETS = ("RECONCILER_CLIENT_ID", "RECONCILER_CLIENT_SECRET")


@pytest.fixture
def story(tmp_path: Path, server: SandboxServer, request: pytest.FixtureRequest) -> Iterator[Story]:
    """Give a repository; the parameter is its branch and its environment."""
    made = Story(tmp_path, server, *getattr(request, "param", ("main", None)))
    with served(made.host):
        yield made


def test_from_a_pull_request_to_a_retry(story: Story) -> None:
    """A pull request gets its plan, the merge is applied, and the schedule sends again what failed."""
    story.server.faults.add("fail externalid=case-2")
    pull = story.planned({CRM: TWO})
    assert "2 to dispatch" in story.host.comment(1)
    said = story.applied(story.host.merge(pull))
    assert "1 dispatched, 0 released, 1 failed" in said
    assert "Job failed" in said
    assert "1 failed" in story.host.comment(1)
    assert "1 dispatched, 0 released, 0 failed" in story.applied(event="schedule")
    assert story.opened == {"case-1", "case-2"}
    assert "planted-secret" not in said


@pytest.mark.soak(1)
def test_two_merges_planned_before_either_is_applied(story: Story) -> None:
    """Both are applied, one after the other, and nobody is asked."""
    pulls = [story.planned({CRM: ONE}), story.planned({OTHERS: OTHER})]
    commits = [story.host.merge(pull) for pull in pulls]
    for commit in commits:
        assert "next=apply" in story.act.run(APPLY, "push", commit=commit, job="plan").out
    for commit in commits:
        story.applied(commit)
    assert story.opened == {"case-1", "other-1"}
    assert story.server.emulator.record.doubles == []


@pytest.mark.soak(1)
@pytest.mark.parametrize("whole", [False, True], ids=["the command", "the runner"])
def test_a_killed_apply_is_taken_up_by_the_schedule(story: Story, *, whole: bool) -> None:
    """What was sent when the command, or the whole runner, was killed is settled, and nothing is doubled."""
    pull = story.planned({CRM: TWO})
    commit = story.host.merge(pull)
    story.server.faults.add("hang processed=yes")
    with story.act.start(APPLY, "push", commit=commit) as process:
        story.server.wait_until(lambda: story.server.hanging == 1, timeout=120)
        os.killpg(process.pid, signal.SIGKILL)
        for child in descendants(story.host.folder) if whole else ():
            os.kill(child, signal.SIGKILL)
        process.communicate()
    for child in descendants(story.host.folder):
        os.kill(child, signal.SIGKILL)
    story.server.release()
    said = story.applied(event="schedule")
    assert "Job succeeded" in said
    assert story.opened == {"case-1", "case-2"}
    assert story.server.emulator.record.doubles == []


def descendants(folder: Path) -> list[int]:
    """Return the processes that work somewhere below a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if (entry / "cwd").readlink().is_relative_to(folder):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


@pytest.mark.soak(1)
def test_a_guard_is_overruled_by_hand(story: Story) -> None:
    """What a guard refuses is red until a person starts the workflow with the number that it names."""
    many = ONE + "".join(f"  - {{externalid: case-{n}, route: Day}}\n" for n in range(10, 20))
    story.applied(story.host.merge(story.planned({CRM: many})))
    pull = story.host.propose({CRM: ONE})
    assert story.act.run(PLAN, "pull_request", pull=pull).code == 1
    assert "refused by 1 guard" in story.host.comment(2)
    commit = story.host.merge(pull)
    assert "Job failed" in story.applied(commit)
    assert "0 dispatched, 10 released" in story.applied(commit, "workflow_dispatch", allow="--allow-releases 10")


@pytest.mark.soak(1)
def test_a_hostile_fork(story: Story) -> None:
    """Its plan is made from the commit of the event, as data, even while its head moves on."""
    pull = story.host.propose({CRM: ONE, "conftest.py": "raise SystemExit"}, fork=True)
    event = {**pull, "head": dict(pull["head"])}
    story.host.before["GET /issues"] = lambda: story.host.amend(pull, {CRM: TWO})
    ran = story.act.run(FORKS, "pull_request_target", pull=event)
    assert ran.code == 0, ran.out
    assert "1 to dispatch" in story.host.comment(1)
    assert {status["sha"] for status in story.host.statuses} == {event["head"]["sha"]}


@pytest.mark.soak(1)
def test_an_environment_without_reviewers(story: Story) -> None:
    """A push past review goes no further where nobody would be asked, until a person starts it for just that."""
    commit = story.host.push({CRM: ONE})
    said = story.applied(commit)
    assert "no required reviewers" in said
    assert story.opened == set()
    fingerprint = said.rpartition("-f approve=")[2].split()[0]
    story.applied(commit, "workflow_dispatch", approve=fingerprint)
    assert story.opened == {"case-1"}


@pytest.mark.soak(1)
def test_github_answers_502(story: Story) -> None:
    """An answer that says that GitHub is unwell is asked for again."""
    story.host.failing += [("GET /issues", 502), ("POST /statuses", 503), ("POST /issues", 500)]
    pull = story.planned({CRM: ONE})
    assert story.host.status(pull)[0] == "success"


@pytest.mark.soak(1)
@pytest.mark.parametrize("story", [("trunk", None), ("main", "prod")], indirect=True, ids=["trunk", "prod"])
def test_other_names(story: Story) -> None:
    """A default branch and an environment of other names work as well, by the files that `ci init` makes."""
    story.applied(story.host.merge(story.planned({CRM: ONE})))
    assert story.opened == {"case-1"}
