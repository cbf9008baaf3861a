"""The same on GitLab: the commands in this process, and the component by gitlab-ci-local."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api import SandboxServer
from tests.ci.github import NOBODY, READ_ONLY, TOKEN, Job, Json, git, served
from tests.ci.gitlab import GitLab
from tests.command import Workplace, clean_environment
from tests.conftest import ROOT, connection

LOCAL = ROOT / ".venv" / "node" / "node_modules" / ".bin" / "gitlab-ci-local"
TEMPLATE = ROOT / "templates" / "reconciler.yml"

ONE = "provider: Crm\ninteractions:\n  - {externalid: case-1, route: Day}\n"
TWO = ONE + "  - {externalid: case-2, route: Day}\n"
OTHER = "provider: Other\ninteractions:\n  - {externalid: other-1, route: Day}\n"
CRM, OTHERS = "interactions/crm.yaml", "interactions/other.yaml"


class Story:
    """A project with an empty state, and what its pipelines do."""

    def __init__(self, folder: Path, server: SandboxServer) -> None:
        self.host, self.server = GitLab(folder), server
        self.host.set_up(server.base_url)
        self.env = {"RECONCILER_STATE": str(folder / "state.json"), **connection(server)}
        assert Workplace(folder, self.env).run("init").code == 0

    def plan(self, request: Json | None = None, *, source: str = "push", commit: str = "", **environ: str) -> Job:
        """Run the first job, of a merge request or after it."""
        source = "merge_request_event" if request else source
        return self.host.job_of(source, "plan", environ={**self.env, **environ}, request=request, commit=commit)

    def apply(self, *words: str, commit: str = "") -> Job:
        """Run a job that applies."""
        return self.host.job_of("push", *words, environ=self.env, commit=commit)

    @property
    def opened(self) -> set[str]:
        """What is open."""
        return set(self.server.emulator.open)


@pytest.fixture
def story(tmp_path: Path, server: SandboxServer) -> Iterator[Story]:
    """Give a project on a platform that answers."""
    made = Story(tmp_path, server)
    with served(made.host):
        yield made


def test_from_a_merge_request_to_what_was_applied(story: Story) -> None:
    """A merge request gets a note and a status, its merge is applied unasked, and the note says what became of it."""
    requests = [story.host.propose(files) for files in ({CRM: ONE}, {OTHERS: OTHER})]
    for request in requests:
        planned = story.plan(request)
        assert planned.code == 0, planned.said
    assert "1 to dispatch" in story.host.comment(1)
    assert [(status["name"], status["state"]) for status in story.host.statuses] == [("reconciler", "success")] * 2
    commits = [story.host.merge(request) for request in requests]
    assert [story.plan(commit=commit).outputs for commit in commits] == [{"next": "apply", "approved": ""}] * 2
    for commit in commits:
        assert story.apply("apply", commit=commit).code == 0
    assert story.opened == {"case-1", "other-1"}
    assert "1 dispatched" in story.host.comment(2)


def test_a_push_past_review_waits_for_a_person(story: Story) -> None:
    """It is applied by the job that only a person starts, and by no other one."""
    story.host.push({CRM: TWO})
    looked = story.plan()
    assert (looked.code, looked.outputs["next"]) == (0, "approve")
    assert story.apply("apply").code == 3
    assert story.apply("apply", "--approved", looked.outputs["approved"]).code == 0
    assert story.opened == {"case-1", "case-2"}


def test_a_plan_that_is_invalid_was_not_shown(story: Story) -> None:
    """GitLab has no status `error`: an invalid proposal's is `canceled`, and counts as never shown."""
    request = story.host.propose({CRM: "interactions:\n  - {externalid: 7, route: Day}\n"})
    assert story.plan(request).code == 1
    assert story.host.statuses[-1]["state"] == "canceled"
    assert "There is no plan" in story.host.comment(1)


def test_a_token_that_lacks_a_scope(story: Story) -> None:
    """The plan is shown in the job, which says what GitLab refused; no variable of ours draws a warning."""
    ran = story.plan(story.host.propose({CRM: ONE}), GITLAB_TOKEN=READ_ONLY)
    assert ran.code == 0
    assert "the plan is shown here only: GitLab answered 403 to POST" in ran.said
    assert "not a variable" not in ran.said


def test_the_schedule_retries(story: Story) -> None:
    """What failed is sent again by the schedule."""
    story.server.faults.add("fail externalid=case-1")
    request = story.host.propose({CRM: ONE})
    story.plan(request)
    assert story.apply("apply", commit=story.host.merge(request)).code == 4
    assert story.plan(source="schedule").outputs["next"] == "apply"
    assert story.apply("retry").code == 0
    assert story.opened == {"case-1"}


SETTINGS: dict[str, Any] = {
    "/protected_branches/main": {"push_access_levels": [{"access_level": 0}]},
    "/variables/RECONCILER_CLIENT_ID": {"protected": True},
    "/variables/RECONCILER_CLIENT_SECRET": {"protected": True},
    "/variables/GITLAB_TOKEN": {"masked": True},
    "/pipeline_schedules": [{"active": True}],
    "/resource_groups/reconciler-state": {"process_mode": "oldest_first"},
}


@pytest.mark.parametrize(
    ("path", "instead"),
    [
        (None, None),
        ("/protected_branches/main", {"push_access_levels": [{"access_level": 40}]}),
        ("/variables/RECONCILER_CLIENT_SECRET", {"protected": False}),
        ("/variables/GITLAB_TOKEN", {"masked": False}),
        ("/pipeline_schedules", []),
        ("/resource_groups/reconciler-state", {"process_mode": "unordered"}),
    ],
)
def test_check(story: Story, path: str | None, instead: Any) -> None:
    """Each setting that is not in force is found, and by itself makes the check fail."""
    story.host.answers |= {**SETTINGS, **({path: instead} if path else {})}
    (story.host.dev / ".gitlab-ci.yml").write_text("include: []\n", encoding="utf-8")
    env = {"CI_API_V4_URL": f"{story.host.url}/api/v4", "CI_PROJECT_ID": "7", "GITLAB_TOKEN": TOKEN, **NOBODY}
    ran = Workplace(story.host.dev, env).run("ci", "check", "--platform", "gitlab", "--uses", "acme/reconciler@a")
    assert (ran.code, ran.out.count("missing  ")) == ((1, 1) if path else (0, 0)), ran.out


class Pipelines:
    """Runs the component's jobs by gitlab-ci-local, without containers and without the platform's own includes."""

    def __init__(self, host: GitLab, folder: Path, server: SandboxServer) -> None:
        self.host, self.folder, self.secrets = host, folder, connection(server)
        host.make()
        host.commit("Start")
        git(host.dev, "push", "--quiet", "origin", f"HEAD:{host.branch}")
        place = Workplace(host.dev, dict(NOBODY))
        assert place.run("ci", "init", "--platform", "gitlab", "--uses", f"acme/reconciler@{'a' * 40}").code == 0
        settings = host.dev / "reconciler.yaml"
        settings.write_text(f"base_url: {server.base_url}\n{settings.read_text('utf-8')}", encoding="utf-8")
        self._include()
        host.commit("Set up the pipeline")
        git(host.dev, "push", "--quiet", "origin", f"HEAD:{host.branch}")
        # All that gitlab-ci-local wants rsync for is to fill a folder that only containers look at.
        rsync = folder / "bin" / "rsync"
        rsync.parent.mkdir()
        rsync.write_text('#!/bin/sh\nfor last; do :; done\nmkdir -p "$last"\n', encoding="utf-8")
        rsync.chmod(0o755)

    def _include(self) -> None:
        """Put the component beside what includes it, for the one whom it is fetched from isn't there."""
        text = TEMPLATE.read_text("utf-8").replace("  image: $[[ inputs.image ]]\n", "")
        self.host.write({"templates/reconciler.yml": text})
        file = self.host.dev / ".gitlab-ci.yml"
        include = re.sub(r"component: .*", "local: templates/reconciler.yml", file.read_text("utf-8"))
        file.write_text(re.sub(r"install: .*", 'install: ""', include), encoding="utf-8")

    def run(self, source: str, request: Json | None = None, *jobs: str, commit: str = "") -> str:
        """Run a pipeline, or some jobs of it, and return what it said."""
        _, checkout = self.host.checkout("pull_request" if request else source, request, commit)
        git(checkout, "checkout", "--quiet", "-B", "change" if request else self.host.branch)
        given = {**self.host.variables(checkout, source, request), **self.secrets}
        told = {name: value for name, value in given.items() if name not in NOBODY}
        command = [str(LOCAL), *jobs, "--home", str(self.folder), "--no-color", "--no-shell-isolation"]
        command += [word for name, value in told.items() for word in ("--variable", f"{name}={value}")]
        path = f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = {**clean_environment(), **NOBODY, "PATH": path}
        ran = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, check=False, timeout=300)
        return ran.stdout + ran.stderr


@pytest.mark.soak(1)
def test_the_component(tmp_path: Path, server: SandboxServer) -> None:
    """By the engine of others: note, merge, apply, a push that waits for the manual job, a retry by the schedule."""
    host = GitLab(tmp_path)
    pipelines = Pipelines(host, tmp_path, server)
    with served(host):
        request = host.propose({CRM: ONE})
        assert "PASS  reconciler:plan" in pipelines.run("merge_request_event", request)
        assert "1 to dispatch" in host.comment(1)
        assert "1 dispatched" in pipelines.run("push", commit=host.merge(request))
        server.faults.add("fail externalid=case-2")
        host.push({CRM: TWO})
        assert "Approval is needed" in pipelines.run("push")
        assert set(server.emulator.open) == {"case-1"}
        approved = pipelines.run("push", None, "reconciler:approve", "--needs")
        assert "1 failed" in approved, approved
        assert "1 dispatched" in pipelines.run("schedule")
    assert set(server.emulator.open) == {"case-1", "case-2"}
