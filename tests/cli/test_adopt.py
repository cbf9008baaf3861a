"""What is open already is adopted, and what many hold is looked at and resolved at once: nothing is sent."""

from __future__ import annotations

import json

import pytest

from tests.api import SandboxServer
from tests.command import Ran, Workplace

CRM = """\
provider: P
interactions:
  - externalid: a
    route: Day
    linkeddata: [{type: clid, value: "+44700"}, {type: url, label: CRM, value: "https://crm.test"}]
    routingdata: {skills: [{name: billing, expiryafter: 0}]}
  - {externalid: b, route: Day}
  - {once: sms, provider: null, route: Send}
"""
APPLY = ("apply", "--auto-approve")


pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture
def opened(place: Workplace) -> Workplace:
    """Give a folder where all that is declared is open."""
    place.declare(CRM)
    assert place.run(*APPLY).code == 0
    return place


def says(ran: Ran, code: int, *texts: str) -> None:
    """Check the exit code, and that each text is printed."""
    assert ran.code == code, ran
    assert [text for text in texts if text not in ran.out + ran.err] == []


# -- adopt ------------------------------------------------------------------------------------------------------


def test_a_lost_state_is_made_anew(opened: Workplace, server: SandboxServer) -> None:
    """As docs/state.md says: init, a dry run, adopt as last applied; then a plan finds what has changed since."""
    sent = len(server.calls)
    opened.state_path.unlink()
    says(opened.run("state", "adopt", "--all-declared"), 5, "there is no state", "reconciler init")
    assert opened.run("init").code == 0
    before = opened.state_path.read_bytes()
    says(opened.run("state", "adopt", "--all-declared", "--dry-run"), 0, "A dry run: nothing", "Adopted once:sms")
    assert opened.state_path.read_bytes() == before
    says(opened.run("state", "adopt", "--all-declared"), 0, "Adopted a (interactions/crm.yaml:3): open from now on")
    says(opened.run("plan"), 0, "No changes: 3 interactions open, as declared.")
    says(opened.run("state", "adopt", "--all-declared"), 0, "Nothing to adopt")
    assert (opened.state["serial"], len(server.calls)) == (1, sent)
    opened.declare(CRM.replace("{externalid: b, route: Day}", "{externalid: b, route: Night}"))
    says(opened.run(*APPLY), 0, "1 dispatched, 1 released, 0 failed.")
    opened.declare("interactions: []\n")
    says(opened.run(*APPLY, "--allow-empty"), 0, "2 released")
    assert server.emulator.open == {}


def test_some_are_adopted_by_name_or_by_choice(place: Workplace) -> None:
    """Addresses and selectors add up; without any, and of what isn't declared, nothing is adopted."""
    place.declare(CRM)
    says(place.run("state", "adopt"), 64, "which interactions?")
    says(place.run("state", "adopt", "--exclude", "a"), 64, "which interactions?")
    says(place.run("state", "adopt", "a", "gone"), 1, "gone is not declared")
    says(place.run("state", "adopt", "--target", "c*"), 64, "this selects: 'c*'")
    assert place.state["serial"] == 0
    says(place.run("state", "adopt", "a", "--target", "once:*", "--target", "route:Day", "--exclude", "b"), 0)
    assert set(place.state["interactions"]) == {"a", "once:sms"}
    says(place.run("state", "adopt", "--all-declared", "--exclude", "b"), 0, "Nothing to adopt")


def test_an_adopted_one_shows_as_that(place: Workplace, server: SandboxServer) -> None:
    """It has no requestid, the state belongs to its API from then on, and a later dispatch has one again."""
    place.declare(CRM)
    assert place.run("state", "adopt", "b").code == 0
    assert place.state["target"] == {"base_url": server.base_url, "account": None}
    says(place.run("plan", env={"RECONCILER_BASE_URL": "http://127.0.0.1:9"}), 1, "this state belongs to")
    says(place.run("state", "adopt", "a", env={"RECONCILER_BASE_URL": "http://127.0.0.1:9"}), 1, "this state belongs")
    says(place.run("state", "show", "b"), 0, ", adopted", "requestid  none")
    assert place.run("state", "show", "b", "--format", "json").json["open"]["requestid"] == ""


def test_a_first_dispatch_that_keeps_failing_may_be_open_already(place: Workplace, server: SandboxServer) -> None:
    """From the second failure on the report says so, with the command to adopt it; then nothing is left to do."""
    place.declare("interactions: [{externalid: a b, provider: P, route: R}, {once: sms, route: S}]\n")
    server.faults.add("fail times=always")
    hint = "reconciler state adopt 'a b'"
    assert hint not in place.run(*APPLY).out
    summary = {"GITHUB_STEP_SUMMARY": str(place.folder / "summary.md")}
    again = place.run(*APPLY, env=summary)
    says(again, 4, "It may be open already. If it is, take it as that:", hint)
    assert "adopt once:sms" not in again.out
    assert hint in (place.folder / "summary.md").read_text(encoding="utf-8")
    says(place.run("state", "adopt", "a b"), 0)
    assert [failure["address"] for failure in place.state["failed"].values()] == ["once:sms"]
    says(place.run("plan", "--target", "a b"), 0, "No changes")


# -- looking ------------------------------------------------------------------------------------------------------


def test_show_says_what_is_open(opened: Workplace) -> None:
    """Route, linkeddata and routingdata are shown; a sensitive value is masked, also where it became so later."""
    shown = opened.run("state", "show", "a")
    says(shown, 0, "route      Day", "(sensitive)", "https://crm.test", "billing (optional)")
    assert "+44700" not in shown.out
    fields = opened.run("state", "show", "a", "--format", "json").json["fields"]
    assert (fields["route"], [item.get("value") for item in fields["linkeddata"]]) == (
        "Day",
        [None, "https://crm.test"],
    )
    later = {"RECONCILER_SENSITIVE": "clid,url"}
    for form in ("text", "json"):
        assert "crm.test" not in opened.run("state", "show", "a", "--format", form, env=later).out


def test_list_is_filtered(opened: Workplace, server: SandboxServer) -> None:
    """By selectors and by standing, together; the counts are of what is listed, and the target is named."""
    server.faults.add("fail externalid=c", "drop=before times=always externalid=d")
    more = "  - {externalid: c, provider: Q, route: Day}\n  - {externalid: d, provider: R, route: Day}\n"
    opened.declare(CRM + more)
    assert opened.run(*APPLY).code == 7

    def listed(*options: str) -> list[str]:
        entries = opened.run("state", "list", "--format", "json", *options).json["interactions"]
        return [entry["address"] for entry in entries]

    assert listed() == ["a", "b", "c", "d", "once:sms"]
    assert listed("--target", "provider:P") == ["a", "b"]
    assert listed("--exclude", "once:*", "--failed", "--unknown") == ["c", "d"]
    assert (listed("--failed"), listed("--unknown"), listed("--held")) == (["c"], ["d"], [])
    assert listed("--target", "c", "--unknown") == []
    text = opened.run("state", "list", "--failed").out
    assert text.endswith(f"State serial 4 of {server.base_url}: 0 open, 0 pending, 1 failed.\n")
    says(opened.run("state", "list", "--target", "e"), 64, "this selects: e")
    state = opened.state
    next(iter(state["pending"].values()))["held"] = "look it up"
    opened.state_path.write_text(json.dumps(state), encoding="utf-8")
    assert (listed("--unknown"), listed("--held"), listed("--held", "--failed")) == ([], ["d"], ["c", "d"])


# -- writing ------------------------------------------------------------------------------------------------------


def test_many_are_resolved_at_once(place: Workplace, server: SandboxServer) -> None:
    """Named ones must be unknown; of those that are selected, the unknown ones are resolved, in one serial."""
    place.declare("interactions: [{externalid: z, route: R}]\n")
    assert place.run(*APPLY).code == 0
    place.declare("interactions: [{externalid: z, route: R}, {externalid: a, route: R}, {externalid: b, route: R}]\n")
    server.faults.add("drop=before times=always")
    assert place.run(*APPLY).code == 7
    serial = place.state["serial"]
    as_applied = ("state", "resolve", "--as", "applied")
    says(place.run(*as_applied), 64, "which interactions?")
    says(place.run(*as_applied, "a", "z"), 1, "z: nothing is unknown about it")
    says(place.run(*as_applied, "--target", "z"), 1, "nothing is unknown about what is selected")
    says(place.run(*as_applied, "--target", "*", "--dry-run"), 0, "A dry run", "a: the dispatch", "b: the dispatch")
    assert place.state["serial"] == serial
    says(place.run(*as_applied, "--target", "route:R"), 0, "a: the dispatch", "b: the dispatch")
    assert (place.state["serial"], place.state["pending"]) == (serial + 1, {})
    assert set(place.state["interactions"]) == {"a", "b", "z"}


@pytest.mark.parametrize("command", [("rm", "a"), ("mv", "once:sms", "once:text")])
def test_a_dry_run_writes_nothing(opened: Workplace, command: tuple[str, ...]) -> None:
    """It says the same as the real one, and leaves every file as it is, without a lock."""
    files = {path: path.read_bytes() for path in opened.folder.iterdir() if path.is_file()}
    dry = opened.run("state", *command, "--dry-run")
    says(dry, 0, "A dry run: nothing is written. Without --dry-run:")
    assert {path: path.read_bytes() for path in opened.folder.iterdir() if path.is_file()} == files
    assert opened.run("state", *command).err.split()[:2] == dry.err.partition(":\n")[2].split()[:2]
