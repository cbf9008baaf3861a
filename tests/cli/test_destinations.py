"""Outputs go where they are sent, and never over what a run reads or remembers, however it is spelled."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import pytest

from tests.command import Ran, Workplace

ONE = "interactions: [{externalid: a, route: R}]\n"
STATE = "reconciler.state.json"
HOLDS = {
    STATE: "the state",
    f"{STATE}.journal": "the state's journal",
    f"{STATE}.backup": "the state's backup",
    f"{STATE}.backup.new": "the state's next backup",
    f"{STATE}.lock": "the state's lock",
    f"{STATE}.new": "the state's next version",
    "reconciler.yaml": "the configuration",
    "interactions/crm.yaml": "a file that no earlier run wrote there",
    "reconciler.prod.state.json": "a file that no earlier run wrote there",
    "notes.txt": "a file that no earlier run wrote there",
}
OPTIONS = ("--out", "--json-into", "--markdown-into", "--html-into")


@pytest.fixture
def full(place: Workplace) -> Workplace:
    """Give a folder with declarations, another environment's state, and notes of somebody's."""
    place.declare(ONE)
    assert place.run("--env", "prod", "init").code == 0
    (place.folder / "notes.txt").write_text("Call Alice.\n", encoding="utf-8")
    return place


def by_link(path: Path) -> str:
    """Return a link that leads to the path, whether it is there or not."""
    link = path.parent / f"link-{path.name}"
    link.symlink_to(path.name)
    return str(link)


def by_folder_link(path: Path) -> str:
    """Return the path through a link to its folder."""
    link = path.parent / f"folder-{path.name}"
    link.symlink_to(path.parent, target_is_directory=True)
    return str(link / path.name)


def by_hard_link(path: Path) -> str:
    """Return another name of the file, where it is there."""
    if not path.exists():
        return str(path)
    os.link(path, path.with_name(f"hard-{path.name}"))
    return str(path.with_name(f"hard-{path.name}"))


def roundabout(path: Path) -> str:
    """Return the path in more words than it needs."""
    return f"{path.parent}/../{path.parent.name}/./{path.name}"


def content(folder: Path) -> dict[Path, bytes]:
    """Return every file below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(ran: Ran, said: str) -> None:
    """Check that it was wrong usage, said so, and did nothing."""
    assert (ran.code, ran.out) == (64, ""), ran
    assert said in ran.err


@pytest.mark.parametrize("spelled", [str, by_link, by_folder_link, by_hard_link, roundabout])
def test_nothing_that_is_kept_is_overwritten(full: Workplace, spelled: Callable[[Path], str]) -> None:
    """What a run reads, remembers or will write, and files of others, are named and stay, under any name of theirs."""
    for (name, what), option in zip(HOLDS.items(), cycle(OPTIONS), strict=False):
        path = spelled(full.folder / name)
        before = content(full.folder)
        refused(full.run("plan", option, path), f"{option} {Path(path)}: it would overwrite {what}")
        assert content(full.folder) == before


@pytest.mark.parametrize(
    "name", ["RECONCILER.STATE.JSON", "Reconciler.state.json.Journal", "interactions/../STATE.json"]
)
def test_names_that_differ_in_case_alone_are_one(full: Workplace, name: str) -> None:
    """On some file systems they are, and there a journal would be overwritten that is not there yet."""
    full.env["RECONCILER_STATE"] = "state.json" if "STATE.json" in name else STATE
    refused(full.run("plan", "--json-into", name), "it would overwrite the state")


def test_a_state_elsewhere_is_kept(full: Workplace) -> None:
    """Where flags, variables or the sandbox say where the state is, it is that which is kept, and the real one too."""
    refused(full.run("--state", "a/s.json", "plan", "--out", "a/s.json.journal"), "overwrite the state's journal")
    sandboxed = full.run("--sandbox", "plan", "--out", ".reconciler/sandbox.state.json")
    refused(sandboxed, "it would overwrite the state")
    refused(full.run("--sandbox", "plan", "--out", STATE), "it would overwrite the state")
    (full.folder / "other.yaml").touch()
    refused(full.run("--config", "other.yaml", "plan", "--out", "other.yaml"), "it would overwrite the configuration")


@pytest.mark.parametrize(("one", "other"), [("--out", "--json-into"), ("--json-into", "--markdown-into")])
def test_two_outputs_do_not_share_a_file(full: Workplace, one: str, other: str) -> None:
    """Of two outputs in one file the first would be lost, also where it is reached in two ways."""
    (full.folder / "link").symlink_to("p")
    for path in ("p", "./p", "link"):
        refused(full.run("plan", one, "p", other, path), f"it would overwrite what {one} writes")
    summary = {"GITHUB_STEP_SUMMARY": str(full.folder / "p")}
    refused(full.run("plan", one, "p", env=summary), f"it would overwrite what {one} writes")


def test_what_an_earlier_run_wrote_is_replaced(full: Workplace) -> None:
    """The outputs of an earlier run, whichever they are, and an empty file give way; a link to them stays one."""
    (full.folder / "p").touch()
    (full.folder / "latest").symlink_to("p")
    for _ in range(2):
        for option in OPTIONS:
            for name in ("p", "latest"):
                assert full.run("plan", option, name).code == 0
    assert (full.folder / "latest").is_symlink()
    assert full.run("plan", "--out", "latest").code == full.run("show", "p").code == 0


def test_a_plan_is_not_overwritten_by_what_is_shown_of_it(full: Workplace) -> None:
    """`show` leaves the plan that it shows, and files that are no outputs."""
    full.run("plan", "--out", "p")
    before = content(full.folder)
    refused(full.run("show", "p", "--json-into", "./p"), "it would overwrite the saved plan")
    refused(full.run("show", "p", "--markdown-into", STATE), "a file that no earlier run wrote there")
    assert content(full.folder) == before


@pytest.mark.parametrize("name", [STATE, f"{STATE}.journal", f"{STATE}.lock", "reconciler.yaml", "p"])
def test_the_summary_of_the_job_goes_nowhere_else(full: Workplace, name: str) -> None:
    """Nothing is added to what is kept, the saved plan included."""
    full.run("plan", "--out", "p")
    before = content(full.folder)
    env = {"GITHUB_STEP_SUMMARY": str(full.folder / name)}
    for arguments in [["apply", "p"], ["plan"]][: 1 if name == "p" else 2]:
        refused(full.run(*arguments, env=env), f"GITHUB_STEP_SUMMARY {full.folder / name}: it would overwrite ")
    assert content(full.folder) == before


@pytest.mark.parametrize("option", OPTIONS)
def test_a_folder_is_no_file(full: Workplace, option: str) -> None:
    """A folder is refused before anything is done."""
    refused(full.run("plan", option, "."), "this is a folder")


def test_a_device_is_written_to(full: Workplace) -> None:
    """A pipe or a device is no file to be replaced, and takes any number of outputs."""
    with full.spawn("plan", "--json-into", "/dev/stdout", "--markdown-into", "/dev/null", "--out", "/dev/null") as ran:
        out, err = ran.communicate(timeout=60)
    assert ran.returncode == 0, err
    assert '"format_version": 1' in out
    assert Path("/dev/null").is_char_device()


def test_a_summary_that_nobody_reads_is_not_waited_for(full: Workplace) -> None:
    """A pipe without a reader costs a warning, and no more."""
    os.mkfifo(full.folder / "pipe")
    ran = full.process("plan", env={"GITHUB_STEP_SUMMARY": str(full.folder / "pipe")})
    assert (ran.code, "the job's summary can't be written" in ran.err) == (0, True), ran


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", ["x.state.json", "reconciler.prod.state.json.journal", "s.state.json.backup"])
def test_no_output_takes_the_name_of_a_state(full: Workplace, option: str, name: str) -> None:
    """What is not there yet may be another environment's: it would be taken for its state or journal."""
    ran = full.run("plan", option, name)
    assert (ran.code, "a state may be kept under this name" in ran.err) == (64, True), ran
    assert not (full.folder / name).exists()
