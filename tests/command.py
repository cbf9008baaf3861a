"""The command as a user runs it: a folder, an environment, the real process or the same entry point in this one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from reconciler.cli import main

_TERMINAL = {"COLUMNS", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "FORCE_HYPERLINK", "VTE_VERSION"}
COMMAND = [sys.executable, "-m", "reconciler"]


@dataclass(frozen=True)
class Ran:
    """What a run printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout as JSON."""
        return json.loads(self.out)


@dataclass
class Workplace:
    """A folder with declarations and a state, and the environment that points to an API."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> Ran:
        """Run the command in this process: same entry point, same files, same HTTP, faster."""
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, {**self.env, **(env or {})}),
            _inside(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            code = main(list(arguments))
        return Ran(code, out.getvalue(), err.getvalue())

    def spawn(
        self, *arguments: str, env: Mapping[str, str] | None = None, by: Sequence[str] = COMMAND, **more: Any
    ) -> subprocess.Popen[str]:
        """Start the command as a process of its own, `by` another one if given; `more` is for Popen."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = {**clean_environment(), **self.env, **(env or {})}
        return subprocess.Popen([*by, *arguments], cwd=self.folder, env=environment, text=True, **(streams | more))

    def process(
        self, *arguments: str, env: Mapping[str, str] | None = None, by: Sequence[str] = COMMAND, **more: Any
    ) -> Ran:
        """Run the command so and wait for it; what goes elsewhere than to us is empty."""
        with self.spawn(*arguments, env=env, by=by, **more) as process:
            try:
                out, err = process.communicate(timeout=60)
            finally:
                process.kill()
        return Ran(process.returncode, out or "", err or "")

    def shell(self, line: str, env: Mapping[str, str] | None = None) -> Ran:
        """Run a line of bash in the folder, in which `reconciler` is the command."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return self.process("-c", line, env={"PATH": path, **(env or {})}, by=["bash"])

    def declare(self, text: str, name: str = "crm.yaml") -> Path:
        """Write a declaration file."""
        path = self.folder / "interactions" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    @property
    def state_path(self) -> Path:
        """Where the state is."""
        return self.folder / "reconciler.state.json"

    @property
    def state(self) -> dict[str, Any]:
        """The state as JSON."""
        return dict(json.loads(self.state_path.read_text(encoding="utf-8")))


def clean_environment() -> dict[str, str]:
    """Return the environment without anything that configures reconciler or a cloud, or colours output."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RECONCILER_", "GITHUB_", "CI_", "AWS_", "AZURE_", "GOOGLE_")) and name not in _TERMINAL
    }


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
