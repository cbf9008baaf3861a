"""States that versions of reconciler left behind, written by real runs that were killed, are read and carried on.

Each folder in `versions/runs/` has a state and a journal, from the first and the last that wrote version 1, the first
that wrote version 2, and 0.9.0. They never change; a new version of the state adds a folder.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.command import Workplace
from tests.golden import assert_golden
from tests.test_docs import UUID

RUNS: Final = Path(__file__).parent / "versions" / "runs"
TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
STATE: Final = ".reconciler/sandbox.state.json"


def left(folder: Path, run: str) -> Workplace:
    """Return a folder as a killed run left it, with what was declared."""
    (folder / "interactions").mkdir()
    (folder / STATE).parent.mkdir()
    shutil.copy(RUNS / "all.yaml", folder / "interactions")
    shutil.copy(RUNS / run / "state.json", folder / STATE)
    shutil.copy(RUNS / run / "state.json.journal", f"{folder / STATE}.journal")
    return Workplace(folder)


@pytest.mark.parametrize("run", sorted(path.name for path in RUNS.iterdir() if path.is_dir()))
def test_what_any_version_left_is_carried_on(run: str, tmp_path: Path) -> None:
    """What is open, unknown and failed is known as then; what is declared as then is unchanged, and applies end it."""
    place = left(tmp_path, run)
    listed = place.run("--sandbox", "state", "list").out
    assert_golden(TIME.sub("TIME", UUID.sub("UUID", listed)), RUNS / "listed.txt")
    assert place.run("--sandbox", "plan").out.endswith("Plan: 4 to settle; 2 unchanged.\n")
    for _attempt in range(5):  # this sandbox has never heard of what is open: a release fails, until it may be left
        if place.run("--sandbox", "apply", "--auto-approve").code == 0:
            break
    assert place.run("--sandbox", "plan").out.endswith("\nNo changes: 6 interactions open, as declared.\n")


@pytest.mark.parametrize("command", [["plan"], ["apply", "--auto-approve"], ["state", "list"], ["state", "rm", "kept"]])
def test_a_state_of_the_future_is_refused(command: list[str], tmp_path: Path) -> None:
    """No command reads or changes a state of a later version, or the journal beside it; each says what to do."""
    place = left(tmp_path, "2-0.9.0")
    state = tmp_path / STATE
    state.write_bytes(state.read_bytes().replace(b'"version": 2', b'"version": 3'))
    before = {file: file.read_bytes() for file in state.parent.glob("*.json*") if "lock" not in file.name}
    ran = place.run("--sandbox", *command)
    assert (ran.code, ran.out) == (1, "")
    assert "a state of version 3; this reconciler reads versions 1 and 2" in ran.err
    assert "Use the version of reconciler that wrote it, or a newer one." in ran.err
    assert {file: file.read_bytes() for file in before} == before
