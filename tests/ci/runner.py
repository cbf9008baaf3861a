"""Runs a job of a workflow file: its very shell steps, in order, as GitHub's runner does."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from tests.ci.expressions import filled, holds
from tests.command import clean_environment

ACTIONS: Final = {
    "actions/checkout": "checkout",
    "actions/upload-artifact": "upload",
    "actions/download-artifact": "download",
}
During = Callable[["subprocess.Popen[str]"], None]


def read_yaml(path: Path) -> Any:
    """Return a YAML file; `on` is a text in YAML 1.2."""
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def shell_environment(home: Path) -> dict[str, str]:
    """Return the environment of a shell that knows nothing of this machine's settings, and our command."""
    environ = clean_environment()
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    return {
        **environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "PUSH_PAUSE": "0",
    }


@dataclass
class Step:
    """A step that ran, or was skipped (`code` None)."""

    name: str
    code: int | None
    said: str = ""


@dataclass
class Job:
    """One job of a workflow file in a fresh workspace.

    `contexts` are those of expressions; `checkout` brings a ref (or the event's commit) into a folder; `artifacts` are
    the run's, by name, as zip files; `during` is called with the process of a step of that name as soon as it runs;
    those in `skipped` don't.
    """

    workflow: Path
    name: str
    folder: Path
    environ: Mapping[str, str]
    contexts: Mapping[str, Any]
    checkout: Callable[[Path, str | None, bool], None]
    artifacts: dict[str, bytes]
    during: Mapping[str, During] = field(default_factory=dict)
    skipped: Collection[str] = ()
    steps: list[Step] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    summary: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether no step failed."""
        return all(step.code in {0, None} for step in self.steps)

    @property
    def workspace(self) -> Path:
        """Where its steps run."""
        return self.folder / "workspace"

    def step(self, name: str) -> Step:
        """Return the step of that name."""
        return next(step for step in self.steps if step.name == name)

    def run(self) -> Job:
        """Run all steps, as their conditions say."""
        self.workspace.mkdir(parents=True)
        whole = read_yaml(self.workflow)
        job = whole["jobs"][self.name]
        seen: dict[str, dict[str, dict[str, str]]] = {}
        status = {
            "always": lambda: True,
            "cancelled": lambda: False,
            "success": lambda: self.succeeded,
            "failure": lambda: not self.succeeded,
        }
        contexts = {**self.contexts, **status, "steps": seen}
        for step in job["steps"]:
            name = step.get("name", step.get("uses", "run"))
            if name in self.skipped or not holds(step.get("if"), contexts):
                self.steps.append(Step(name, None))
                continue
            if "uses" in step:
                given = {key: filled(str(value), contexts) for key, value in step.get("with", {}).items()}
                getattr(self, f"_{ACTIONS[step['uses'].partition('@')[0]]}")(given)
                self.steps.append(Step(name, 0))
                continue
            texts = {**whole.get("env", {}), **job.get("env", {}), **step.get("env", {})}
            env = {key: filled(str(value), contexts) for key, value in texts.items()}
            ran, outputs = self._shell(name, step["run"], env)
            self.steps.append(ran)
            seen[step.get("id", "")] = {"outputs": outputs}
        self.outputs = {key: filled(value, contexts) for key, value in job.get("outputs", {}).items()}
        return self

    def _shell(self, name: str, script: str, env: Mapping[str, str]) -> tuple[Step, dict[str, str]]:
        files = {file: self.folder / file for file in ("output", "path", "summary", "temp")}
        files["temp"].mkdir(exist_ok=True)
        files["output"].write_text("", encoding="utf-8")
        (self.folder / "script.sh").write_text(script, encoding="utf-8")
        given = {
            **self.environ,
            "GITHUB_OUTPUT": str(files["output"]),
            "GITHUB_PATH": str(files["path"]),
            "GITHUB_STEP_SUMMARY": str(files["summary"]),
            "RUNNER_TEMP": str(files["temp"]),
            **env,
        }
        if self.during.get(name) is gone:
            return Step(name, 137), {}
        with subprocess.Popen(
            ["bash", "-e", str(self.folder / "script.sh")],
            cwd=self.workspace,
            env=given,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            if name in self.during:
                self.during[name](process)
            said, _ = process.communicate(timeout=300)
        self.summary = files["summary"].read_text(encoding="utf-8") if files["summary"].exists() else ""
        lines = files["output"].read_text(encoding="utf-8").splitlines()
        return Step(name, process.returncode, said), dict(line.split("=", 1) for line in lines)

    def _checkout(self, given: Mapping[str, str]) -> None:
        assert given["persist-credentials"] == "False"
        self.checkout(self.workspace, given.get("ref"), given.get("fetch-depth") == "0")

    def _upload(self, given: Mapping[str, str]) -> None:
        found = [
            file
            for line in given["path"].splitlines()
            for top in self.workspace.glob(line.rstrip("/"))
            for file in ([top] if top.is_file() else sorted(top.rglob("*")))
            if file.is_file()
        ]
        assert not any(part.startswith(".") for file in found for part in file.relative_to(self.workspace).parts)
        if not found:
            assert given["if-no-files-found"] == "ignore"
            return
        # As the action does: names are relative to what all paths have in common.
        root = Path(os.path.commonpath([file.parent for file in found]))
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for file in found:
                archive.write(file, file.relative_to(root))
        self.artifacts[given["name"]] = buffer.getvalue()

    def _download(self, given: Mapping[str, str]) -> None:
        with zipfile.ZipFile(io.BytesIO(self.artifacts[given["name"]])) as archive:
            archive.extractall(self.workspace / given["path"])


def gone(_process: subprocess.Popen[str]) -> None:
    """Stand for a machine that is gone before the step: it is never started, so nothing it does can come first."""


def killed(process: subprocess.Popen[str]) -> None:
    """Kill a step as a runner does that gives up on it."""
    process.send_signal(signal.SIGKILL)
