"""Runs a workflow file on nektos act, an engine that nobody here wrote, without containers.

act runs jobs in a copy of the folder that it is started in, as a checkout would leave it. It lacks `queue:`, which is
stripped, and what a job waits for (a group, the reviewers of an environment): what a person does is done here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.ci.github import NAME, NOBODY, TOKEN, GitHub, Json, git
from tests.command import Ran, clean_environment
from tests.conftest import ROOT

ACT: Final = Path(sys.executable).with_name("act")
USES: Final = f"acme/reconciler@{'a' * 40}"
_SETUP: Final = "actions/setup-python@5fda3b95a4ea91299a34e894583c3862153e4b97"
# What stands in for setup-python gives a Python whose venv holds the reconciler under test.
_PYTHON: Final = """\
#!/bin/sh
mkdir -p "$4/bin"
ln -sf /bin/true "$4/bin/pip"
printf '#!/bin/sh\\nexec {python} -m reconciler "$@"\\n' > "$4/bin/reconciler"
chmod +x "$4/bin/reconciler"
"""
_STAND_IN: Final = """\
name: stand-in
inputs: {python-version: {}, update-environment: {}}
outputs: {python-path: {value: "${{ steps.it.outputs.path }}"}}
runs:
  using: composite
  steps:
    - id: it
      shell: bash
      run: echo "path=$GITHUB_ACTION_PATH/python" >> "$GITHUB_OUTPUT"
"""


@dataclass
class Act:
    """Runs the workflows of a repository; `folder` holds what it needs besides."""

    host: GitHub
    folder: Path
    secrets: Mapping[str, str]
    runs: int = 0

    def set_up(self) -> None:
        """Make the actions that the workflows use."""
        ours, setup = self.folder / "ours", self.folder / "setup-python"
        for name in ("action.yml", "apply/action.yml"):
            (ours / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, ours / name)
        setup.mkdir()
        (setup / "action.yml").write_text(_STAND_IN, encoding="utf-8")
        python = setup / "python"
        python.write_text(_PYTHON.format(python=sys.executable), encoding="utf-8")
        python.chmod(0o755)

    def run(self, workflow: str, event: str, **about: Any) -> Ran:
        """Run a workflow for an event, as far as nobody has to be waited for; `about` as in `start`."""
        with self.start(workflow, event, **about) as process:
            out, err = process.communicate(timeout=300)
        return Ran(process.returncode, out, err)

    def start(  # each is a part of the event
        self,
        workflow: str,
        event: str,
        *,
        commit: str = "",
        pull: Json | None = None,
        inputs: Mapping[str, str] | None = None,
        job: str = "",
    ) -> subprocess.Popen[str]:
        """Start a run: for a commit of the default branch, of one job, or of all that need no other one that fails."""
        self.runs += 1
        place = self.folder / f"run-{self.runs}"
        checkout = place / "workspace"
        git(self.folder, "clone", "--quiet", "--no-checkout", self.host.bare.as_uri(), str(checkout))
        git(checkout, "fetch", "--quiet", "origin", "+refs/pull/*:refs/remotes/pull/*")
        git(checkout, "checkout", "--quiet", "-B", self.host.branch, commit or self.host.head)
        if event == "pull_request" and pull:
            git(checkout, "merge", "--quiet", "--no-ff", "--message", "Test merge", pull["head"]["sha"])
        file = checkout / ".github" / "workflows" / workflow
        text = file.read_text(encoding="utf-8")
        (place / workflow).write_text(text.replace(", queue: max", ""), encoding="utf-8")
        told = {**self.host.event(pull), "inputs": inputs or {}, "ref": f"refs/heads/{self.host.branch}"}
        (place / "event.json").write_text(json.dumps(told), encoding="utf-8")
        return self._act(place, event, place / workflow, job)

    def _act(self, place: Path, event: str, file: Path, job: str) -> subprocess.Popen[str]:
        command = [str(ACT), event, "--workflows", str(file), "--eventpath", str(place / "event.json")]
        command += ["--platform", "ubuntu-24.04=-self-hosted", "--no-cache-server", "--defaultbranch", self.host.branch]
        command += ["--local-repository", f"{USES}={self.folder / 'ours'}"]
        command += ["--local-repository", f"{_SETUP}={self.folder / 'setup-python'}"]
        given = {"GITHUB_API_URL": self.host.url, "GITHUB_REPOSITORY": NAME, "GITHUB_RUN_ID": str(self.runs)}
        command += [word for name, value in given.items() for word in ("--env", f"{name}={value}")]
        command += [word for name in (*self.secrets, "GITHUB_TOKEN") for word in ("--secret", name)]
        command += ["--job", job] if job else []
        env = {
            **clean_environment(),
            **NOBODY,
            **self.secrets,
            "GITHUB_TOKEN": TOKEN,
            "HOME": str(self.folder),
            "XDG_CACHE_HOME": str(place / "cache"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        return subprocess.Popen(
            command,
            cwd=place / "workspace",
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
