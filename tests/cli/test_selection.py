"""`--target` and `--exclude` through the front door: a part is planned, said to be one, and applied; the rest stays."""

from __future__ import annotations

import pytest

from tests.api import SandboxServer
from tests.command import Ran, Workplace

CRM = """\
interactions:
  - {externalid: crm-1, provider: P, route: Day}
  - {externalid: crm-2, provider: P, route: Day, lifecycle: {prevent_release: true}}
"""
SMS = "interactions: [{once: sms, route: Send}, {externalid: web, route: Web}]\n"
APPLY = ("apply", "--auto-approve")


pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture
def two(place: Workplace) -> Workplace:
    """Give two files of declarations."""
    place.declare(CRM)
    place.declare(SMS, "sms.yaml")
    return place


@pytest.fixture
def opened(two: Workplace) -> Workplace:
    """Give the same, all of it open."""
    assert two.run(*APPLY).code == 0
    return two


def says(ran: Ran, code: int, *texts: str) -> None:
    """Check the exit code, and that each text is printed."""
    assert ran.code == code, ran
    assert [text for text in texts if text not in ran.out + ran.err] == []


def test_a_part_is_applied_and_said_to_be_one(two: Workplace, server: SandboxServer) -> None:
    """The header, the counts, Markdown and JSON say what was chosen, and how much is left out; only that is sent."""
    chosen = ("--target", "crm-*", "--target", "once:sms", "--exclude", "crm-2")
    planned = two.run("plan", *chosen, "--json-into", "p.json", "--markdown-into", "p.md")
    head = "Only a part: --target='crm-*' --target=once:sms --exclude=crm-2"
    says(planned, 0, head, "Plan: 2 to dispatch; 0 unchanged; 2 changes left out by --target and --exclude.")
    markdown = (two.folder / "p.md").read_text(encoding="utf-8")
    assert "**Only a part:** `--target='crm-*'`" in markdown
    assert "2 changes left out by --target and --exclude" in markdown
    document = two.run("plan", *chosen, "--format", "json").json
    assert document["selection"] == {"targets": ["crm-*", "once:sms"], "excludes": ["crm-2"]}
    assert (document["summary"]["dispatch"], document["summary"]["left_out"]) == (2, 2)
    says(two.run(*APPLY, *chosen), 0, head, "2 dispatched")
    assert set(server.emulator.open) == {"crm-1"}
    says(two.run("plan", *chosen), 0, "No changes: what is selected is as declared; 2 changes left out by")


def test_a_protected_one_blocks_the_others_no_more(opened: Workplace, server: SandboxServer) -> None:
    """What a guard refuses is excluded, the rest is applied; by the file that declared them, releases are selected."""
    opened.declare("interactions: []\n")
    says(opened.run(*APPLY), 5, "prevent_release")
    says(opened.run(*APPLY, "--exclude", "crm-2"), 0, "1 released")
    assert set(server.emulator.open) == {"crm-2", "web"}
    assert set(opened.state["interactions"]) == {"crm-2", "web", "once:sms"}
    says(opened.run("plan", "--target", "file:interactions/crm.yaml"), 0, "release   crm-2")


def test_what_is_unknown_and_not_selected_is_left_for_later(two: Workplace, server: SandboxServer) -> None:
    """An apply of a part leaves what is pending elsewhere, and its exit code and report are about the part."""
    server.faults.add("drop=before times=always externalid=web")
    assert two.run(*APPLY).code == 7
    pending = two.state["pending"]
    two.declare(CRM.replace("crm-1, provider: P, route: Day", "crm-1, provider: P, route: Night"))
    ran = two.run(*APPLY, "--target", "crm-1", env={"GITHUB_STEP_SUMMARY": str(two.folder / "summary.md")})
    left_out = "; 2 changes left out by --target"
    says(ran, 0, f"unchanged{left_out}.", f"1 dispatched, 1 released, 0 failed{left_out}.")
    assert f"**1 dispatched, 1 released, 0 failed**{left_out};" in (two.folder / "summary.md").read_text(
        encoding="utf-8"
    )
    assert "Unknown" not in ran.out
    assert two.state["pending"] == pending
    server.faults.clear()
    says(two.run(*APPLY), 0, "2 dispatched")


def test_a_saved_plan_keeps_its_selection(two: Workplace) -> None:
    """`show` and `apply PLAN` use the stored selection; another beside it is an error; applied, it is stale."""
    chosen = ("--exclude", "web", "--exclude", "crm-*")
    planned = two.run("plan", "--out", "p.json", *chosen)
    assert two.run("show", "p.json").out == planned.out
    for option in (("--target", "web"), ("--exclude", "web"), ("--target-file", "f"), ("--exclude-file", "f")):
        says(two.run("apply", "p.json", *option), 64, "a saved plan holds what was selected for it")
    says(two.run("apply", "p.json"), 0, "Only a part: --exclude=web --exclude='crm-*'")
    assert set(two.state["interactions"]) == {"once:sms"}
    two.declare("interactions: [{externalid: web, route: Web}]\n", "sms.yaml")
    assert two.run("plan", "--out", "gone.json", "--target", "once:sms").code == 0
    assert two.run("apply", "gone.json").code == 0
    says(two.run("apply", "gone.json"), 3, "It has been applied already")


def test_selectors_come_from_files_too(two: Workplace) -> None:
    """One a line, comments left out, both kinds beside the options; no output may overwrite them."""
    (two.folder / "want").write_text("# today\ncrm-*\n\n", encoding="utf-8-sig")
    (two.folder / "not").write_text("crm-2\n", encoding="utf-8")
    chosen = ("--target-file", "want", "--target", "web", "--exclude-file", "not")
    says(two.run("plan", *chosen), 0, "Only a part: --target=web --target='crm-*' --exclude=crm-2", "2 to dispatch")
    says(two.run("plan", *chosen, "--out", "want"), 64, "--out want: it would overwrite what is selected")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--target", "crm-9"], "that this selects: crm-9\n  Did you mean crm-2?"),
        (
            ["--exclude", "file:sms.yaml"],
            "that this selects: file:sms.yaml\n  Did you mean file:interactions/sms.yaml?",
        ),
        (["--target", "crm-1", "--exclude", "nobody", "--exclude", ""], "that this selects: nobody, ''"),
        (["--target-file", "wrong"], "that this selects: a line of wrong\n"),
        (["--target-file", "missing"], "--target-file missing: No such file or directory"),
        (["--target-file", "empty"], "--target-file empty: no selector stands in it"),
        (["--exclude-file", "bytes"], "--exclude-file bytes: it is not UTF-8"),
    ],
)
def test_a_selection_that_cannot_be_meant_is_refused(two: Workplace, options: list[str], said: str) -> None:
    """What selects nothing at all, or can't be read, is wrong usage; nothing is sent."""
    (two.folder / "empty").write_text("# none yet\n", encoding="utf-8")
    (two.folder / "bytes").write_bytes(b"\xff\n")
    (two.folder / "wrong").write_text('linkeddata: [{type: clid, value: "+447700900123"}]\n', encoding="utf-8")
    for command in (("plan",), APPLY):
        says(two.run(*command, *options), 64, said)
    assert two.state["serial"] == 0


# -- a part of the declarations ----------------------------------------------------------------------------------------


def test_a_part_of_the_declarations_is_not_taken_for_the_whole(opened: Workplace, server: SandboxServer) -> None:
    """Where less is read than before, what was declared elsewhere is not released unasked; the override is exact."""
    narrow = ("--interactions", "interactions/sms.yaml")
    says(
        opened.run(*APPLY, *narrow, "--exclude", "crm-2"),
        5,
        "1 interaction that is not declared in interactions/sms.yaml was declared outside it (interactions/crm.yaml)",
        "To allow exactly this: --allow-outside 1",
        "--target=file:interactions/sms.yaml",
    )
    says(opened.run(*APPLY, *narrow, "--target", "file:interactions/sms.yaml"), 0, "No changes")
    says(opened.run(*APPLY, *narrow, "--exclude", "crm-2", "--allow-outside", "0"), 5, "--allow-outside 1")
    opened.run("plan", *narrow, "--exclude", "crm-2", "--allow-outside", "1", "--out", "p.json")
    says(opened.run("apply", "p.json", *narrow), 0, "1 released")
    assert set(server.emulator.open) == {"crm-2", "web"}


def test_a_once_declared_elsewhere_is_not_forgotten(opened: Workplace) -> None:
    """Nor does a once leave the state, for it would be dispatched again when all is read."""
    says(opened.run(*APPLY, "--interactions", "interactions/crm.yaml"), 5, "2 interactions that are not declared")


def test_a_folder_that_was_renamed_is_no_part(opened: Workplace) -> None:
    """Declarations that moved with their folder are declared still: nothing stands against that."""
    (opened.folder / "interactions").rename(opened.folder / "declared")
    says(opened.run(*APPLY, "--interactions", "declared"), 0, "No changes")
