"""Bare repositories to push to, and clones of them to work in, as people and pipelines have them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

_ALONE: Final = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    **dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), "2026-11-24T12:00:00Z"),
}
_WHO: Final = ("-c", "user.name=Dana", "-c", "user.email=dana@example.com")


def git(folder: Path, *arguments: str) -> str:
    """Return what git says there, whatever this machine's own settings are."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | _ALONE
    command = ["git", *_WHO, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, env=environment, capture_output=True, text=True).stdout.strip()


def bare(folder: Path) -> Path:
    """Make an empty repository to push to."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main")
    return folder


def clone(folder: Path, url: str) -> Path:
    """Make a repository with a commit, the same in each, and this remote."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "remote", "add", "origin", url)
    git(folder, "commit", "--quiet", "--allow-empty", "--message", "Begin")
    return folder
