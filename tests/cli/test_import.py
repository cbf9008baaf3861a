"""`import`: API bodies and tables become declarations, whatever stands in them; or nothing is written at all."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from reconciler.cli.drafts import PER_FILE
from reconciler.declarations.loader import load
from reconciler.yamlfile.formatting import formatted
from reconciler.yamlfile.reader import parse
from tests.command import COMMAND, Ran, Workplace
from tests.conftest import ROOT
from tests.formats import SCHEMAS
from tests.known import RULES

MAPPING = """\
file: "{Team}.yaml"
interaction:
  externalid: {column: Case}
  provider: Crm
  route: {column: Route}
  linkeddata:
    - {type: clid, value: {column: Phone}}
    - {type: url, label: Open, value: {pattern: "https://crm.test/{Case}?p={Page}"}}
    - {type: interactionproperty, key: Note, value: {column: Note}}
  routingdata:
    interactiontype: nonlive
    personalqueue: {agent: {column: Agent}, loggedintimeout: {column: Wait, as: integer}}
    skills: [{name: {column: Skill}}]
"""
HEADER = "Case,Team,Route,Phone,Page,Note,Agent,Wait,Skill\n"
SECRETS = ("7700900", "O'Brien", "geheim")


@pytest.fixture(name="here")
def _here(tmp_path: Path) -> Workplace:
    (tmp_path / "map.yaml").write_text(MAPPING, encoding="utf-8")
    return Workplace(tmp_path)


def table(here: Workplace, *rows: str, head: str = HEADER, name: str = "crm.csv") -> str:
    """Write a table, and return its name."""
    (here.folder / name).write_bytes((head + "".join(f"{row}\n" for row in rows)).encode("utf-8", "surrogateescape"))
    return name


def imported(here: Workplace, *rows: str, options: Iterable[str] = (), head: str = HEADER) -> Ran:
    """Import a table of these rows."""
    return here.run("import", "--mapping", "map.yaml", table(here, *rows, head=head), *options)


def declared(here: Workplace) -> dict[str, dict[str, Any]]:
    """Return what the files declare: by address, the request and its provider."""
    found = load(here.folder / "interactions", RULES, base=here.folder).interactions
    return {each.address: {"provider": each.provider, **each.request} for each in found}


def files(here: Workplace) -> dict[str, str]:
    """Return every file of the folder but the tables."""
    kept = (path for path in here.folder.rglob("*") if path.is_file() and path.suffix != ".csv")
    return {path.relative_to(here.folder).as_posix(): path.read_bytes().decode() for path in kept}


def canonical(here: Workplace) -> None:
    """Hold that `fmt --check` finds nothing."""
    for name, text in files(here).items():
        if name.startswith("interactions/"):
            assert formatted(text.encode(), name) == text.encode()


# -- tables --------------------------------------------------------------------------------------------------------


def test_rows_become_declarations(here: Workplace) -> None:
    """Constants, columns, patterns, kinds; an empty cell leaves out its field, or what is nothing without it."""
    ran = imported(here, "C-1,day,Calls,+447700900123,2,hi,ada,20,billing", "C-2,night,Late,,,,,,")
    assert (ran.code, ran.out) == (0, "interactions/day.yaml: 1 new\ninteractions/night.yaml: 1 new\n"), ran
    assert "2 interactions imported: 2 new, 0 changed, 0 unchanged." in ran.err
    assert declared(here) == {
        "C-1": {
            "provider": "Crm",
            "action": "dispatch",
            "externalid": "C-1",
            "route": "Calls",
            "linkeddata": [
                {"type": "clid", "value": "+447700900123"},
                {"type": "url", "label": "Open", "value": "https://crm.test/C-1?p=2"},
                {"type": "interactionproperty", "key": "Note", "value": "hi"},
            ],
            "routingdata": {
                "interactiontype": "nonlive",
                "personalqueue": {"agent": "ada", "loggedintimeout": 20},
                "skills": [{"name": "billing"}],
            },
        },
        "C-2": {
            "provider": "Crm",
            "action": "dispatch",
            "externalid": "C-2",
            "route": "Late",
            "routingdata": {"interactiontype": "nonlive"},
        },
    }
    canonical(here)


HOSTILE = [
    "=cmd()",
    "yes",
    "0123",
    "+447700900123",
    "a\nb",
    'say "x"',
    "a;b",
    "a: b #c",
    "~",
    "1e3",
    " x ",
    "'",
    "- x",
    "\\",
]
HOSTILE += ["é😀\u00a0", "a\r\nb", "{a}", "%", "a\tb", "null", "x" * 500]


def quoted(cell: str) -> str:
    """Return a cell as CSV has it."""
    return '"' + cell.replace('"', '""') + '"'


def test_hostile_cells_stay_what_they_are(here: Workplace) -> None:
    """Whatever YAML, a spreadsheet or a shell makes of a text, it is declared as it stands, in the canonical form."""
    rows = [f"C{number},t,R,{quoted(cell)},,{quoted(cell)},,," for number, cell in enumerate(HOSTILE)]
    assert imported(here, *rows).code == 0
    found = declared(here)
    assert [found[f"C{number}"]["linkeddata"][0]["value"] for number in range(len(HOSTILE))] == HOSTILE
    canonical(here)


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_what_excel_writes_is_read(here: Workplace, separator: str) -> None:
    """A byte order mark and CRLF are no part of the cells; another separator stands in the mapping, or is asked for."""
    (here.folder / "crm.csv").write_bytes(
        b"\xef\xbb\xbf" + f"{HEADER}C-1,t,Calls,+44,,a b,,,\n".replace(",", separator).replace("\n", "\r\n").encode()
    )
    ran = here.run("import", "--mapping", "map.yaml", "crm.csv")
    assert (ran.code, f"separator: {separator!r}" in ran.err) == (1, True)
    (here.folder / "map.yaml").write_text(f"separator: {json.dumps(separator)}\n{MAPPING}", encoding="utf-8")
    assert here.run("import", "--mapping", "map.yaml", "crm.csv").code == 0
    assert declared(here)["C-1"]["linkeddata"][1]["value"] == "a b"


def test_all_problems_come_at_once_by_row_and_column(here: Workplace) -> None:
    """Each with the place of its cell; nothing is written; no cell of a customer is shown."""
    ran = imported(
        here,
        "C-1,t,Calls,+447700900123,,O'Brien,ada,soon,",
        "C-2,../t,Calls,,,,,,",
        "C-3,t,,+447700900123,,,,,",
        ",t,Calls,,,O'Brien,,,",
        "C-5,t,Calls,+447700900123,O'Brien",
        "C-1,t,Calls,,,,,,",
        "C-6,t,Calls,\udce9,,O'Brien\0,,,",
        "C-7,t,Calls,,geheim,\x1b,,,",
        'C-8,t,Calls,"+447700900123',
    )
    assert ran.code == 1
    assert [line.split(" ")[0] + line[line.rindex("[") :] for line in ran.err.splitlines() if "error:" in line] == [
        "crm.csv:2:8:[wrong-type]",
        "crm.csv:3:2:[file-name]",
        "crm.csv:4:3:[missing-route]",
        "crm.csv:5:1:[missing-identity]",
        "crm.csv:6:6:[csv-syntax]",
        "crm.csv:7:1:[duplicate-identity]",
        "crm.csv:8:4:[encoding]",
        "crm.csv:8:6:[control-character]",
        "crm.csv:9:6:[control-character]",
        "crm.csv:10:1:[csv-syntax]",
    ]
    assert "'C-1' is declared twice, first at crm.csv:2:1" in ran.err
    assert [secret for secret in SECRETS if secret in ran.out + ran.err] == []
    assert files(here) == {"map.yaml": MAPPING}


@pytest.mark.parametrize(
    ("wrong", "place", "code"),
    [
        ("interaction: []\n", "map.yaml:1:14", "wrong-value"),
        ("[]\n", "map.yaml:1:1", "not-a-mapping"),
        ("interaction: {column: Case}\n", "map.yaml:1:14", "wrong-value"),
        ("file: x.yaml\n", "map.yaml:1:1", "missing-field"),
        (MAPPING.replace("file:", "flie:"), "map.yaml:1:1", "unknown-field"),
        (MAPPING.replace("{Team}.yaml", "../{Team}.yaml"), "map.yaml:1:7", "file-name"),
        (MAPPING.replace("{Team}.yaml", "{Team}.json"), "map.yaml:1:7", "file-name"),
        (MAPPING.replace("as: integer", "as: number"), "map.yaml:12:81", "wrong-value"),
        (MAPPING.replace("as: integer", "kind: integer"), "map.yaml:12:77", "unknown-field"),
        (MAPPING.replace("type: clid", "type: clod"), "map.yaml:7:14", "unknown-type"),
        (MAPPING.replace("provider: Crm", "provider: 1"), "map.yaml:4:13", "unquoted"),
        (MAPPING.replace("key: Note, ", ""), "map.yaml:9:7", "missing-field"),
        (MAPPING.replace("  route: {column: Route}\n", ""), "map.yaml:3:3", "missing-route"),
        (MAPPING + "  actoin: dispatch\n", "map.yaml:14:3", "unknown-field"),
        (MAPPING + "a: [\n", "map.yaml:15:1", "yaml-syntax"),
        ("", "map.yaml", "not-a-mapping"),
    ],
)
def test_a_wrong_mapping_is_told_of_where_it_is_wrong(here: Workplace, wrong: str, place: str, code: str) -> None:
    """What stands in the mapping is checked as a declaration is, once and before any row."""
    (here.folder / "map.yaml").write_text(wrong, encoding="utf-8")
    ran = imported(here, "C-1,t,Calls,,,,,,", "C-2,t,Calls,,,,,,")
    assert ran.code == 1
    assert [line for line in ran.err.splitlines() if "error:" in line and not line.startswith(f"{place}: ")] == []
    assert ran.err.count("error: ") == 1
    assert f"[{code}]" in ran.err


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (HEADER.replace("Phone", "Phones"), "crm.csv:1:1: error: there is no column 'Phone' [column]"),
        (HEADER.replace("Page", "Phone"), "crm.csv:1:5: error: two columns are named 'Phone' [column]"),
        ("", "crm.csv:1:1: error: there is no column 'Case' [column]"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(here: Workplace, head: str, said: str) -> None:
    """Without a header the first row is data: none of it is shown."""
    ran = imported(here, "C-1,t,Calls,+447700900123,,O'Brien,ada,1,", head=head)
    assert ran.code == 1
    assert said in ran.err
    assert [secret for secret in SECRETS if secret in ran.err] == []


def test_json_lines_are_rows(here: Workplace) -> None:
    """A key is a column; a number is no text, told of with its place, masked; a key that no line has is a mistake."""
    rows = [
        {"Case": "C-1", "Team": "t", "Route": "R", "Phone": "+447700900123", "Wait": 5, "Agent": "ada", "Note": None}
    ]
    for column in ("Page", "Skill"):
        rows[0][column] = "x"
    (here.folder / "crm.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert here.run("import", "--mapping", "map.yaml", "crm.jsonl").code == 0
    assert declared(here)["C-1"]["routingdata"]["personalqueue"] == {"agent": "ada", "loggedintimeout": 5}
    (here.folder / "map.yaml").write_text(
        MAPPING.replace("{column: Case}", "{column: Case, as: text}"), encoding="utf-8"
    )
    (here.folder / "ids.jsonl").write_text(json.dumps(rows[0] | {"Case": 5001, "Page": 2}), encoding="utf-8")
    assert here.run("import", "--mapping", "map.yaml", "ids.jsonl", "--merge").code == 0
    assert declared(here)["5001"]["linkeddata"][1]["value"] == "https://crm.test/5001?p=2"
    wrong = '{"Case": "C-2", "Team": "t", "Route": "R", "Phone": 447700900123}\n\n{"Case": "C-3",}\n[]\n'
    (here.folder / "crm.jsonl").write_text(wrong, encoding="utf-8")
    ran = here.run("import", "--mapping", "map.yaml", "crm.jsonl", "--merge")
    assert ran.code == 1
    assert (
        "crm.jsonl:1:53: error: linkeddata[0].value of 'C-2' must be a string, this is an integer [unquoted]" in ran.err
    )
    assert 'write it in quotes: "44••••••••••"' in ran.err
    assert "crm.jsonl:3:16: error: this is not JSON" in ran.err
    assert "crm.jsonl:4:1: error: a line must be an object" in ran.err
    assert "no line has 'Skill'" in ran.err
    assert "7700900" not in ran.err


def test_stdin_is_read(here: Workplace) -> None:
    """`-` is a table with a mapping, of either kind, else a request body."""
    row = dict.fromkeys(HEADER.strip().split(","), "") | {"Case": "C-2", "Team": "t", "Route": "R"}
    body = {"requests": [{"route": "R", "externalid": "C-3"}]}
    for text, options in (
        (f"{HEADER}C-1,t,R,,,,,,\n", ("--mapping", "map.yaml", "--merge")),
        (json.dumps(row) + "\n", ("--mapping", "map.yaml", "--merge")),
        (json.dumps(body), ()),
    ):
        ran = subprocess.run(
            [*COMMAND, "import", *options, "-"], input=text.encode(), cwd=here.folder, capture_output=True, check=False
        )
        assert ran.returncode == 0, ran.stderr
    assert set(declared(here)) == {"C-1", "C-2", "C-3"}
    assert "interactions/imported.yaml" in files(here)


@pytest.mark.parametrize("arguments", ["import -", "import --mapping map.yaml -", "fmt -"])
def test_a_closed_stdin_is_no_mistake_of_ours(here: Workplace, arguments: str) -> None:
    """It is said that there is nothing to read from."""
    command = f"exec {shlex.join(COMMAND)} {arguments} <&-"
    ran = subprocess.run(["sh", "-c", command], cwd=here.folder, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (64, "Error: stdin is closed\n")


def test_a_file_has_its_limit(here: Workplace) -> None:
    """Past it, rows go on in the next file, in this import and in later ones; names differ by more than case."""
    rows = [f"C{number},{'T' if number % 2 else 't'},R,,,,,," for number in range(PER_FILE + 1)]
    ran = imported(here, *rows)
    assert ran.out == f"interactions/t-2.yaml: 1 new\ninteractions/t.yaml: {PER_FILE} new\n"
    assert imported(here, "D,t,R,,,,,,", options=["--merge"]).out == "interactions/t-2.yaml: 1 new\n"
    assert len(declared(here)) == PER_FILE + 2


# -- request bodies --------------------------------------------------------------------------------------------------


def bodies(here: Workplace, **texts: Any) -> None:
    """Write request bodies into a folder."""
    (here.folder / "calls").mkdir(exist_ok=True)
    for name, text in texts.items():
        data = text if isinstance(text, str) else json.dumps(text)
        (here.folder / "calls" / f"{name}.json").write_text(data, encoding="utf-8")


def test_bodies_become_declarations(here: Workplace) -> None:
    """The provider is the body's; without an externalid it is a once of a stable name; releases are told of."""
    text = "\0 é\u2028\u0085\ufeff"
    value = {"type": "clid", "value": text}
    bodies(
        here,
        one={"provider": "P", "requests": [{"action": "dispatch", "requestid": "7", "route": "R", "externalid": "a"}]},
        two={"requests": [{"requestid": "8", "route": "R", "linkeddata": [value]}, {"route": "R"}]},
        three={"requests": [{"action": "release", "requestid": "9", "externalid": "gone"}]},
    )
    ran = here.run("import", "calls")
    assert (ran.code, ran.out) == (0, "interactions/calls.yaml: 3 new\n"), ran
    assert "calls/three.json:1:15: warning: 'gone' is released here: nothing is declared for it [action]" in ran.err
    assert declared(here) == {
        "a": {"provider": "P", "action": "dispatch", "externalid": "a", "route": "R"},
        "once:8": {"provider": None, "action": "dispatch", "route": "R", "linkeddata": [value]},
        "once:two-2": {"provider": None, "action": "dispatch", "route": "R"},
    }
    canonical(here)


def test_wrong_bodies_are_refused_with_places(here: Workplace) -> None:
    """Trailing commas, what is no body, unknown fields, and what comes twice or is released too, all at once."""
    bodies(
        here,
        comma='{"requests": [\n  {"route": "R", "externalid": "a"},\n]}',
        other={"provider": "P", "endpoint": "https://x.test"},
        list=[],
        fields={
            "requests": [
                {"route": "R", "externalId": "b"},
                {"externalid": "c", "linkeddata": [{"type": "clid", "value": 447700900123}]},
                5,
                {"action": "stop", "externalid": "s", "route": "R"},
            ],
            "x": 1,
        },
        twice={"requests": [{"route": "R", "externalid": "d"}, {"route": "S", "externalid": "d"}]},
        released={"requests": [{"action": "release", "externalid": "d"}, {"action": "release"}]},
    )
    ran = here.run("import", "calls")
    assert ran.code == 1
    for said in (
        "calls/comma.json:3:1: error: this is not JSON: a value is expected [json-syntax]\n  hint: if a comma stands",
        "calls/other.json:1:1: error: the body has no list 'requests' [missing-field]",
        "calls/list.json:1:1: error: a request body must be a mapping, this is a list [not-a-mapping]",
        "did you mean 'externalid'?",
        "calls/fields.json:1:50: error: interaction 'c' has no 'route' [missing-route]",
        '"44••••••••••"',
        "error: requests[2] must be a mapping, this is an integer [wrong-type]",
        "error: requests[3]: action must be dispatch or release [unknown-value]",
        "error: unknown field 'x' in a request body [unknown-field]",
        "'d' is declared twice, first at calls/twice.json:1:15",
        "calls/released.json:1:15: error: 'd' is released here, and dispatched at calls/twice.json:1:",
        "error: requests[1]: a release has no externalid [unknown-value]",
    ):
        assert said in ran.err
    assert "7700900" not in ran.err
    assert not (here.folder / "interactions").exists()


# -- what is there already -------------------------------------------------------------------------------------------

THERE = """\
# ours
provider: Crm
defaults: {routingdata: {interactiontype: nonlive}}
interactions:
  # the first
  - externalid: 'C-1'  # of Ada
    route:   Calls # by day
    linkeddata:
      # where to call
      - {type: clid, value: "+440"}   # mobile
      - type: url
        label: Open  # shown
        value: https://crm.test/C-1?p=1
    lifecycle: {prevent_release: true}
  - {externalid: C-2, route: Late}   # short
    # of the second

# the end
"""


def there(here: Workplace, text: str, name: str = "day.yaml") -> Path:
    """Put a file among the declarations."""
    path = here.folder / "interactions" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode())
    return path


def test_nothing_that_is_there_is_touched_unasked(here: Workplace) -> None:
    """An identity that is declared is refused with both places, a file that exists by name; both lead to --merge."""
    path = there(here, THERE)
    ran = imported(here, "C-2,other,Late,,,,,,")
    assert ran.code == 1
    assert (
        "crm.csv:2:1: error: 'C-2' is declared already, at interactions/day.yaml:15:5 [duplicate-identity]" in ran.err
    )
    assert "--merge" in ran.err
    ran = imported(here, "C-3,day,Late,,,,,,")
    assert ran.code == 1
    assert "there is already interactions/day.yaml; nothing was written" in ran.err
    assert "--merge" in ran.err
    assert path.read_text(encoding="utf-8") == THERE


def test_a_merge_updates_in_place_and_keeps_all_else(here: Workplace) -> None:
    """What is the same stays letter by letter; of what differs only that is written; comments and lifecycle stay."""
    path = there(here, THERE)
    rows = ["C-1,elsewhere,Calls,+441,1,,,,billing", "C-2,day,Late,,,,,,", "C-3,day,Late,,,,,,", "C-4,new,Late,,,,,,"]
    ran = imported(here, *rows, options=["--merge"])
    assert ran.code == 0, ran
    assert ran.out == "interactions/day.yaml: 1 new, 1 changed\ninteractions/new.yaml: 1 new\n"
    assert "4 interactions imported: 2 new, 1 changed, 1 unchanged." in ran.err
    expected = (
        THERE.replace('"+440"', '"+441"')
        .replace("Calls # by", "Calls  # by")
        .replace("route:   ", "route: ")
        .replace("}   # mobile", "}  # mobile")
        .replace("    lifecycle", "    routingdata:\n      skills:\n        - name: billing\n    lifecycle")
        .replace("of the second\n", "of the second\n  - externalid: C-3\n    route: Late\n")
    )
    found = path.read_text(encoding="utf-8")
    assert sorted(found.splitlines()) == sorted(expected.splitlines())
    assert found.splitlines()[-5:] == expected.splitlines()[-5:]
    assert declared(here)["C-1"]["linkeddata"][0]["value"] == "+441"
    before = files(here)
    again = imported(here, *rows, options=["--merge"])
    assert (again.code, again.out, files(here)) == (0, "", before)


WRITTEN = {
    "brackets": "interactions: [{externalid: C-1, route: Old}, {externalid: X, route: Old}]  # short\n",
    "no indentation": "interactions:\n- externalid: C-1\n  route: Old\n- externalid: X\n  route: Old\n",
    "anchor": """\
interactions:
    - externalid: C-1
      route: &r Old
      routingdata: &q {interactiontype: chat}
    -   externalid: X
        route: Old
        routingdata: *q
""",
    "documents": """\
--- # one
interactions:
  - {externalid: C-1, route: Old}
---
interactions: []
---
interactions:
  - {externalid: X, route: Old}
""",
    "defaults": """\
defaults:
  provider: Q
  route: Old
  linkeddata: [{type: clid, value: a}]
  routingdata: {personalqueue: {agent: bo}}
interactions:
  - externalid: C-1
  - externalid: X
""",
    "crlf": "interactions:\r\n  - externalid: C-1\r\n    route: Old\r\n  - externalid: X # end\r\n    route: Old",
    "nothing": "# nothing yet\n---\ninteractions: []",
    "no last line break": "interactions:\n  - externalid: C-1\n    route: Old",
    "json": '{"interactions": [{"externalid": "C-1", "route": "Old"}]}\n',
}
"""How a file may be written."""


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_merge_does_it_right_or_not_at_all(here: Workplace, kind: str) -> None:
    """However a file is written: all is declared as imported and the rest as it was; or it is named, and left."""
    name, text = f"day.{'json' if kind == 'json' else 'yaml'}", WRITTEN[kind]
    path = there(here, text, name)
    before = declared(here)
    ran = imported(here, "C-1,day,Calls,+441,1,yes,ada,0,", "C-9,day,Calls,,,,,,", options=["--merge"])
    if kind in {"anchor", "json"}:
        assert (ran.code, path.read_bytes()) == (1, text.encode())
        assert f"interactions/{name}:" in ran.err
        assert "[not-merged]" in ran.err
        return
    assert ran.code == 0, ran
    after = declared(here)
    assert after.pop("C-1")["linkeddata"][2]["value"] == "yes"
    assert after.pop("C-9")["routingdata"] == {"interactiontype": "nonlive"}
    before.pop("C-1", None)
    assert after == before
    assert text.count("#") == path.read_text(encoding="utf-8").count("#")
    assert (b"\r\n" in path.read_bytes()) == (kind == "crlf")


def test_a_dry_run_writes_nothing(here: Workplace) -> None:
    """It says the same, and leaves every file as it is."""
    there(here, THERE)
    before = files(here)
    rows = ["C-1,day,Night,,,,,,", "C-3,day,Late,,,,,,", "C-4,new,Late,,,,,,"]
    dry = imported(here, *rows, options=["--merge", "--dry-run"])
    assert (dry.code, files(here)) == (0, before)
    assert "A dry run: nothing is written." in dry.err
    assert imported(here, *rows, options=["--merge"]).out == dry.out


def test_what_is_imported_is_adopted(place: Workplace) -> None:
    """`--adopt` takes it as open: the plan that follows is empty; without a state, nothing is written."""
    (place.folder / "map.yaml").write_text(MAPPING, encoding="utf-8")
    rows = ["C-1,day,Night,+44,,,,,", "C-3,day,Late,,,,,,"]
    state = place.state_path.read_bytes()
    place.state_path.unlink()
    assert imported(place, *rows, options=["--adopt"]).code == 5
    assert not (place.folder / "interactions" / "day.yaml").exists()
    place.state_path.write_bytes(state)
    ran = imported(place, *rows, options=["--adopt"])
    assert ran.code == 0, ran
    assert "Adopted C-1" in ran.err
    assert "No changes: 2 interactions open, as declared." in place.run("plan").out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("missing.json",), 1, "missing.json"),
        (("--mapping", "missing.yaml", "crm.csv"), 1, "missing.yaml"),
        (("--mapping", "map.yaml", "missing.csv"), 64, "missing.csv: it can't be read"),
        (("--mapping", "map.yaml", "empty.csv"), 1, "empty.csv: error: there is no header"),
        (("nothing",), 64, "there is no .json in this folder"),
        (("crm.csv",), 64, "crm.csv: a table needs a mapping"),
        ((), 64, "PATH"),
    ],
)
def test_what_cannot_be_read_is_named(here: Workplace, arguments: tuple[str, ...], code: int, said: str) -> None:
    """A file that is not there, an empty table, a folder without bodies."""
    (here.folder / "nothing").mkdir()
    (here.folder / "empty.csv").write_bytes(b"")
    table(here)
    ran = here.run("import", *arguments)
    assert (ran.code, said in ran.err) == (code, True), ran


# -- properties ------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=12).filter(
    lambda text: not set(text) & set("\ufeff\ufffe\uffff")
)
ROWS = st.dictionaries(
    st.from_regex(r"[A-Za-z0-9-]{1,6}", fullmatch=True).filter(str.strip),
    st.tuples(st.sampled_from(["a", "b", "Ä c"]), TEXTS, TEXTS, st.sampled_from(["", "ada"])),
    max_size=6,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=ROWS, second=ROWS)
def test_what_is_imported_is_declared(tmp_path_factory: pytest.TempPathFactory, first: Any, second: Any) -> None:
    """Exactly the rows are declared; a merge brings what it would bring alone, the rest stays; twice is once."""
    here = Workplace(tmp_path_factory.mktemp("import"))
    (here.folder / "map.yaml").write_text(MAPPING, encoding="utf-8")

    def rows(of: Any) -> list[str]:
        return [
            f"{case},{team},R,{quoted(phone)},,{quoted(note)},{agent},,"
            for case, (team, phone, note, agent) in of.items()
        ]

    assert imported(here, *rows(first)).code == 0
    for now, options in ((first, ()), ({**first, **second}, ("--merge",))):
        if options:
            assert imported(here, *rows(second), options=options).code == 0
        found = declared(here) if (here.folder / "interactions").exists() else {}
        assert found.keys() == now.keys()
        for case, (_, phone, note, agent) in now.items():
            values = [item["value"] for item in found[case].get("linkeddata", ())]
            assert values == [text for text in (phone, note) if text]
            assert found[case]["routingdata"].get("personalqueue") == ({"agent": agent} if agent else None)
        canonical(here)
    before = files(here)
    assert imported(here, *rows(second), options=["--merge"]).out == ""
    assert files(here) == before
    assert not [path for path in here.folder.rglob(".reconciler*") if os.path.lexists(path)]


# -- the docs --------------------------------------------------------------------------------------------------------


FENCES = re.findall(r"```[a-z]+\n(.*?)```", (ROOT / "docs" / "import.md").read_text(encoding="utf-8"), re.DOTALL)


def test_the_docs_example_is_true(tmp_path: Path) -> None:
    """The table of docs/import.md gives what the page says, word for word."""
    mapping, table_, said, file = FENCES[:4]
    (tmp_path / "mapping.yaml").write_text(mapping, encoding="utf-8")
    (tmp_path / "crm.csv").write_text(table_, encoding="utf-8")
    ran = Workplace(tmp_path).run("import", "--mapping", "mapping.yaml", "crm.csv")
    assert f"$ reconciler import --mapping mapping.yaml crm.csv\n{ran.out}{ran.err}" == said
    assert (tmp_path / "interactions" / "billing.yaml").read_text(encoding="utf-8") == file


@pytest.mark.parametrize("text", [MAPPING, FENCES[0]])
def test_a_schema_takes_what_an_import_takes(text: str) -> None:
    """An editor finds nothing wrong with a mapping that works, and something with one that has a slip."""
    judge = Draft202012Validator(SCHEMAS["import-mapping"]())
    judge.validate(parse(text.encode(), "").documents[0].value)
    for slip in (("column:", "colunm:"), ("type: clid", "kind: clid"), ("interaction:", "interactions:")):
        assert not judge.is_valid(parse(text.replace(*slip).encode(), "").documents[0].value)
