"""The docs say what the code does."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from reconciler.cli.arguments import parser
from reconciler.errors import ExitCode
from tests.command import clean_environment
from tests.conftest import ROOT
from tests.golden import assert_golden

DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def commands(top: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and those of its commands, in order."""
    yield top
    for action in top._actions:  # noqa: SLF001  # argparse has no public way to its subcommands
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for command in action.choices.values():
                yield from commands(command)


def test_cli_md_shows_the_real_help() -> None:
    """docs/cli.md is what `--help` prints, for each command."""
    with mock.patch.dict(os.environ, {"COLUMNS": "100"}):
        helps = [f"## {command.prog}\n\n```text\n{command.format_help()}```\n" for command in commands(parser())]
    head = "# Commands\n\nAs `--help` prints it. `make golden` writes this page anew.\n\n"
    assert_golden(head + "\n".join(helps), ROOT / "docs" / "cli.md")


def test_exit_codes_md_lists_every_code() -> None:
    """docs/exit-codes.md and the help list the codes that exist, and no others."""
    page = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)] == sorted(ExitCode)
    listed = re.findall(r"(?:^|\s{2,})(\d+) {2,}\S", parser().format_help().partition("exit codes:")[2])
    assert sorted(map(int, listed)) == sorted(ExitCode)


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Each relative link in the docs names a file that exists; a folder is no page of the site."""
    text = page.read_text(encoding="utf-8")
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    assert [target for target in targets if target and not (page.parent / target).is_file()] == []


@pytest.fixture(scope="module")
def demo() -> str:
    """Give what the demo prints on stdout."""
    env = {**clean_environment(), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ran = subprocess.run(["sh", "docs/demo.sh"], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_the_demo_does_the_whole_job(demo: str) -> None:
    """The demo plans, applies, replaces, releases, fails, retries, and ends with nothing left to do."""
    for said in ("5 dispatched", "1 to replace", "1 to release", "(exit code 4)", "attempt 2: failed once"):
        assert said in demo
    assert demo.endswith("No changes: 4 interactions open, as declared.\n")


def test_the_readme_shows_what_the_demo_prints(demo: str) -> None:
    """Each transcript in README.md is a part of the demo's output, but for requestids."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    transcripts = re.findall(r"```console\n(.*?)```", readme, re.DOTALL)
    assert len(transcripts) == 2
    for transcript in transcripts:
        assert UUID.sub("UUID", transcript) in UUID.sub("UUID", demo)


def test_the_demo_leaves_the_checkout_alone() -> None:
    """The demo works on a copy; it leaves no file behind in the checkout."""
    script = (ROOT / "docs" / "demo.sh").read_text(encoding="utf-8")
    assert 'cd "$folder"' in script
    assert not (ROOT / ".reconciler").exists()


def test_the_readmes_declaration_is_valid(tmp_path: Path) -> None:
    """The example in README.md passes `validate`."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    (tmp_path / "example.yaml").write_text(example, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "reconciler", "validate", "--interactions", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "Valid: 2 interactions in 1 file.\n"), ran.stderr


def test_the_makefile_has_the_commands_that_the_docs_name() -> None:
    """Each `make` command in the docs is a target, and each target is in `make help`."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = {
        name
        for page in DOCS
        for name in re.findall(r"`make ([a-z-]+)`|^make ([a-z-]+)", page.read_text("utf-8"), re.MULTILINE)
        for name in name
        if name
    }
    assert named - targets == set()
    helped = set(re.findall(r'@echo "make ([a-z-]+)', makefile))
    assert targets - {"help"} == helped
