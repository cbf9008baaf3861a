"""`reconciler state …` through the front door, and the exit code 7 of what only a person can say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from reconciler.errors import StateError
from reconciler.state.model import State
from reconciler.state.stores.local import LocalWriter
from tests.api import SandboxConfig, SandboxServer
from tests.command import Ran, Workplace
from tests.conftest import connection

APPLY = ("apply", "--auto-approve")
DETAILED = ("plan", "--detailed-exitcode")
TWO = """\
interactions:
  - {externalid: a, provider: P, route: R}
  - {once: sms, route: S}
"""
ONE = "interactions: [{externalid: a, provider: P, route: R}]\n"
SMS = "interactions: [{once: sms, route: S}]\n"
HOLD = {"RECONCILER_ON_UNKNOWN": "hold"}
LOST = "drop=before times=always"


pytestmark = pytest.mark.usefixtures("clock")


def invoked(server: SandboxServer) -> int:
    """Return how many Invocations arrived."""
    return sum(call.kind == "invoke" for call in server.calls)


def unknown(place: Workplace, server: SandboxServer, declarations: str, fault: str = LOST) -> str:
    """Apply while the API gives no answer, and return the requestid whose outcome is unknown now."""
    place.declare(declarations)
    server.faults.add(fault)
    ran = place.run(*APPLY)
    server.faults.clear()
    assert ran.code == 7, ran
    return str(next(requestid for requestid, link in place.state["pending"].items() if not link.get("unsent")))


def interrupted(place: Workplace) -> None:
    """Apply, and die before the outcomes are folded into the state: the journal is left over."""
    save = LocalWriter.save
    saved: list[State] = []

    def saves_once(store: LocalWriter, state: State) -> None:
        if saved:
            raise StateError("the process died here")
        saved.append(state)
        save(store, state)

    with mock.patch.object(LocalWriter, "save", saves_once):
        assert place.run(*APPLY).code == 1
    assert journal(place).exists()


def journal(place: Workplace) -> Path:
    """Return where the journal is."""
    return place.folder / "reconciler.state.json.journal"


def backup(place: Workplace) -> Path:
    """Return where the backup is."""
    return place.folder / "reconciler.state.json.backup"


def says(ran: Ran, code: int, *texts: str) -> None:
    """Check the exit code, and that each text is on stderr."""
    assert ran.code == code, ran
    assert "Traceback" not in ran.err
    for text in texts:
        assert text in ran.err, ran.err


def edited(place: Workplace, **changes: Any) -> None:
    """Change every pending request in the state file by hand."""
    state = place.state
    for link in state["pending"].values():
        link.update(changes)
    place.state_path.write_text(json.dumps(state), encoding="utf-8")


# -- looking -----------------------------------------------------------------------------------------------------------


def test_list_and_show_what_is_open_pending_and_failed(place: Workplace, server: SandboxServer) -> None:
    """List counts all there is, show tells one story, both as text and as JSON, and both write nothing."""
    place.declare(TWO.replace("interactions:\n", "interactions:\n  - {externalid: b, provider: Q, route: R}\n"))
    server.faults.add("fail externalid=a", f"{LOST} externalid=b")
    assert place.run(*APPLY).code == 7
    files = {path: path.read_bytes() for path in place.folder.iterdir() if path.is_file()}
    listed = place.run("state", "list")
    lines = listed.out.splitlines()
    assert (listed.code, listed.err) == (0, "")
    assert [line.split()[:2] for line in lines[:3]] == [["open", "once:sms"], ["unknown", "b"], ["failed", "a"]]
    assert lines[3] == f"State serial 2 of {server.base_url}: 1 open, 1 pending, 1 failed."
    entries = place.run("state", "list", "--format", "json").json["interactions"]
    assert [
        (entry["address"], bool(entry["open"]), len(entry["pending"]), len(entry["failed"])) for entry in entries
    ] == [
        ("a", False, 0, 1),
        ("b", False, 1, 0),
        ("once:sms", True, 0, 0),
    ]
    assert "failed     dispatch, once" in place.run("state", "show", "a").out
    assert "unknown    dispatch" in place.run("state", "show", "b").out
    assert "open       since" in place.run("state", "show", "once:sms").out
    assert place.run("state", "show", "b", "--format", "json").json["pending"][0]["standing"] == "unknown"
    assert {path: path.read_bytes() for path in place.folder.iterdir() if path.is_file()} == files


def test_what_is_not_there_cannot_be_shown(place: Workplace) -> None:
    """An address that nobody knows is an error; so is a state that is missing or is not one."""
    says(place.run("state", "show", "nobody"), 1, "Error: nobody is neither declared nor in the state")
    place.state_path.write_bytes(b'{"version": 1')
    for command in (["list"], ["show", "a"], ["rm", "a"], ["new-lineage"]):
        says(place.run("state", *command), 1, "the state is not whole JSON", "reconciler.state.json.backup")
    place.state_path.unlink()
    for command in (["list"], ["show", "a"], ["rm", "a"], ["new-lineage"]):
        says(place.run("state", *command), 5, "there is no state")
    place.state_path.mkdir()
    says(place.run("state", "list"), 1, "the state can't be read: Is a directory")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nope"],
        ["show"],
        ["show", "a", "b"],
        ["rm"],
        ["mv", "once:a"],
        ["resolve", "a"],
        ["resolve", "a", "--as", "maybe"],
        ["resolve", "a", "--as"],
        ["new-lineage", "a"],
        ["rm", "a", "--lock-timeout", "soon"],
        ["rm", "a", "--lock-timeout", "-1"],
        ["list", "--format", "yaml"],
    ],
)
def test_wrong_usage(place: Workplace, arguments: list[str]) -> None:
    """A command line that makes no sense ends with 64 and a hint, and touches nothing."""
    before = place.state_path.read_bytes()
    says(place.run("state", *arguments), 64, "Error: ", "What there is: reconciler state ", "--help")
    assert place.state_path.read_bytes() == before


# -- rm and mv ---------------------------------------------------------------------------------------------------------


def test_rm_forgets_and_sends_nothing(place: Workplace, server: SandboxServer) -> None:
    """What is forgotten stays open; the state as it was is the backup."""
    place.declare(TWO)
    place.run(*APPLY)
    before, calls = place.state_path.read_bytes(), len(server.calls)
    says(place.run("state", "rm", "a", "once:sms"), 0, "Forgot a. If it is open, it stays open", "Forgot once:sms.")
    assert place.state["interactions"] == {}
    assert place.state["serial"] == 3
    assert backup(place).read_bytes() == before
    assert (len(server.calls), set(server.emulator.open)) == (calls, {"a"})
    assert "2 to dispatch" in place.run("plan").out


def test_rm_refuses_what_it_cannot_forget(place: Workplace, server: SandboxServer) -> None:
    """Unknown addresses and unknown outcomes are errors, and then nothing of the same command is forgotten."""
    place.declare(ONE)
    place.run(*APPLY)
    unknown(place, server, TWO)
    before = place.state_path.read_bytes()
    says(place.run("state", "rm", "a", "nobody"), 1, "nobody is not in the state")
    says(
        place.run("state", "rm", "a", "once:sms"),
        1,
        "once:sms: the outcome of a request is unknown, so it can't be forgotten",
        "reconciler state resolve --as applied once:sms",
    )
    assert place.state_path.read_bytes() == before


def test_rm_of_a_failure_and_of_what_was_not_sent(place: Workplace, server: SandboxServer) -> None:
    """Failures and requests that were certainly not sent can be forgotten."""
    place.declare(TWO)
    server.faults.add("status=403 action=dispatch", "fail externalid=a")
    assert place.run(*APPLY).code == 1
    assert place.run("state", "rm", *{link["address"] for link in place.state["pending"].values()}).code == 0
    assert place.state["pending"] == {}


def test_mv_renames_a_once(place: Workplace, server: SandboxServer) -> None:
    """A once that is renamed in state and declaration is not dispatched again."""
    place.declare(SMS)
    place.run(*APPLY)
    calls = len(server.calls)
    says(
        place.run("state", "mv", "once:sms", "once:text"), 0, "once:sms is once:text now. Rename it in the declaration"
    )
    place.declare(SMS.replace("sms", "text"))
    assert place.run(*DETAILED).code == place.run(*APPLY).code == 0
    assert len(server.calls) == calls


def test_mv_refuses_what_cannot_be_renamed(place: Workplace, server: SandboxServer) -> None:
    """Externalids, taken names, unknown names and pending requests can't be renamed."""
    place.declare(TWO + "  - {once: other, route: S2}\n")
    place.run(*APPLY)
    before = place.state_path.read_bytes()
    says(place.run("state", "mv", "a", "b"), 1, "only a once can be renamed")
    says(place.run("state", "mv", "once:sms", "b"), 1, "only a once can be renamed")
    says(place.run("state", "mv", "once:sms", "once:other"), 1, "once:other is in the state already")
    says(place.run("state", "mv", "once:nobody", "once:new"), 1, "once:nobody is not in the state")
    assert place.state_path.read_bytes() == before
    unknown(place, server, TWO + "  - {once: other, route: S3, lifecycle: {on_change: again}}\n")
    says(place.run("state", "mv", "once:other", "once:new"), 1, "once:other: a request is pending")


# -- resolve, and exit 7 -----------------------------------------------------------------------------------------------


def test_resolve_needs_something_unknown(place: Workplace) -> None:
    """What is known can't be resolved."""
    place.declare(ONE)
    place.run(*APPLY)
    for address in ("a", "nobody"):
        says(place.run("state", "resolve", address, "--as", "applied"), 1, f"{address}: nothing is unknown about it")


def held_once(place: Workplace, server: SandboxServer, fault: str) -> None:
    """Bring about a `once` whose dispatch is unknown and whose declaration has changed since."""
    unknown(place, server, SMS, fault)
    place.declare(SMS.replace("route: S}", "route: T, lifecycle: {on_change: again}}"))
    calls = len(server.calls)
    plan = place.run(*DETAILED)
    assert plan.code == 7
    assert "        reconciler state resolve --as applied once:sms\n" in plan.out
    assert place.run("plan").code == 0
    assert place.run(*APPLY).code == 7
    assert len(server.calls) == calls


def routes(server: SandboxServer) -> list[str]:
    """Return the routes of all that was dispatched without an externalid, each as often as it was."""
    counted = server.emulator.record.once_by_content
    return sorted(json.loads(content)["route"] for (_, content), times in counted.items() for _ in range(times))


def test_a_held_once_that_was_applied(place: Workplace, server: SandboxServer) -> None:
    """A once that changed while its dispatch is unknown waits with exit 7; said to be applied, it is open.

    A person knows more than a resend, so it isn't called settled.
    """
    held_once(place, server, "drop=after times=5")
    said = place.run("state", "resolve", "once:sms", "--as", "applied")
    says(said, 0, "once:sms: the dispatch ", " is taken as applied.")
    assert "settled" not in place.state["interactions"]["once:sms"]
    assert place.run(*DETAILED).code == 2
    assert place.run(*APPLY).code == 0
    assert routes(server) == ["S", "T"]


def test_a_held_once_that_was_not_applied(place: Workplace, server: SandboxServer) -> None:
    """Said not to be applied, it is dispatched as it is declared now, and only so."""
    held_once(place, server, LOST)
    says(place.run("state", "resolve", "once:sms", "--as", "not-applied"), 0, "is taken as not applied.")
    assert place.state["pending"] == {}
    assert place.run(*APPLY).code == 0
    assert routes(server) == ["T"]
    assert place.run(*DETAILED).code == 0


def test_a_once_that_failed_only_when_it_was_sent_again(place: Workplace, server: SandboxServer) -> None:
    """It may have been dispatched by the first copy, so it is held, and says why."""
    place.declare(SMS)
    server.faults.add("drop=before", "fail")
    assert place.run(*APPLY).code == 7
    assert place.run(*DETAILED).code == 7
    assert place.run("state", "list").out.startswith("held     once:sms")
    assert place.run("state", "resolve", "once:sms", "--as", "not-applied").code == 0
    assert place.run(*APPLY).code == 0
    assert routes(server) == ["S"]


@pytest.mark.parametrize(
    ("config", "faults", "answer"),
    [
        (SandboxConfig(), ["drop=before", "fail"], "not-applied"),
        (SandboxConfig(done_duplicate_fails=True), ["drop=after"], "applied"),
    ],
)
def test_a_protected_dispatch_in_doubt_holds_itself_alone(
    tmp_path: Path, config: SandboxConfig, faults: list[str], answer: str
) -> None:
    """It failed only when it was sent again, and must not be released: it waits, all others go on, and exit 7 says so.

    What a person says is enough, and the plan and the report name the command to say it with.
    """
    guarded = "{externalid: a, route: R, lifecycle: {prevent_release: true}}"
    with SandboxServer(config) as server:
        place = Workplace(tmp_path, connection(server))
        assert place.run("init").code == 0
        place.declare(f"interactions: [{guarded}]\n", "example.yaml")
        server.faults.add(*faults)
        assert place.run(*APPLY).code == 4
        place.declare(f"interactions: [{guarded}, {{externalid: b, route: R}}]\n", "example.yaml")
        ran = place.run(*APPLY)
        assert (ran.code, set(server.emulator.open) - {"a"}) == (7, {"b"})
        assert f"reconciler state resolve --as {answer} a\n" in ran.out.partition("Plan: ")[0]
        assert f"reconciler state resolve --as {answer} a\n" in ran.out.partition("Plan: ")[2]
        assert place.run(*DETAILED).code == place.run(*APPLY).code == 7
        assert place.run("state", "resolve", "--as", answer, "a").code == 0
        assert place.run(*APPLY).code == place.run(*DETAILED).code == 0
        assert set(server.emulator.open) == {"a", "b"}
        assert not server.emulator.doubles


@pytest.mark.parametrize("where", ["variable", "file"])
@pytest.mark.parametrize(("fault", "answer"), [("drop=after times=5", "applied"), (LOST, "not-applied")])
def test_on_unknown_hold(place: Workplace, server: SandboxServer, where: str, fault: str, answer: str) -> None:
    """With `on_unknown: hold` nothing of unknown outcome is sent again: exit 7 until a person says what it came to."""
    if where == "file":
        (place.folder / "reconciler.yaml").write_text("on_unknown: hold\n", encoding="utf-8")
    env = HOLD if where == "variable" else {}
    unknown(place, server, ONE, fault)
    place.declare(ONE.replace("}]", "}, {externalid: b, route: R}]"))
    assert place.run(*DETAILED, env=env).code == 2
    assert place.run(*APPLY, env=env).code == 7
    assert set(server.emulator.open) - {"a"} == {"b"}
    calls = len(server.calls)
    assert place.run(*DETAILED, env=env).code == place.run(*APPLY, env=env).code == 7
    assert len(server.calls) == calls
    assert place.run("state", "resolve", "a", "--as", answer, env=env).code == 0
    assert place.run(*APPLY, env=env).code == 0
    assert set(server.emulator.open) == {"a", "b"}
    assert not server.emulator.doubles
    assert place.run(*DETAILED, env=env).code == 0


def test_resend_within(place: Workplace, server: SandboxServer) -> None:
    """What is unknown for longer than `resend_within` is held with exit 7, and resent if that is made longer."""
    unknown(place, server, ONE, "drop=after times=5")
    edited(place, at="2020-01-01T00:00:00+00:00")
    calls = len(server.calls)
    assert place.run(*DETAILED).code == place.run(*APPLY).code == 7
    assert "longer than resend_within" in place.run("plan").out
    assert len(server.calls) == calls
    years = {"RECONCILER_RESEND_WITHIN": "99999d"}
    assert place.run(*DETAILED, env=years).code == 2
    assert place.run(*APPLY, env=years).code == 0
    assert [entry.outcome for entry in server.emulator.record.processed] == ["dispatched", *["ignored"] * 5]


def test_resend_within_can_be_short(place: Workplace, server: SandboxServer) -> None:
    """A short `resend_within` holds at once."""
    unknown(place, server, ONE)
    assert place.run(*DETAILED, env={"RECONCILER_RESEND_WITHIN": "0s"}).code == 7
    assert place.run(*DETAILED, env={"RECONCILER_RESEND_WITHIN": "1h"}).code == 2


@pytest.mark.parametrize(("fault", "answer"), [("drop=after times=5", "applied"), (LOST, "not-applied")])
def test_resolve_in_the_middle_of_a_replace(place: Workplace, server: SandboxServer, fault: str, answer: str) -> None:
    """Whatever is said of the release, the dispatch behind it comes next, and is open once."""
    place.declare(ONE)
    place.run(*APPLY)
    unknown(place, server, ONE.replace("route: R", "route: T"), fault)
    assert place.run("state", "resolve", "a", "--as", answer).code == 0
    says(place.run("state", "resolve", "a", "--as", answer), 1, "nothing is unknown about it")
    assert place.run(*APPLY).code == 0
    assert json.loads(server.emulator.open["a"].content or b"")["route"] == "T"
    assert not server.emulator.doubles
    assert place.run(*DETAILED).code == 0


# -- journals and lineages ---------------------------------------------------------------------------------------------


def test_a_left_over_journal_is_part_of_the_state(place: Workplace, server: SandboxServer) -> None:
    """What looks sees the outcomes that a dead run left in the journal; what writes folds them in."""
    place.declare(TWO)
    interrupted(place)
    before = place.state_path.read_bytes(), journal(place).read_bytes()
    assert "2 open, 0 pending, 0 failed" in place.run("state", "list").out
    assert "open       since" in place.run("state", "show", "a").out
    assert place.run(*DETAILED).code == 0
    assert (place.state_path.read_bytes(), journal(place).read_bytes()) == before
    assert place.run("state", "rm", "once:sms").code == 0
    assert set(place.state["interactions"]) == {"a"}
    assert not journal(place).exists()
    assert invoked(server) == 2


def test_a_journal_ahead_of_its_state_is_refused(place: Workplace, server: SandboxServer) -> None:
    """A state restored without its journal is refused, naming both serials; new-lineage is the way to mean it."""
    place.declare(TWO)
    interrupted(place)
    kept = journal(place).read_bytes()
    place.state_path.write_bytes(backup(place).read_bytes())
    lineage, calls = place.state["lineage"], len(server.calls)
    for arguments in (["plan"], APPLY, ["state", "list"], ["state", "show", "a"], ["state", "rm", "a"]):
        says(
            place.run(*arguments),
            1,
            f"Error: {journal(place)}: the journal continues serial 1, but the state is at serial 0",
            "Put back the state with serial 1.",
            "make it a state of its own; the journal is set aside: reconciler state new-lineage",
        )
    assert len(server.calls) == calls
    aside = place.folder / "reconciler.state.json.journal.aside1"
    said = place.run("state", "new-lineage")
    says(said, 0, f"it is kept as {aside}.", f"The state has lineage {place.state['lineage']} now, at serial 1.")
    assert place.state["lineage"] != lineage
    assert aside.read_bytes() == kept
    assert not journal(place).exists()
    # What the abandoned run had opened has ended meanwhile; what is dispatched now is met as new.
    server.complete("a")
    assert place.run(*APPLY).code == 0
    assert set(server.emulator.open) == {"a"}


def test_a_journal_put_aside_never_replaces_another(place: Workplace) -> None:
    """Each journal that is set aside gets a name of its own, damaged ones too."""
    place.declare(TWO)
    for number in (1, 2):
        journal(place).write_bytes(b"00000000 {}\n" * number)
        says(place.run("plan"), 1, f"{journal(place)}: record 1 is damaged: its checksum does not match")
        assert place.run("state", "new-lineage").code == 0
    asides = sorted(place.folder.glob("*.aside*"))
    assert [path.read_bytes().count(b"\n") for path in asides] == [1, 2]


def test_a_journal_of_another_lineage_is_refused(place: Workplace, server: SandboxServer) -> None:
    """A journal that belongs to another state is never folded in."""
    place.declare(TWO)
    interrupted(place)
    was = place.state["lineage"]
    other = "11111111-1111-4111-8111-111111111111"
    place.state_path.write_text(place.state_path.read_text(encoding="utf-8").replace(was, other), encoding="utf-8")
    calls = len(server.calls)
    says(place.run(*APPLY), 1, f"the journal belongs to lineage {was}, the state to {other}")
    assert len(server.calls) == calls


def test_an_old_state_without_a_new_lineage_meets_its_old_requests(place: Workplace, server: SandboxServer) -> None:
    """Why an old state that is put back on purpose needs a new lineage: else the API ignores its requestids."""
    place.declare(ONE)
    empty = place.state_path.read_bytes()
    place.run(*APPLY)
    server.complete("a")
    place.state_path.write_bytes(empty)
    assert place.run(*APPLY).code == 0
    assert set(server.emulator.open) == set()
    place.state_path.write_bytes(empty)
    assert place.run("state", "new-lineage").code == 0
    assert place.run(*APPLY).code == 0
    assert set(server.emulator.open) == {"a"}


@pytest.mark.parametrize("serial", [2**53 - 2, 2**53 - 1])
def test_an_apply_that_would_run_out_of_serials_sends_nothing(
    place: Workplace, server: SandboxServer, serial: int
) -> None:
    """Where none is left for the outcomes, nothing is sent or changed; the hint leads out of it."""
    place.declare(ONE)

    def count_from(serial: int) -> bytes:
        data = place.state_path.read_bytes()
        place.state_path.write_bytes(data.replace(b'"serial": %d' % place.state["serial"], b'"serial": %d' % serial))
        return place.state_path.read_bytes()

    before = count_from(serial)
    says(
        place.run("apply", "--auto-approve"), 1, "the state has come to its last serial", "reconciler state new-lineage"
    )
    assert (place.state_path.read_bytes(), server.calls) == (before, [])
    assert not place.state_path.with_name("reconciler.state.json.new").exists()
    count_from(0)
    for command in (["state", "new-lineage"], ["apply", "--auto-approve"]):
        assert place.run(*command).code == 0
    assert set(server.emulator.open) == {"a"}


@pytest.mark.parametrize(
    "command",
    [["rm", "a"], ["mv", "once:a", "once:b"], ["resolve", "a", "--as=applied"], ["adopt", "a"], ["new-lineage"]],
)
def test_a_missing_folder_is_named(place: Workplace, command: list[str]) -> None:
    """Where the folder of the state is missing, that is what is said, and what to do about it."""
    ran = place.run("--state", "nowhere/s.json", "state", *command)
    assert (ran.code, "nowhere: there is no such folder for the state" in ran.err) == (5, True), ran
    assert ran.err.endswith(": reconciler --state nowhere/s.json init\n")
    assert not (place.folder / "nowhere").exists()
