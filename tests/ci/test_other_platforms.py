"""GitLab's template and the composite action: their very shell steps, against the sandbox."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests.api import SandboxServer
from tests.ci.hosting import STATE, TOKEN, Hosting
from tests.ci.runner import read_yaml
from tests.ci.test_workflow_files import ACTION, GITLAB
from tests.conftest import connection

ONE = "provider: Crm\ninteractions:\n  - {externalid: case-1, route: Day}\n"


class GitLab:
    """Runs jobs of the template in a checkout of a commit, as a runner does."""

    def __init__(self, hosting: Hosting, commit: str) -> None:
        self.jobs = read_yaml(GITLAB)
        self.folder = hosting.folder / f"checkout-{commit}"
        self.folder.mkdir()
        hosting.checkout(self.folder, commit, whole=True)
        self.environ = {
            **hosting.environ,
            "CI_JOB_TOKEN": TOKEN,
            "CI_JOB_URL": "https://gitlab.example/acme/calls/-/jobs/1",
            "RECONCILER_STATE_TOKEN": TOKEN,
            "RECONCILER_CLIENT_ID": "tester",
            "RECONCILER_CLIENT_SECRET": "planted-secret",
            **self.jobs["variables"],
            "STATE_REMOTE": f"file://{hosting.bare}",
        }

    def job(self, name: str) -> dict[str, Any]:
        """Return a job with what it extends."""
        job = self.jobs[name]
        return {**self.job(job["extends"]), **job} if "extends" in job else dict(job)

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run a job's script, and then what comes after it in a shell of its own."""
        job = self.job(name)
        ran = self._sh([*job["before_script"], *job["script"]])
        after = self._sh(job.get("after_script", []))
        assert after.returncode == 0, after.stderr
        return ran

    def _sh(self, lines: list[str]) -> subprocess.CompletedProcess[str]:
        command = ["sh", "-e", "-c", "\n".join(lines)]
        return subprocess.run(command, cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False)


def test_gitlab(hosting: Hosting, server: SandboxServer) -> None:
    """GitLab's jobs plan, apply with a failure, save the state, and retry on schedule."""
    gitlab = GitLab(hosting, hosting.merge(hosting.propose({"interactions/crm.yaml": ONE})))
    planned = gitlab.run("reconciler:plan-main")
    assert (planned.returncode, server.calls) == (0, []), planned.stderr
    assert "case-1" in (gitlab.folder / "reconciler-plan" / "plan.md").read_text(encoding="utf-8")
    hosting.git(gitlab.folder, "clean", "-ffdxq", "--exclude=reconciler-plan")

    server.faults.add("fail externalid=case-1")
    assert gitlab.run("reconciler:apply").returncode == 4
    assert len(hosting.state["failed"]) == 1
    retried = gitlab.run("reconciler:retry")
    assert retried.returncode == 0, retried.stderr
    assert set(hosting.state["interactions"]) == {"case-1"}
    assert hosting.show(f"{STATE}.taken") is None


@pytest.mark.parametrize(
    ("inputs", "code", "said"),
    [
        ({"command": "validate"}, 0, "Valid: 1 interaction in 1 file."),
        ({"command": "plan", "arguments": "--detailed-exitcode\n--no-color"}, 2, "1 to dispatch"),
        ({"command": "plan", "arguments": "$(touch hacked) `touch hacked`"}, 64, ""),
        ({"command": "apply"}, 0, "1 dispatched"),
    ],
)
def test_the_action(hosting: Hosting, server: SandboxServer, inputs: dict[str, str], code: int, said: str) -> None:
    """The action runs what its inputs say, takes them for words and not for shell, and gives the exit code."""
    tmp_path = hosting.folder
    action = read_yaml(ACTION)
    step = action["runs"]["steps"][-1]
    values = {name: str(given.get("default", "")) for name, given in action["inputs"].items()} | inputs
    env = {name: values[text.split()[1].removeprefix("inputs.")] for name, text in step["env"].items()}
    secrets = connection(server)
    env |= {name: secrets[name] for name in secrets if name in env}
    place = tmp_path / "place"
    (place / "interactions").mkdir(parents=True)
    (place / "interactions" / "crm.yaml").write_text(ONE, encoding="utf-8")
    (place / STATE).write_text(hosting.show(STATE) or "", encoding="utf-8")
    (place / "reconciler.yaml").write_text(f"base_url: {server.base_url}\n", encoding="utf-8")
    bin_folder = tmp_path / "reconciler-action" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "reconciler").write_text('#!/bin/sh\nexec reconciler "$@"\n', encoding="utf-8")
    (bin_folder / "reconciler").chmod(0o755)
    output = tmp_path / "output"
    environ = {**hosting.environ, **env, "RUNNER_TEMP": str(tmp_path), "GITHUB_OUTPUT": str(output)}
    ran = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=place,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, output.read_text(encoding="utf-8")) == (code, f"exit-code={code}\n"), ran.stderr
    assert said in ran.stdout
    assert not list(place.rglob("hacked"))
