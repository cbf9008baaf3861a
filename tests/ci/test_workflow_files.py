"""The pipeline files by themselves: their schemas, permissions, pins, and what the shell may see."""

from __future__ import annotations

import base64
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.ci.runner import read_yaml, shell_environment
from tests.conftest import ROOT

CI = ROOT / "docs" / "ci"
WORKFLOWS = sorted((CI / "github").glob("*.yml"))
GITLAB = CI / "gitlab" / "reconciler.gitlab-ci.yml"
ACTION = ROOT / "action.yml"
SCRIPTS = sorted((CI / "steps").glob("*.sh"))
PERMISSIONS = {
    "plan.yml": {"plan": {"contents": "read"}},
    "comment.yml": {"comment": {"actions": "read", "contents": "read", "pull-requests": "write"}},
    "apply.yml": {
        "plan": {"actions": "read", "contents": "read", "pull-requests": "read"},
        "approve": {},
        "apply": {"contents": "write"},
    },
    "retry.yml": {"retry": {"contents": "write"}},
}


def every(value: Any, key: str) -> Iterator[Any]:
    """Yield what stands under a key, anywhere in a document."""
    if isinstance(value, dict):
        for name, below in value.items():
            if name == key:
                yield below
            yield from every(below, key)
    elif isinstance(value, list):
        for below in value:
            yield from every(below, key)


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        (["vendor.github-workflows"], WORKFLOWS),
        (["vendor.github-actions"], [ACTION]),
        (["vendor.gitlab-ci", "--data-transform", "gitlab-ci"], [GITLAB]),
    ],
    ids=["workflows", "action", "gitlab"],
)
def test_schemas(schema: list[str], files: list[Path]) -> None:
    """Each file has the form that its platform publishes; the schemas come with check-jsonschema, so no network."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", *schema, *map(str, files)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("name", "matched", "arguments", "said"),
    [("validate", slice(4), [], "Valid: "), ("fmt", slice(2), ["--check"], "Nothing to format.")],
)
def test_the_pre_commit_hooks(name: str, matched: slice, arguments: list[str], said: str) -> None:
    """A hook has what pre-commit asks for, runs a command that exists, and matches its files in any depth."""
    (hook,) = [each for each in read_yaml(ROOT / ".pre-commit-hooks.yaml") if each["id"] == f"reconciler-{name}"]
    assert {"id", "name", "entry", "language"} <= hook.keys()
    files = ["interactions/a.yaml", "interactions/b/c.yml", "interactions/d.json", "reconciler.yaml", "README.md"]
    assert [file for file in files if re.search(hook["files"], file)] == files[matched]
    module = [sys.executable, "-m", *shlex.split(hook["entry"]), *arguments]
    ran = subprocess.run(module, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, said in ran.stdout + ran.stderr) == (0, True)


@pytest.mark.parametrize("file", [*WORKFLOWS, ACTION], ids=lambda file: file.name)
def test_no_expression_reaches_the_shell(file: Path) -> None:
    """What others may write, a branch's name say, comes as a variable and never as a part of a script."""
    scripts = list(every(read_yaml(file), "run"))
    assert scripts
    assert [script for script in scripts if "${{" in script] == []


@pytest.mark.parametrize("file", [*WORKFLOWS, ACTION], ids=lambda file: file.name)
def test_actions_are_pinned(file: Path) -> None:
    """Each action is named by a whole commit, with the version beside it."""
    lines = re.findall(r"^\s*-? ?uses: (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(lines) == len(list(every(read_yaml(file), "uses")))
    assert [line for line in lines if not re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_every_action_has_one_version() -> None:
    """The same action is pinned to the same commit everywhere, and the docs list each."""
    pins = {use for file in (*WORKFLOWS, ACTION) for use in every(read_yaml(file), "uses")}
    assert len({pin.partition("@")[0] for pin in pins}) == len(pins)
    page = (CI / "README.md").read_text(encoding="utf-8")
    assert [pin for pin in pins if pin.replace("@", "` | `") not in page] == []


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_permissions_are_least(file: Path) -> None:
    """A workflow grants nothing; each job asks for what it needs, and no more."""
    workflow = read_yaml(file)
    assert workflow["permissions"] == {}
    assert {name: job["permissions"] for name, job in workflow["jobs"].items()} == PERMISSIONS[file.name]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_nothing_is_ever_cancelled(file: Path) -> None:
    """No concurrency group cancels what runs; that of the state doesn't cancel what waits either."""
    for group in every(read_yaml(file), "concurrency"):
        assert group["cancel-in-progress"] is False
        assert (group["group"] != "reconciler-state") or group["queue"] == "max"


def test_all_that_write_the_state_share_a_group() -> None:
    """Each job that can push the state is in the one concurrency group; so it is in GitLab's resource group."""
    for file in WORKFLOWS:
        workflow = read_yaml(file)
        for job in workflow["jobs"].values():
            if job["permissions"].get("contents") == "write":
                assert {**workflow, **job}["concurrency"]["group"] == "reconciler-state"
    assert set(every(read_yaml(GITLAB), "resource_group")) == {"reconciler-state"}


def test_only_what_sends_has_credentials() -> None:
    """Secrets reach the two steps that send, in jobs whose environment holds them, and nothing else."""
    for file in WORKFLOWS:
        for job in read_yaml(file)["jobs"].values():
            for step in job["steps"]:
                secret = "secrets." in str(step)
                assert secret == (step.get("name") in {"Apply", "Retry"})
                assert not secret or job["environment"] == "reconciler"


def test_the_state_is_always_saved() -> None:
    """After each step that may send comes one that saves, and one that keeps what can't be, whatever happened."""
    for file, job in (("apply.yml", "apply"), ("retry.yml", "retry")):
        steps = read_yaml(CI / "github" / file)["jobs"][job]["steps"]
        assert [(step["name"], step.get("if")) for step in steps[-3:]] == [
            (job.capitalize(), None),
            ("Save the state", "always()"),
            ("Keep a state that could not be saved", "always()"),
        ]


def test_the_fork_workflow_checks_out_the_default_branch_only() -> None:
    """The workflow that may write comments runs the script of the default branch, and no other code."""
    (job,) = read_yaml(CI / "github" / "comment.yml")["jobs"].values()
    checkout, run = job["steps"]
    assert checkout["with"] == {"ref": "${{ github.event.repository.default_branch }}", "persist-credentials": False}
    assert run["run"] == "python3 ci/reconciler/comment.py"


def test_one_version_is_installed() -> None:
    """All files name the version of reconciler that this is."""
    from reconciler import __version__  # noqa: PLC0415  # only this test needs it

    versions = {version for file in (*WORKFLOWS, GITLAB) for version in every(read_yaml(file), "INSTALL_VERSION")}
    assert versions == {__version__}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_are_plain_sh(script: Path) -> None:
    """Each script parses as POSIX sh and stops at the first failure and at unset variables."""
    subprocess.run(["sh", "-n", str(script)], check=True)
    text = script.read_text(encoding="utf-8")
    assert text.startswith("#!/bin/sh\n")
    assert "\nset -eu\n" in text


def test_the_token_goes_to_the_remote_and_nowhere_else(tmp_path: Path) -> None:
    """The state's remote is asked with the token, which stands in no file of the clone."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization", ""))
            self.send_response(403 if seen[-1] else 401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: Any) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        env = {
            **shell_environment(tmp_path),
            "RECONCILER_STATE": "state/reconciler.state.json",
            "STATE_REMOTE": f"http://127.0.0.1:{server.server_port}/calls.git",
            "GIT_TOKEN": "planted-token",
        }
        command = ["sh", str(CI / "steps" / "state.sh"), "fetch"]
        ran = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        server.shutdown()
    assert ran.returncode == 1
    assert seen == ["", "Basic " + base64.b64encode(b"x-access-token:planted-token").decode()]
    assert "planted-token" not in ran.stdout + ran.stderr
