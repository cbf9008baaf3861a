"""`init`: all that a new folder needs is made, said and usable; what is there already is left as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import Workplace

MADE = {"reconciler.yaml", "reconciler.state.json", "reconciler.state.json.lock", "interactions", ".gitignore"}
SET_REGION = "set region in reconciler.yaml"


@pytest.fixture
def folder(place: Workplace) -> Path:
    """Return where a new folder will be; no target comes from the environment."""
    place.env.pop("RECONCILER_BASE_URL", None)
    return place.folder / "new"


def test_a_new_folder(place: Workplace, folder: Path) -> None:
    """With a region, what is made is listed, holds the region, and plans at once: nothing is declared yet."""
    ran = place.run("-C", str(folder), "init", "--region", "emea")
    assert ran.code == 0, ran
    assert {path.name for path in folder.iterdir()} == MADE
    assert "region: emea\n" in (folder / "reconciler.yaml").read_text(encoding="utf-8")
    assert ran.out.count("Made ") == 4
    assert SET_REGION not in ran.out
    planned = place.run("-C", str(folder), "plan", "--detailed-exitcode")
    assert (planned.code, "No changes" in planned.out) == (0, True), planned


def test_without_a_region(place: Workplace, folder: Path) -> None:
    """Without one, the next steps say where it is to be set."""
    ran = place.run("-C", str(folder), "init")
    assert (ran.code, SET_REGION in ran.out) == (0, True), ran


def test_the_example_is_a_declaration(place: Workplace, folder: Path) -> None:
    """The example, once its comment signs are taken away as it says, is valid and planned as one dispatch."""
    assert place.run("-C", str(folder), "init", "--region", "apac").code == 0
    path = folder / "interactions" / "example.yaml"
    first, *lines = path.read_text(encoding="utf-8").splitlines()
    assert first.startswith("# What should be open.")
    path.write_text("\n".join(line.removeprefix("# ").removeprefix("#") for line in lines), encoding="utf-8")
    planned = place.run("-C", str(folder), "plan")
    assert (planned.code, "Plan: 1 to dispatch; 0 unchanged." in planned.out) == (0, True), planned


def test_what_is_there_is_kept(place: Workplace, folder: Path) -> None:
    """Configuration, declarations and ignored names that are there stay as they are; a state is not made twice."""
    (folder / "interactions").mkdir(parents=True)
    (folder / "reconciler.yaml").write_text("region: nam\n", encoding="utf-8")
    (folder / ".gitignore").write_text("*.log", encoding="utf-8")
    ran = place.run("-C", str(folder), "init")
    assert (ran.code, SET_REGION in ran.out) == (0, False), ran
    assert (folder / "reconciler.yaml").read_text(encoding="utf-8") == "region: nam\n"
    assert not list((folder / "interactions").iterdir())
    ignored = (folder / ".gitignore").read_text(encoding="utf-8")
    assert ignored.startswith("*.log\n.reconciler/\n")
    before = (folder / "reconciler.state.json").read_bytes()
    again = place.run("-C", str(folder), "init")
    assert (again.code, "there is a state already" in again.err) == (1, True), again
    assert (folder / "reconciler.state.json").read_bytes() == before
    assert (folder / ".gitignore").read_text(encoding="utf-8") == ignored
