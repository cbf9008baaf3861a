"""`init`: all that a new folder needs is made, said and usable; what is there already is left as it is."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.command import Workplace

MADE = {
    "reconciler.yaml",
    "reconciler.state.json",
    "reconciler.state.json.lock",
    "interactions",
    ".reconciler",
    ".gitignore",
    ".gitattributes",
}
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
    assert ran.out.count("Made ") == 6
    assert SET_REGION not in ran.out
    planned = place.run("-C", str(folder), "plan", "--detailed-exitcode")
    assert (planned.code, "No changes" in planned.out) == (0, True), planned


def test_without_a_region(place: Workplace, folder: Path) -> None:
    """Without one, the next steps say where it is to be set."""
    ran = place.run("-C", str(folder), "init")
    assert (ran.code, SET_REGION in ran.out) == (0, True), ran


def test_only_the_state_is_private(place: Workplace, folder: Path) -> None:
    """What is made has the permissions that the user's mask gives; the state and its lock are the user's alone."""
    before = os.umask(0o022)
    try:
        assert place.run("-C", str(folder), "--state", "kept/s.json", "init").code == 0
    finally:
        os.umask(before)
    modes = {path.relative_to(folder).as_posix(): path.stat().st_mode & 0o777 for path in folder.rglob("*")}
    private = {"kept/s.json", "kept/s.json.lock"}
    assert {name for name, mode in modes.items() if mode == 0o600} == private
    assert {modes[name] for name in modes.keys() - private} == {0o755, 0o644}


def test_an_environment_is_set_up(place: Workplace, folder: Path) -> None:
    """Its part of reconciler.yaml and its own state are made; run again, nothing changes, nor with another region."""
    assert place.run("-C", str(folder), "init", "--region", "emea").code == 0
    ran = place.run("-C", str(folder), "--env", "staging", "init", "--region", "nam")
    made = [line.partition(":")[0] for line in ran.out.splitlines() if line.startswith("Made ")]
    assert made == [f"Made {folder}/reconciler.yaml", "Made new/reconciler.staging.state.json"], ran
    assert ran.out.endswith("both files.\n")
    assert "region: emea\nenvironments:\n  staging:\n    region: nam\n" in (folder / "reconciler.yaml").read_text(
        "utf-8"
    )
    assert "https://nam.api" in place.run("-C", str(folder), "--env", "staging", "plan").out
    assert "https://emea.api" in place.run("-C", str(folder), "plan").out
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    again = place.run("-C", str(folder), "init", "--region", "apac", env={"RECONCILER_ENV": "staging"})
    assert (again.code, "All of it is there already; nothing was changed." in again.out) == (0, True), again
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_an_environment_first(place: Workplace, folder: Path) -> None:
    """In a new folder the configuration has the environment, and a step says where its region is to be set."""
    ran = place.run("-C", str(folder), "--env", "staging", "init")
    assert (ran.code, "set region in environments.staging of reconciler.yaml" in ran.out) == (0, True), ran
    assert "environments:\n  staging:\n    # region: emea" in (folder / "reconciler.yaml").read_text("utf-8")
    unknown = place.run("-C", str(folder), "--env", "stagign", "plan")
    assert "Did you mean staging? It has: staging. To set up another one: reconciler " in unknown.err, unknown
    assert unknown.err.endswith("--env stagign init\n")


def test_an_environment_that_must_be_added_by_hand(place: Workplace, folder: Path) -> None:
    """Where the file is not in block style, nothing of it is changed, and it is said what to add."""
    folder.mkdir()
    (folder / "reconciler.yaml").write_text("{region: emea}\n", encoding="utf-8")
    ran = place.run("-C", str(folder), "--env", "staging", "init")
    assert (ran.code, "Add it by hand, below environments: staging: {}" in ran.err) == (1, True), ran
    assert (folder / "reconciler.yaml").read_text(encoding="utf-8") == "{region: emea}\n"
    assert not (folder / "reconciler.staging.state.json").exists()


def test_a_sandbox_is_ready_at_once(place: Workplace, folder: Path) -> None:
    """With --sandbox, the next steps need no account and no further flag."""
    ran = place.run("-C", str(folder), "--sandbox", "init")
    assert (ran.code, "RECONCILER_CLIENT_ID" in ran.out, "add --sandbox" in ran.out) == (0, False, False), ran
    assert f"2. reconciler -C {folder} --sandbox plan, then reconciler -C {folder} --sandbox apply." in ran.out
    assert (folder / ".reconciler" / "sandbox.state.json").exists()
    assert not (folder / "reconciler.state.json").exists()


def test_each_environment_has_a_sandbox_of_its_own(place: Workplace) -> None:
    """What one sandbox has open and remembers, that of another environment doesn't know."""
    place.declare("interactions: [{externalid: a, route: R}]\n")
    for options in ([], ["--env", "staging"], ["--env", "prod"]):
        ran = place.run("--sandbox", *options, "apply", "--auto-approve")
        assert (ran.code, "1 dispatched" in ran.out) == (0, True), ran
    (place.folder / "interactions" / "crm.yaml").write_text("interactions: []\n", encoding="utf-8")
    assert place.run("--sandbox", "--env", "prod", "apply", "--auto-approve", "--allow-empty").code == 0
    assert "1 to release" in place.run("--sandbox", "--env", "staging", "plan").out
    kept = {path.name for path in (place.folder / ".reconciler").iterdir() if path.suffix in {".json", ".memory"}}
    assert kept == {f"sandbox{name}.{end}" for name in ("", ".staging", ".prod") for end in ("state.json", "memory")}


def test_the_next_steps_are_about_this_folder(place: Workplace, folder: Path) -> None:
    """The commands that come next repeat what this one was told."""
    ran = place.run("-C", str(folder), "--env", "prod", "init")
    assert f"3. reconciler -C {folder} --env prod plan, then reconciler -C {folder} --env prod apply." in ran.out


def test_the_example_is_a_declaration(place: Workplace, folder: Path) -> None:
    """The example, once its comment signs are taken away as it says, is valid and planned as one dispatch."""
    assert place.run("-C", str(folder), "init", "--region", "apac").code == 0
    path = folder / "interactions" / "example.yaml"
    _, first, *lines = path.read_text(encoding="utf-8").splitlines()
    assert first.startswith("# What should be open.")
    path.write_text("\n".join(line.removeprefix("# ").removeprefix("#") for line in lines), encoding="utf-8")
    planned = place.run("-C", str(folder), "plan")
    assert (planned.code, "Plan: 1 to dispatch; 0 unchanged." in planned.out) == (0, True), planned


def test_what_is_there_is_kept(place: Workplace, folder: Path) -> None:
    """Configuration, declarations and ignored names that are there stay as they are; a state is not made twice."""
    (folder / "interactions").mkdir(parents=True)
    (folder / "reconciler.yaml").write_text("region: nam\n", encoding="utf-8")
    (folder / ".gitignore").write_text("*.log", encoding="utf-8")
    (folder / ".gitattributes").write_bytes(b"# caf\xe9\r\n*.state.json -text\r\n")
    ran = place.run("-C", str(folder), "init")
    assert (ran.code, SET_REGION in ran.out) == (0, False), ran
    assert (folder / "reconciler.yaml").read_text(encoding="utf-8") == "region: nam\n"
    assert not list((folder / "interactions").iterdir())
    ignored, unchanged = (folder / ".gitignore").read_bytes(), (folder / ".gitattributes").read_bytes()
    assert ignored.startswith(b"*.log\n.reconciler/*\n!.reconciler/schemas/\n")
    assert unchanged == b"# caf\xe9\r\n*.state.json -text\r\n*.state.json.journal -text\n"
    before = (folder / "reconciler.state.json").read_bytes()
    again = place.run("-C", str(folder), "init")
    assert (again.code, "nothing was changed" in again.out) == (0, True), again
    assert (folder / "reconciler.state.json").read_bytes() == before
    (folder / "reconciler.state.json").write_bytes(b"{")
    broken = place.run("-C", str(folder), "init")
    assert (broken.code, "reconciler.state.json" in broken.err) == (1, True), broken
    (folder / "reconciler.state.json").unlink()
    assert place.run("-C", str(folder), "init").code == 0
    assert (folder / ".gitignore").read_bytes() == ignored
    assert (folder / ".gitattributes").read_bytes() == unchanged


@pytest.mark.parametrize("name", ["reconciler.state.json", "r.prod.state.json", "kept/crm [1] *é#.json", "!state"])
def test_git_keeps_a_state_as_it_is(place: Workplace, folder: Path, name: str) -> None:
    """Whatever git makes of line ends elsewhere, state and journal come back as they were; lock and backup stay out.

    Of what is kept beside, the schemas stay, for others to have: the files name them.
    """
    assert place.run("-C", str(folder), "init", "--state", name).code == 0
    (folder / ".reconciler" / "sandbox.memory").write_text("mine", encoding="utf-8")
    written = {}
    for end in ("", ".journal", ".backup", ".new"):
        path = folder / (name + end)
        written[end] = path.read_bytes() if path.exists() else b"one\ntwo\n"
        path.write_bytes(written[end])
    git = ["git", "-C", str(folder), "-c", "core.autocrlf=true", "-c", "user.name=n", "-c", "user.email=e@example.com"]
    for command in (
        ["init", "-q"],
        ["add", "."],
        ["commit", "-qm", "m"],
        ["rm", "-qr", "."],
        ["reset", "-q", "--hard"],
    ):
        subprocess.run([*git, *command], check=True, capture_output=True)
    for end in ("", ".journal"):
        assert (folder / (name + end)).read_bytes() == written[end]
    kept = subprocess.run([*git, "ls-files", "-z"], check=True, capture_output=True, text=True).stdout.split("\0")
    assert {each for each in kept if each.startswith(name)} == {name, f"{name}.journal"}
    schemas = {f".reconciler/schemas/{each}.json" for each in ("config", "declarations")}
    assert {each for each in kept if each.startswith(".reconciler")} == schemas
