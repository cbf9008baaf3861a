"""Results that a script can read: one JSON document on stdout, whatever happens, as its schema says."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from reconciler.state.stores.local import LocalStore
from tests.api import SandboxServer
from tests.command import Ran, Workplace
from tests.formats import check
from tests.state.stores.three import IDS, THREE

SECRET = "+447700900123"
SENSITIVE = f"""
interactions:
  - {{externalid: A, route: R, linkeddata: [{{type: clid, value: "{SECRET}"}}]}}
  - {{externalid: B, route: R}}
"""
ONE = "interactions: [{externalid: A, route: R}]\n"


def applied(place: Workplace, *more: str) -> Ran:
    """Apply for a script, and hold that stdout is one result with the exit code in it."""
    ran = place.run("apply", "--auto-approve", "--format=json", *more)
    check("apply", ran.out)
    assert ran.json["exit_code"] == ran.code
    return ran


def outcomes(result: Any) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Return what became of each change, and of its requests."""
    return {
        change["address"]: (change["outcome"], [(each["kind"], each["outcome"]) for each in change["requests"]])
        for change in result["changes"]
    }


# -- apply, by exit code ---------------------------------------------------------------------------------------------


def test_what_was_done(place: Workplace, server: SandboxServer) -> None:
    """Each change has its outcome and its requestids; the head says what it was about; the counts are the report's."""
    place.declare(THREE)
    result = applied(place).json
    assert outcomes(result) == {address: ("done", [("dispatch", "succeeded")]) for address in IDS}
    opened = {address: entry["requestid"] for address, entry in place.state["interactions"].items()}
    assert {change["address"]: change["requests"][0]["requestid"] for change in result["changes"]} == opened
    assert (result["plan"]["target"]["base_url"], result["plan"]["state"]["serial"]) == (server.base_url, 0)
    assert result["counts"] == {"dispatched": 3, "released": 0, "failed": 0, "unknown": 0, "unsent": 0, "held": 0}
    assert result["state"] == {"serial": 2, "open": 3, "pending": 0, "failed": 0}
    assert applied(place).json["changes"] == []


def test_failed_requests_have_a_reason(place: Workplace, server: SandboxServer) -> None:
    """Exit 4: what the API names as failed is failed, and what stands behind it in its chain was not needed."""
    place.declare(ONE)
    applied(place)
    place.declare(ONE.replace("route: R", "route: S"))
    server.faults.add("fail action=release externalid=A")
    ran = applied(place)
    assert ran.code == 4
    assert outcomes(ran.json) == {"A": ("failed", [("release", "failed"), ("dispatch", "dropped")])}
    assert "does not say why" in ran.json["changes"][0]["requests"][0]["reason"]
    assert ran.json["counts"]["failed"] == ran.json["state"]["failed"] == 1


def test_a_dispatch_that_keeps_failing_names_the_way_on(place: Workplace, server: SandboxServer) -> None:
    """What may be open already comes with the command that takes it as that."""
    place.declare(ONE)
    server.faults.add("fail externalid=A times=2")
    applied(place)
    (change,) = applied(place).json["changes"]
    assert (change["outcome"], change["attempt"]) == ("failed", 2)
    assert change["commands"] == ["reconciler state adopt A"]


@pytest.mark.usefixtures("clock")
def test_unknown_outcomes(place: Workplace, server: SandboxServer) -> None:
    """Exit 7: a request whose answers are lost is unknown, with what was heard of it; the next run settles it."""
    place.declare(ONE)
    server.faults.add("drop=after times=5")
    ran = applied(place)
    assert (ran.code, outcomes(ran.json)) == (7, {"A": ("unknown", [("dispatch", "unknown")])})
    (request,) = ran.json["changes"][0]["requests"]
    assert "failed before an answer came" in request["reason"]
    (again,) = applied(place).json["changes"]
    assert (again["outcome"], again["requests"][0]["requestid"]) == ("done", request["requestid"])
    assert again["requests"][0]["resend"]


@pytest.mark.usefixtures("clock")
def test_what_is_held_names_its_commands(place: Workplace, server: SandboxServer) -> None:
    """Exit 7: what only a person can say is held, with the commands to say it."""
    place.declare("interactions: [{once: sms, route: R}]\n")
    server.faults.add("drop=after times=5")
    applied(place)
    place.declare("interactions: [{once: sms, route: S}]\n")
    ran = applied(place)
    (change,) = ran.json["changes"]
    assert (ran.code, change["outcome"], ran.json["counts"]["held"]) == (7, "held", 1)
    assert change["commands"][0] == "reconciler state resolve --as applied once:sms"


def test_what_was_not_sent(place: Workplace, server: SandboxServer) -> None:
    """Exit 1: where the API refuses to work with us, nothing is sent, and the problem says so."""
    place.declare(THREE)
    server.faults.add("status=403 message='no scope' times=9")
    ran = applied(place)
    assert (ran.code, ran.json["error"]) == (1, None)
    assert {change["outcome"] for change in ran.json["changes"]} == {"unsent"}
    assert "no scope" in ran.json["problems"][0]


def test_a_state_that_can_not_be_written(place: Workplace, server: SandboxServer) -> None:
    """Exit 1 in the middle: there is no report, and still the result says what was sent."""
    place.declare(THREE)
    lock = place.state_path.with_name("reconciler.state.json.lock")
    server.on_processed = lambda _call: lock.unlink(missing_ok=True)
    ran = applied(place)
    assert (ran.code, ran.json["error"]["code"]) == (1, "state")
    assert set(outcomes(ran.json)) == IDS
    assert {change["outcome"] for change in ran.json["changes"]} == {"unknown"}


def test_a_stale_plan(place: Workplace) -> None:
    """Exit 3: what it would be now, untouched, and the command to plan anew."""
    place.declare(ONE)
    assert place.run("plan", "--out=p.json").code == 0
    place.declare(THREE)
    ran = applied(place, "p.json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "stale-plan")
    assert ran.json["error"]["command"] == "reconciler plan --out=p.json"
    assert {change["outcome"] for change in ran.json["changes"]} == {"untouched"}


def test_a_refusal(place: Workplace) -> None:
    """Exit 5: the guards stand in the plan, with the flags that would allow it."""
    place.env["RECONCILER_MAX_DISPATCHES"] = "2"
    place.declare(THREE)
    ran = applied(place)
    assert (ran.code, ran.json["error"]["code"]) == (5, "refused")
    assert [refusal["override"] for refusal in ran.json["plan"]["refusals"]] == ["--allow-dispatches 3"]
    assert ran.json["state"] is None


def test_a_lock(place: Workplace) -> None:
    """Exit 6: somebody else writes the state."""
    place.declare(ONE)
    with LocalStore(place.state_path).hold("apply"):
        ran = applied(place)
    assert (ran.code, ran.json["error"]["code"], ran.json["plan"]) == (6, "locked", None)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--bogus",), "usage"),
        (("--target=nix",), "usage"),
        (("--config=nix.yaml",), "configuration"),
        (("nix.json",), "saved-plan"),
        (("--state=nix/s.json",), "no-state"),
    ],
)
def test_what_can_not_be_carried_out(place: Workplace, arguments: tuple[str, ...], code: str) -> None:
    """Exit 1, 5 or 64 before there is a plan: the error is in the result, with all that stderr says."""
    place.declare(ONE)
    ran = applied(place, *arguments)
    assert ran.json["error"]["code"] == code
    for said in filter(None, (ran.json["error"][key] for key in ("message", "hint", "command"))):
        assert said in ran.err
    assert ran.json["plan"] is None


def test_problems_of_declarations_are_in_the_result(place: Workplace) -> None:
    """Exit 1: each problem with its file, line and column."""
    place.declare("interactions: [{externalid: 5, route: R}]\n")
    ran = applied(place)
    assert (ran.code, ran.json["error"]["code"]) == (1, "declarations")
    assert [(each["line"], each["column"]) for each in ran.json["error"]["problems"]] == [(1, 29)]


def test_an_interruption(place: Workplace, server: SandboxServer) -> None:
    """Exit 130: what was in flight is waited for and done, what was not sent is unsent."""
    place.env["RECONCILER_PARALLELISM"] = "1"
    place.env["RECONCILER_REQUEST_BYTES"] = "1000"
    sizes = "".join(f"  - {{externalid: {name}, route: {name * 600}}}\n" for name in "abc")
    place.declare(f"interactions:\n{sizes}")
    server.on_call = lambda call: os.kill(os.getpid(), signal.SIGINT) if call.requests else None
    ran = applied(place)
    assert ran.code == 130
    assert ran.json["counts"] == {"dispatched": 1, "released": 0, "failed": 0, "unknown": 0, "unsent": 2, "held": 0}


def test_no_sensitive_value(place: Workplace, server: SandboxServer) -> None:
    """What the API echoes of a sensitive value is in no result, whatever is asked for."""
    place.declare(SENSITIVE)
    server.faults.add(f"status=403 message='not {SECRET}' times=9")
    ran = applied(place, "--show-sensitive")
    assert SECRET not in ran.out
    assert "not (sensitive)" in ran.out


# -- the copy --------------------------------------------------------------------------------------------------------


def test_the_copy_is_the_result(place: Workplace) -> None:
    """`--json-into` writes the same beside what people read; an error is written there, too."""
    copy = place.folder / "result.json"
    place.declare(ONE)
    ran = place.run("apply", "--auto-approve", "--json-into=result.json")
    check("apply", copy.read_bytes())
    assert "Applied: 1 dispatched" in ran.out
    place.declare("interactions: {")
    assert place.run("apply", "--auto-approve", "--json-into=result.json").code == 1
    assert json.loads(copy.read_bytes())["error"]["code"] == "declarations"


@pytest.mark.parametrize("command", ["apply --auto-approve", "plan", "validate", "state list"])
def test_a_copy_of_before_never_passes_for_one_of_now(place: Workplace, command: str) -> None:
    """Where a run ends before its outputs are found harmless, only what an earlier run wrote is overwritten."""
    arguments = [*command.split(), "--json-into=result.json", "--config=nix.yaml"]
    copy = place.folder / "result.json"
    place.run(*arguments)
    assert not copy.exists()
    place.declare(ONE)
    assert place.run(*arguments[:-1]).code == 0
    assert "exit_code" not in json.loads(copy.read_bytes()) or command.startswith("apply")
    assert place.run(*arguments).code == 1
    assert json.loads(copy.read_bytes())["error"]["code"] == "configuration"
    copy.write_text("mine", encoding="utf-8")
    place.run(*arguments)
    assert copy.read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", ["reconciler.state.json", "reconciler.state.json.journal", "interactions/crm.yaml"])
@pytest.mark.parametrize("command", ["apply --auto-approve", "validate", "state list", "state rm A"])
def test_the_copy_goes_onto_nothing_that_is_kept(place: Workplace, command: str, name: str) -> None:
    """A state, its journal or a declaration is not overwritten by a result, nor by the error that says so."""
    path = place.declare(ONE)
    before = (place.state_path.read_bytes(), path.read_bytes())
    ran = place.run(*command.split(), f"--json-into={name}")
    assert ran.code == 64
    assert (place.state_path.read_bytes(), path.read_bytes()) == before
    assert not (place.folder / "reconciler.state.json.journal").exists()


def test_a_copy_that_can_not_be_written(place: Workplace) -> None:
    """What was done is done and shown; the exit code is not that of success."""
    place.declare(ONE)
    ran = place.run("apply", "--auto-approve", "--json-into=nix/result.json")
    assert (ran.code, len(place.state["interactions"])) == (1, 1)
    assert "nix/result.json: it can't be written" in ran.err


# -- the other commands ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["plan", "validate", "state list", "state show A", "state rm A", "show p.json"])
def test_every_command_says_in_json_why_it_fails(place: Workplace, command: str) -> None:
    """A script that asked for JSON gets JSON: the error, what to do, and the exit code."""
    ran = place.run(*command.split(), "--format=json", "--config=nix.yaml")
    check("error", ran.out)
    assert (ran.code, ran.json["exit_code"]) == (1, 1)


def test_commands_that_write_the_state_say_what_they_wrote(place: Workplace) -> None:
    """The stories that are others than before, and the state's serial; a dry run says what it would be."""
    place.declare(ONE)
    dry = place.run("state", "adopt", "A", "--format=json", "--dry-run")
    check("state-mended", dry.out)
    assert (dry.json["dry_run"], dry.json["serial"], place.state["serial"]) == (True, 1, 0)
    done = place.run("state", "adopt", "A", "--format=json", "--json-into=r.json")
    check("state-mended", done.out)
    assert (place.folder / "r.json").read_text(encoding="utf-8") == done.out
    assert [(story["address"], bool(story["open"])) for story in done.json["interactions"]] == [("A", True)]
    gone = place.run("state", "rm", "A", "--format=json")
    assert [(story["address"], story["open"]) for story in gone.json["interactions"]] == [("A", None)]
    for command in (["new-lineage"], ["adopt", "--all-declared"]):
        check("state-mended", place.run("state", *command, "--format=json").out)


def test_what_is_listed_and_checked_has_copies(place: Workplace) -> None:
    """`validate`, `state list` and `state show` write beside what people read what they print as JSON."""
    place.declare(ONE)
    assert place.run("apply", "--auto-approve").code == 0
    for command in ("validate", "state list", "state show A"):
        text = place.run(*command.split(), "--json-into=r.json").out
        assert not text.startswith("{")
        assert (place.folder / "r.json").read_text() == place.run(*command.split(), "--format=json").out
