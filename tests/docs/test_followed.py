"""The pages under *Start*, followed to the letter in a fresh folder: what they show is what is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.ci.github import git
from tests.command import clean_environment
from tests.conftest import ROOT
from tests.golden import assert_golden
from tests.test_docs import UUID

START: Final = ROOT / "docs" / "start"
BLOCK: Final = re.compile(r"^```(sh|text)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
NEXT: Final = "\x1e"
VARIES: Final = re.compile(rf"{UUID.pattern}|\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
COMMIT: Final = "c0ffee" * 6 + "c0de"


def followed(page: str, folder: Path) -> str:
    """Run each block of a page in one shell, but what installs; return the page with what they printed."""
    blocks = [("" if "pip install" in code else code) for kind, code in BLOCK.findall(page) if kind == "sh"]
    script = "set -eu\n" + f"printf '{NEXT}'\n".join(block.replace("COMMIT", COMMIT) for block in blocks)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    author = {f"GIT_{who}_{what}": "x@y.example" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environ = {**clean_environment(), **author, "PATH": path, "HOME": str(folder)}
    ran = subprocess.run(["bash", "-c", script], cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    printed = iter(ran.stdout.split(NEXT))
    said = ""

    def shown(block: re.Match[str]) -> str:
        nonlocal said
        if block[1] == "sh":
            said = next(printed)
            return block[0]
        same = VARIES.sub("", said) == VARIES.sub("", block[2])
        return block[0] if same else f"```text\n{said}```\n"

    return BLOCK.sub(shown, page)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Give a clone with a first commit, of a repository that can be pushed to."""
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git(tmp_path, "clone", "--quiet", "origin.git", "clone")
    folder = tmp_path / "clone"
    git(folder, "switch", "--quiet", "--orphan", "main")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "Begin")
    git(folder, "push", "--quiet", "-u", "origin", "main")
    return folder


def test_the_first_plan(tmp_path: Path) -> None:
    """The page leads from nothing to an applied change, and through a failure."""
    page = START / "plan.md"
    assert_golden(followed(page.read_text("utf-8"), tmp_path), page)


def test_the_first_pipeline(clone: Path) -> None:
    """The page leads from a repository to a branch for a pull request, with workflows, a state and a plan."""
    page = START / "pipeline.md"
    assert_golden(followed(page.read_text("utf-8"), clone), page)
    branches = {line.rpartition("/")[2] for line in git(clone, "ls-remote", "--heads").splitlines()}
    assert branches == {"main", "first-calls", "reconciler-state"}
