"""Saved plans and guards through the command: exactly what was reviewed is applied, and nothing that wasn't allowed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.api import SandboxServer
from tests.command import Ran, Workplace

NINE = "".join(f"  - {{externalid: id-{n}, route: R}}\n" for n in range(9))
APPLY = ("apply", "--auto-approve")


def declare(place: Workplace, entries: str) -> None:
    """Declare interactions without a provider."""
    place.declare(f"interactions:\n{entries}" if entries else "interactions: []\n")


def without(*numbers: int) -> str:
    """Return the nine without some."""
    return "".join(line + "\n" for line in NINE.splitlines() if not any(f"id-{n}," in line for n in numbers))


@pytest.fixture
def opened(place: Workplace) -> Workplace:
    """Give a folder with nine open interactions."""
    declare(place, NINE)
    assert place.run(*APPLY).code == 0
    return place


def refused(ran: Ran, *words: str) -> None:
    """Check for a refusal by a guard that shows the plan and these words."""
    assert ran.code == 5, ran
    assert "Plan: " in ran.out
    assert [word for word in words if word not in ran.out] == []


# -- saved plans -------------------------------------------------------------------------------------------------------


def test_a_saved_plan_is_applied_as_reviewed(opened: Workplace, server: SandboxServer) -> None:
    """`plan --out`, `show` and `apply PLAN` show and do the same, without a prompt; a second time it is stale."""
    declare(opened, without(3))
    planned = opened.run("plan", "--out", "p.json")
    assert opened.run("show", "p.json").out == planned.out
    assert opened.run("apply", "p.json").code == 0
    assert "id-3" not in server.emulator.open
    again = opened.run("apply", "p.json")
    assert (again.code, "reviewed release" in again.out) == (3, True)
    assert (
        "It has been applied already, it seems: the state has moved on from serial 2 to 4, and nothing is left"
        in again.err
    )
    assert "plan anew" not in again.err


def test_a_stale_plan_sends_nothing_and_says_what_differs(opened: Workplace, server: SandboxServer) -> None:
    """An edit after the review ends in exit 3, with what was reviewed and what would be done now."""
    declare(opened, NINE.replace("id-4, route: R", "id-4, route: Day"))
    opened.run("plan", "--out", "p.json")
    declare(opened, NINE.replace("id-4, route: R", "id-4, route: Night"))
    calls = len(server.calls)
    ran = opened.run("apply", "p.json")
    assert (ran.code, len(server.calls)) == (3, calls)
    assert "route      R → Day" in ran.out
    assert "route      R → Night" in ran.out
    assert "It is not what would be done now: plan anew" in ran.err
    assert "reconciler plan --out=p.json" in ran.err


def test_what_sends_nothing_leaves_a_plan_fresh(opened: Workplace) -> None:
    """Comments, and a serial that moved on for other reasons, do not make a plan stale."""
    declare(opened, without(3))
    opened.run("plan", "--out", "p.json")
    declare(opened, "# a comment\n" + without(3))
    text = opened.state_path.read_text(encoding="utf-8")
    opened.state_path.write_text(text.replace('"serial": 2', '"serial": 7'), encoding="utf-8")
    assert opened.run("apply", "p.json").code == 0


def _lineage(place: Workplace) -> None:
    assert place.run("state", "new-lineage").code == 0


def _account(place: Workplace) -> None:
    place.env["RECONCILER_ACCOUNT"] = "other"


def _target(place: Workplace) -> None:
    place.env["RECONCILER_BASE_URL"] = "http://127.0.0.1:9"


@pytest.mark.parametrize("change", [_lineage, _account, _target])
def test_a_plan_of_another_place_is_refused(opened: Workplace, change: Callable[[Workplace], None]) -> None:
    """A plan made for another state, account or API is an error, exit 1."""
    declare(opened, without(3))
    opened.run("plan", "--out", "p.json")
    change(opened)
    ran = opened.run("apply", "p.json")
    assert ran.code == 1
    assert "this plan was made" in ran.err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("id-3", "id-4", "changed after it was saved"),
        ('"releases": null', '"releases": 9', "changed after it was saved"),
        ('"reconciler_plan": 1', '"reconciler_plan": 2', "version 2"),
        ("{\n", "[\n", "not whole JSON"),
    ],
)
def test_an_edited_or_newer_plan_is_refused(opened: Workplace, old: str, new: str, said: str) -> None:
    """A plan file that was edited, or that a newer version wrote, is an error that says so."""
    declare(opened, without(3))
    opened.run("plan", "--out", "p.json")
    path = opened.folder / "p.json"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    for command in ("show", "apply"):
        ran = opened.run(command, "p.json")
        assert (ran.code, said in ran.err) == (1, True), ran


def test_a_plan_cut_anywhere_is_refused(opened: Workplace) -> None:
    """A plan file that ends early is an error wherever it was cut."""
    declare(opened, without(3))
    opened.run("plan", "--out", "p.json")
    path = opened.folder / "p.json"
    data = path.read_bytes()
    for length in range(0, len(data) - 1, 37):
        path.write_bytes(data[:length])
        assert opened.run("show", "p.json").code == 1


def test_a_plan_holds_no_body_and_no_sensitive_value(place: Workplace) -> None:
    """A plan file names addresses, actions and digests; what is sensitive stays out, and it is the user's alone."""
    item = '{type: clid, value: "+447700900123"}'
    declare(place, f"  - {{externalid: a, route: R, linkeddata: [{item}]}}\n")
    place.run("plan", "--out", "p.json")
    path = place.folder / "p.json"
    assert "7700900123" not in path.read_text(encoding="utf-8")
    assert path.stat().st_mode & 0o777 == 0o600


# -- guards ------------------------------------------------------------------------------------------------------------


def test_too_many_releases_need_their_number(opened: Workplace, server: SandboxServer) -> None:
    """Six of nine are over the percentage; the override permits exactly so many, and a saved plan carries it."""
    declare(opened, without(0, 1, 2, 3, 4, 5))
    refused(opened.run(*APPLY), "6 of 9 open interactions to release (67 %)", "--allow-releases 6")
    assert opened.run("plan", "--detailed-exitcode").code == 5
    refused(opened.run(*APPLY, "--allow-releases", "5"), "--allow-releases 6")
    assert len(server.emulator.open) == 9
    opened.run("plan", "--out", "p.json", "--allow-releases", "6")
    assert opened.run("apply", "p.json").code == 0
    assert set(server.emulator.open) == {"id-6", "id-7", "id-8"}


def test_five_releases_are_allowed_unless_a_number_binds(opened: Workplace) -> None:
    """Five pass whatever the percentage; max_releases binds all the same."""
    declare(opened, without(0, 1, 2, 3, 4))
    refused(opened.run(*APPLY, env={"RECONCILER_MAX_RELEASES": "4"}), "5 to release, more than max_releases 4")
    assert opened.run(*APPLY).code == 0


def test_too_many_dispatches_need_their_number(place: Workplace) -> None:
    """max_dispatches refuses with the number that would allow it."""
    declare(place, NINE)
    place.env["RECONCILER_MAX_DISPATCHES"] = "8"
    refused(place.run(*APPLY), "9 to dispatch, more than max_dispatches 8", "--allow-dispatches 9")
    assert place.run(*APPLY, "--allow-dispatches", "9").code == 0


def test_nothing_declared_needs_a_word(opened: Workplace, server: SandboxServer) -> None:
    """An empty declaration while interactions are open needs --allow-empty, and the number as well."""
    declare(opened, "")
    refused(opened.run(*APPLY), "nothing at all is declared", "--allow-empty", "--allow-releases 9")
    assert opened.run(*APPLY, "--allow-empty", "--allow-releases", "9").code == 0
    assert not server.emulator.open


def test_a_missing_path_is_refused(opened: Workplace, server: SandboxServer) -> None:
    """A path of declarations that isn't there is a guard's matter: the plan is shown, nothing is sent."""
    refused(opened.run(*APPLY, "--interactions", "typo", "--allow-empty", "--allow-releases", "9"), "typo")
    assert len(server.emulator.open) == 9


def test_prevent_release_stands_after_the_declaration_is_gone(place: Workplace, server: SandboxServer) -> None:
    """What the state holds counts once the declaration is gone; a present declaration's own word lifts it."""
    guarded = "  - {externalid: a, route: R, lifecycle: {prevent_release: true}}\n"
    declare(place, guarded + NINE)
    assert place.run(*APPLY).code == 0
    declare(place, NINE)
    refused(place.run(*APPLY), "a would be released, but its lifecycle says prevent_release")
    declare(place, guarded.replace("true", "false") + NINE)
    assert place.run(*APPLY).code == 0
    declare(place, NINE)
    assert place.run(*APPLY).code == 0
    assert "a" not in server.emulator.open


def test_refusals_are_in_the_json(opened: Workplace) -> None:
    """`plan --format json` holds each refusal with its code and override."""
    declare(opened, "")
    plan = json.loads(opened.run("plan", "--format", "json").out)
    assert {refusal["code"]: refusal["override"] for refusal in plan["refusals"]} == {
        "nothing-declared": "--allow-empty",
        "max-release-percent": "--allow-releases 9",
    }
