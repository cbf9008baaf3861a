"""Sensitive values and credentials are nowhere but in the declarations and on the wire; hostile text stays text."""

from __future__ import annotations

import base64
import html
import json
import os
import shlex
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.api import SandboxServer
from tests.command import Ran, Workplace
from tests.conftest import connection

PHONE = "+44 7700 900123"
MESSAGE = 'Dear "Zoë" & <Ann>,  50% \\ of/f: Qk7PlantedMessage\n\tsee +you'
NAME = "once-only Qk7PlantedName/é"
CLIENT_ID = "Qk7PlantedId+/&=%"
SECRET = 'Qk7PlantedSecret "&+/%\\<>='
TOKEN = "Qk7PlantedToken+/=="
CORES = ("Qk7Planted", "7700900123", "7700 900123", "700900123")
"""What is left of each planted value in whatever encoding it is written."""

DECLARED = f"""\
provider: P
defaults: {{route: R}}
interactions:
  - externalid: A
    linkeddata:
      - {{type: clid, value: "{PHONE}"}}
      - {{type: interactionproperty, key: Text, value: {json.dumps(MESSAGE)}}}
  - externalid: B
    linkeddata: [{{type: url, label: open, value: "https://crm.example.com/b"}}]
  - externalid: C
    linkeddata: [{{type: name, value: {json.dumps(NAME)}}}]
  - once: O
    linkeddata: [{{type: clid, value: "{PHONE}"}}]
"""
ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "json": lambda value: json.dumps(value, ensure_ascii=False),
    "ascii json": json.dumps,
    "json in json": lambda value: json.dumps(json.dumps(value)),
    "slashes escaped": lambda value: json.dumps(value).replace("/", "\\/"),
    "url": quote,
    "whole url": lambda value: quote(value, safe=""),
    "form": quote_plus,
    "small percent": lambda value: quote(value, safe="").lower(),
    "html": html.escape,
    "repr": repr,
    "capitals": str.upper,
    "folded": lambda value: " ".join(value.split()),
}


pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture
def planted(place: Workplace) -> Workplace:
    """Return a folder whose declarations and environment hold the planted values."""
    place.env |= {
        "RECONCILER_CLIENT_ID": CLIENT_ID,
        "RECONCILER_CLIENT_SECRET": SECRET,
        "RECONCILER_SENSITIVE": "clid,interactionproperty,name",
    }
    place.declare(DECLARED)
    return place


def found(text: str) -> list[str]:
    """Return the planted values that the text holds, in any letter case."""
    lowered = text.lower()
    encoded = base64.b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode()
    return [core for core in (*CORES, encoded, base64.b64encode(SECRET.encode()).decode()) if core.lower() in lowered]


def check_files(place: Workplace) -> None:
    """Check every byte under the folder but the declarations."""
    for path in place.folder.rglob("*"):
        if path.is_file() and "interactions" not in path.relative_to(place.folder).parts:
            assert not found(path.read_bytes().decode("utf-8", "replace")), path
            assert not found(str(path))


def check(place: Workplace, *runs: Ran) -> None:
    """Check what runs printed, and every byte under the folder."""
    for ran in runs:
        assert not found(ran.out), ran.out
        assert not found(ran.err), ran.err
        assert "Traceback" not in ran.err
    check_files(place)


def every_look(place: Workplace) -> list[Ran]:
    """Run everything that only looks."""
    return [
        place.run("validate", "-v"),
        place.run("validate", "--format", "json"),
        place.run("plan", "-v", "--out", "saved.plan"),
        place.run("plan", "--format", "json", "--log-format", "json"),
        place.run("plan", "--show-sensitive"),
        place.run("show", "saved.plan"),
        place.run("show", "saved.plan", "--format", "json"),
        place.run("state", "list"),
        place.run("state", "list", "--format", "json"),
        *(place.run("state", "show", name) for name in ("A", "B", "C", "once:O")),
        *(place.run("state", "show", name, "--format", "json") for name in ("A", "once:O")),
    ]


def test_a_run_without_faults(planted: Workplace, server: SandboxServer) -> None:
    """Before, during and after applies, replaces and releases, no planted value is in any output or file of ours."""
    server.on_call = lambda _call: check_files(planted)
    server.on_processed = lambda _call: check_files(planted)
    check(planted, *every_look(planted))
    check(planted, planted.run("apply", "saved.plan", "-v", "--log-format", "json"))
    check(planted, *every_look(planted))
    planted.declare(DECLARED.replace("crm.example.com", "new.example.com").replace("see +you", "see you"))
    check(planted, *every_look(planted), planted.run("apply", "--auto-approve", "-v"), *every_look(planted))
    planted.declare("interactions: [{externalid: B, route: R}]")
    check(planted, planted.run("apply", "--auto-approve", "--allow-releases", "9", "-v"), *every_look(planted))
    assert server.errors == []
    wire = b"".join(call.body for call in server.calls).decode()
    assert json.dumps(MESSAGE, ensure_ascii=False) in wire
    assert PHONE in wire


def test_every_state_command(planted: Workplace) -> None:
    """Looking at the state and mending it shows and writes nothing planted; nor do lock, backup and journal."""
    assert planted.run("apply", "--auto-approve").code == 0
    runs = [
        planted.run("state", "mv", "once:O", "once:Q"),
        planted.run("state", "rm", "C", "-v"),
        planted.run("state", "new-lineage"),
        planted.run("state", "resolve", "A", "--as", "applied"),
        planted.run("state", "show", "nothing"),
        *every_look(planted),
    ]
    check(planted, *runs)
    assert {path.suffix for path in planted.folder.iterdir()} >= {".lock", ".backup"}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_api_that_echoes_the_request(planted: Workplace, server: SandboxServer, encoding: str) -> None:
    """A message that repeats what was sent, in whatever encoding, is shown and stored without it."""
    said = f"bad value {' | '.join(map(ENCODINGS[encoding], (PHONE, MESSAGE, NAME)))} given"
    fault = f"message={_quoted(said)} times=always"
    empty = planted.state_path.read_bytes()
    for status in (400, 503, 403):
        planted.state_path.write_bytes(empty)
        server.faults.clear()
        server.faults.add(f"status={status} retry-after=999 {fault}")
        ran = planted.run("apply", "--auto-approve", "-v")
        assert f"answered {status}: bad value " in ran.out
        assert ran.out.count("(sensitive)") >= 3
        check(planted, ran, planted.run("state", "list"))
    check(planted, *every_look(planted))


def _quoted(text: str) -> str:
    return shlex.quote(text.replace("\n", " "))


def test_an_api_that_echoes_everything(planted: Workplace, server: SandboxServer) -> None:
    """A message of thirty thousand characters of echoes leaves nothing behind, not even at the cut."""
    for lead in (0, 13, 40):
        echo = "x" * lead + " ".join([PHONE, " ".join(MESSAGE.split())] * 300)
        server.faults.clear()
        server.faults.add(f"status=403 message={_quoted(echo)}")
        ran = planted.run("apply", "--auto-approve")
        assert ran.code == 1
        check(planted, ran)


@pytest.mark.parametrize("phone", ["447700900123", "07700900123", "00447700900123", "+447700900123"])
def test_an_api_that_writes_numbers_its_own_way(planted: Workplace, server: SandboxServer, phone: str) -> None:
    """A phone number that comes back without its blanks, plus or country code is taken out as well."""
    server.faults.add(f"status=400 message='no such number {phone}' times=always")
    check(planted, planted.run("apply", "--auto-approve"), *every_look(planted))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("path", ["token", "invoke"])
def test_an_api_that_echoes_credentials(planted: Workplace, server: SandboxServer, path: str, encoding: str) -> None:
    """Credentials in a message of the token endpoint or the API are taken out, in whatever encoding."""
    echoes = " | ".join(map(ENCODINGS[encoding], (CLIENT_ID, SECRET)))
    server.faults.add(f"status=403 path={path} message={_quoted(f'unknown: {echoes}')}")
    ran = planted.run("apply", "--auto-approve", "-v")
    assert (ran.code, "answered 403: unknown: " in ran.out) == (1, True)
    check(planted, ran)


def test_an_api_that_echoes_the_token(planted: Workplace, server: SandboxServer) -> None:
    """An access token, given or fetched, is taken out of what the API says of it."""
    del planted.env["RECONCILER_CLIENT_ID"], planted.env["RECONCILER_CLIENT_SECRET"]
    planted.env["RECONCILER_ACCESS_TOKEN"] = TOKEN
    server.faults.add(f"status=401 message='Bearer {TOKEN} has expired'")
    ran = planted.run("apply", "--auto-approve", "-v")
    assert "Bearer (sensitive) has expired" in ran.out
    check(planted, ran)


@pytest.mark.parametrize(
    "fault",
    [
        "status=500 times=always",
        "drop=after times=always",
        "fail externalid=A; fail route=R",
        "garbage times=always",
        "status=401 times=always",
        "status=400 path=token",
        "drop=before path=token times=always",
        "redirect=http://127.0.0.1:9/ times=always",
    ],
)
def test_failures_of_every_kind(planted: Workplace, server: SandboxServer, fault: str) -> None:
    """Failed, pending and unsent requests are told of without what they hold."""
    quick = {"RECONCILER_TIMEOUT": "5"}
    server.faults.add(fault.replace("times=always", "times=9"))
    runs = [planted.run("apply", "--auto-approve", "-v", env=quick), *every_look(planted)]
    planted.declare(DECLARED.replace("route: R", "route: S"))
    check(planted, *runs, *every_look(planted), planted.run("apply", "--auto-approve", "--log-format", "json"))


BROKEN = {
    "an unquoted phone number": ('"+44 7700 900123"', "+447700900123"),
    "a national number": ('"+44 7700 900123"', "07700900123"),
    "an open quote": ('"+44 7700 900123"', '"+44 7700 900123'),
    "a wrong escape": ('"+44 7700 900123"', r'"\q+44 7700 900123"'),
    "a tag": ('"+44 7700 900123"', '!x "+44 7700 900123"'),
    "an alias": ('"+44 7700 900123"', "*Qk7PlantedAlias"),
    "a list": ('"+44 7700 900123"', '["+44 7700 900123"]'),
    "a map": ('"+44 7700 900123"', '{"+44 7700 900123": 7700900123}'),
    "a key of its own": ("type: clid, value:", "type: clid, Qk7PlantedKey: 1, value:"),
    "a control character": ('"+44 7700 900123"', '"+44 7700 900123\x07"'),
    "a duplicate key": ("type: clid, value:", 'type: clid, value: "7700900123", value:'),
    "the type": ("type: clid, value:", "type: '7700900123', value:"),
}
"""Ways to spoil the line with the phone number; the key and the alias of one's own are no values."""


@pytest.mark.parametrize("how", BROKEN)
def test_mistakes_on_the_line_itself(planted: Workplace, how: str) -> None:
    """A complaint about a sensitive value, or about the syntax of its line, doesn't repeat the value."""
    planted.declare(DECLARED.replace(*BROKEN[how], 1))
    runs = [
        planted.run("validate"),
        planted.run("validate", "--format", "json"),
        planted.run("plan", "-v"),
        planted.run("apply", "--auto-approve", "--log-format", "json"),
    ]
    assert {ran.code for ran in runs} == {1}
    for ran in runs:
        for core in CORES[1:]:
            assert core not in ran.out + ran.err
    check_files(planted)


def test_a_run_that_is_killed(planted: Workplace, server: SandboxServer) -> None:
    """What a killed process leaves behind, journal included, holds nothing planted."""
    small = {"RECONCILER_REQUEST_BYTES": "1000", "RECONCILER_PARALLELISM": "1"}
    planted.declare(DECLARED + "".join(f"  - {{externalid: more-{n}}}\n" for n in range(30)))
    server.faults.add("hang nth=3")
    with planted.spawn("apply", "--auto-approve", "-v", env=small) as process:
        server.wait_until(lambda: server.hanging == 1, timeout=30)
        os.kill(process.pid, signal.SIGKILL)
        out, err = process.communicate(timeout=30)
    assert (planted.folder / "reconciler.state.json.journal").exists()
    check(planted, Ran(process.returncode, out, err), *every_look(planted))
    server.release()
    check(planted, planted.run("apply", "--auto-approve", "-v"))


def test_the_sandbox_of_a_run(planted: Workplace) -> None:
    """The sandbox's memory, log and state hold nothing planted, and what its faults echo is taken out."""
    faults = {"RECONCILER_SANDBOX_FAULTS": f"status=400 message={_quoted(PHONE)} externalid=A times=always"}
    runs = [planted.run("apply", "--auto-approve", "--sandbox", "-v", env=faults), planted.run("plan", "--sandbox")]
    assert runs[0].code == 4
    check(planted, *runs)
    assert {path.name for path in (planted.folder / ".reconciler").iterdir()} >= {"sandbox.memory"}


# -- hostile text ------------------------------------------------------------------------------------------------------

HOSTILE = "\x1b[31mred\x1b]8;;https://evil.test\x07link\x1b]8;;\x07\u202egnp.exe\u2066\x9b2J\x7f\u200b\r\nnext"
ESCAPED = json.dumps(HOSTILE)


def safe(ran: Ran) -> bool:
    """Whether a terminal would show all of it as text."""
    return all(character.isprintable() or character == "\n" for character in ran.out + ran.err)


@pytest.mark.parametrize(
    "declared",
    [
        f"interactions: [{{externalid: A, route: {ESCAPED}}}]",
        f"provider: {ESCAPED}\ninteractions: [{{externalid: A, route: R}}]",
        f"interactions: [{{externalid: A, route: R, linkeddata: [{{type: url, label: {ESCAPED}, value: {ESCAPED}}}]}}]",
        f"interactions: [{{externalid: A, route: R, routingdata: {{skills: [{{name: {ESCAPED}}}]}}}}]",
        f"interactions: [{{externalid: {ESCAPED}, route: R}}]",
        f"interactions: [{{once: {ESCAPED}, route: R}}]",
        f"interactions: [{{externalid: A, route: R, {ESCAPED}: 1}}]",
        f"interactions: [{{externalid: A, route: R, linkeddata: [{{type: {ESCAPED}, value: x}}]}}]",
        f"{{{ESCAPED}: {ESCAPED}}}",
        "interactions: [{externalid: \"\u202eA\", route: '\u2066R'}]",
        HOSTILE,
    ],
)
def test_declared_text_can_not_act_on_a_terminal(place: Workplace, declared: str) -> None:
    """Whatever is declared, and however the file is called, no command prints it raw."""
    place.declare(declared, "\x1b[2J\u202e.yaml")
    runs = [
        place.run("validate"),
        place.run("validate", "--format", "json"),
        place.run("plan", "-v"),
        place.run("plan", "--out", "saved.plan"),
        place.run("plan", "--format", "json"),
        place.run("show", "saved.plan"),
        place.run("apply", "--auto-approve", "-v"),
        place.run("state", "list"),
        place.run("state", "list", "--format", "json"),
        place.run("state", "show", "A"),
        place.run("state", "show", HOSTILE),
        place.run("state", "rm", HOSTILE, "--log-format", "json"),
        place.run("plan", HOSTILE),
        place.run("show", HOSTILE),
        place.run("-C", HOSTILE, "plan"),
        place.run("--env", HOSTILE, "plan"),
    ]
    for ran in runs:
        assert safe(ran), ran


def test_what_the_api_says_can_not_act_on_a_terminal(place: Workplace, server: SandboxServer) -> None:
    """A message of the API is shown as text: in the report, the waiting, the state and the plan."""
    place.declare("interactions: [{externalid: A, route: R}]")
    hostile = _quoted(HOSTILE)
    for status in (503, 400, 403):
        server.faults.add(f"status={status} message={hostile}")
        for ran in (place.run("apply", "--auto-approve"), place.run("state", "list"), place.run("plan")):
            assert safe(ran), ran


def test_hostile_file_names_in_the_way(tmp_path: Path, server: SandboxServer) -> None:
    """A folder with a hostile name is spoken of in escapes."""
    folder = tmp_path / "a\x1b[31m\u202eb"
    folder.mkdir()
    place = Workplace(folder, connection(server))
    runs = [
        place.run("-C", str(folder), "init"),
        place.run("-C", str(folder), "plan"),
        place.run("-C", str(folder), "init"),
    ]
    for ran in runs:
        assert safe(ran), ran


# -- what becomes sensitive later --------------------------------------------------------------------------------------

LATER = """\
interactions:
  - {externalid: kept, route: R, linkeddata: [{type: url, label: x, value: "https://Qk7Planted/1"}]}
  - {externalid: gone, route: R, linkeddata: [{type: url, label: x, value: "https://Qk7Planted/2"}]}
  - {externalid: same, route: R, linkeddata: [{type: url, label: x, value: "https://Qk7Planted/3"}]}
  - {externalid: edited, route: R, linkeddata: [{type: url, label: x, value: "https://Qk7Planted/4"}]}
"""
HELD = """\
  - {externalid: held, route: R, linkeddata: [{type: url, label: x, value: "https://Qk7Planted/5"}]}
  - {once: held, route: R, linkeddata: [{type: url, label: x, value: "https://Qk7Planted/6"}]}
"""


@pytest.mark.parametrize(
    "command",
    [
        ["apply", "--auto-approve"],
        ["state", "resolve", "--as", "applied", "held"],
        ["state", "mv", "once:told", "once:said"],
        ["state", "rm", "same"],
        ["state", "new-lineage"],
    ],
)
def test_whatever_writes_the_state_conceals_what_became_sensitive(
    place: Workplace, server: SandboxServer, command: list[str]
) -> None:
    """Open or pending, held, kept, or released in vain: no value stays in the state, or beside it."""
    told = '  - {once: told, route: R, linkeddata: [{type: url, label: x, value: "https://Qk7Planted/7"}]}\n'
    place.declare(LATER + told)
    assert place.run("apply", "--auto-approve").code == 0
    place.declare(LATER + told + HELD)
    server.faults.add("drop=before times=always")
    assert place.run("apply", "--auto-approve").code == 7
    server.faults.clear()
    server.faults.add("fail action=release times=always", "fail externalid=edited times=always")
    kept = LATER.replace("kept, route: R", "kept, lifecycle: {on_change: keep}, route: S")
    edited = kept.replace("edited, route: R", "edited, route: S").splitlines(keepends=True)
    place.declare("".join(line for line in edited if "gone" not in line) + told + HELD)
    assert len(found(place.state_path.read_text(encoding="utf-8"))) == 1
    now = {"RECONCILER_SENSITIVE": "url", "RECONCILER_ON_UNKNOWN": "hold"}
    for left_over in (".new", ".backup.new"):
        shutil.copy(place.state_path, f"{place.state_path}{left_over}")
    assert place.run(*command, env=now).code in {0, 7}
    files = list(place.folder.glob("reconciler.state.json*"))
    assert {path.suffix for path in files} == {".json", ".lock", ".backup"}
    assert not any(found(path.read_text(encoding="utf-8")) for path in files)


def test_an_apply_that_sends_nothing_conceals_too(place: Workplace, server: SandboxServer) -> None:
    """Where all is held, and there is nothing else to do, the state is written all the same, once."""
    place.declare("interactions:\n" + HELD)
    server.faults.add("drop=before times=always")
    assert place.run("apply", "--auto-approve").code == 7
    now = {"RECONCILER_SENSITIVE": "url", "RECONCILER_ON_UNKNOWN": "hold"}
    calls = len(server.calls)
    assert place.run("apply", "--auto-approve", env=now).code == 7
    assert not found(place.state_path.read_text(encoding="utf-8"))
    serial = place.state["serial"]
    assert place.run("apply", "--auto-approve", env=now).code == 7
    assert (place.state["serial"], len(server.calls)) == (serial, calls)


@pytest.mark.parametrize(
    "writes", [["state", "rm", "open"], ["state", "new-lineage"], ["state", "resolve", "--as=applied", "refused"]]
)
def test_what_the_api_said_is_concealed_wherever_it_is_shown(
    place: Workplace, server: SandboxServer, writes: list[str]
) -> None:
    """The API echoed a value that became sensitive only then: no command shows it, and each that writes removes it."""
    place.declare(
        "interactions:\n  - {externalid: open, route: R}\n"
        "  - {externalid: refused, route: R, linkeddata: [{type: name, value: Qk7PlantedName}]}\n"
    )
    server.faults.add("status=400 message='no Qk7PlantedName' times=always externalid=refused")
    assert place.run("apply", "--auto-approve").code == 4
    assert found(place.state_path.read_text(encoding="utf-8"))
    now = {"RECONCILER_SENSITIVE": "name"}
    formats = [["plan", "--format", each] for each in ("text", "json", "markdown")]
    for command in (*formats, ["plan", "--out", "p.json"], ["state", "list"], ["state", "show", "refused"]):
        ran = place.run(*command, env=now)
        assert (ran.code, found(ran.out + ran.err)) == (0, []), command
    assert not found((place.folder / "p.json").read_text(encoding="utf-8"))
    assert place.run(*writes, env=now).code == 0
    files = list(place.folder.glob("reconciler.state.json*"))
    assert not any(found(path.read_text(encoding="utf-8")) for path in files)
