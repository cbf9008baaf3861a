"""The schema is the one place for a field: a line in it alone makes one of each kind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any, Final

import pytest

from tests.conftest import ROOT

LINES: Final = {
    "    linkeddata: list": 'urgency: Annotated[Count | None, Field(description="How urgent it is.")]',
    "    personalqueue: Personal": 'language: Annotated[Text | None, Field(description="What to speak.")]',
    "    value: Annotated": 'tooltip: NotRequired[Annotated[str, Field(description="Beside it.", examples=["Hi"])]]',
    '    "object": (': '"fax": ("key",),',
    "    on_change: Annotated": 'note: Annotated[Text | None, Field(description="For people.")]',
}
"""What is added, by the line that it is put before."""
DECLARED: Final = """
interactions:
  - externalid: A
    route: R
    urgency: 3
    routingdata: {language: en}
    linkeddata: [{type: fax, key: Office, tooltip: Hi, value: "1"}]
    lifecycle: {note: mine}
"""
WRONG: Final = """
interactions:
  - {externalid: A, route: R, urgancy: 3, language: en, lifecycle: {nte: x}}
  - {externalid: B, route: R, urgency: "3", routingdata: {langauge: en}}
  - {externalid: C, route: R, linkeddata: [{type: fax, value: x}, {type: faxx, value: x}, {type: fax, toltip: x}]}
"""
CODE: Final = """
import json, sys
from pathlib import Path
from tests.api import SandboxServer
from tests.command import Workplace
from tests.conftest import connection
from tests.formats import SCHEMAS, interaction_schema, table

declared, wrong = sys.argv[1:]
said = {"table": table("field", interaction_schema()), "schema": SCHEMAS["declarations"]()}
with SandboxServer() as server:
    place = Workplace(Path.cwd(), connection(server))
    place.run("init")
    place.declare(declared, "example.yaml")
    said["new"] = place.run("plan").out
    said["apply"] = place.run("apply", "--auto-approve").code
    said["sent"] = json.loads(server.calls[-1].body)["requests"]
    said["state"] = place.state["interactions"]["A"]["fields"]
    said["same"] = place.run("plan").out
    place.declare(declared.replace("3", "4").replace("en}", "de}").replace("Hi", "Ho"), "example.yaml")
    said["changed"] = place.run("plan").out
    place.declare(declared.replace("mine", "yours"), "example.yaml")
    said["noted"] = place.run("plan").out
    place.declare(wrong, "example.yaml")
    said["wrong"] = place.run("validate").out
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what the command, the schema and the docs say once the fields are in the schema's module."""
    folder = tmp_path_factory.mktemp("fields")
    shutil.copytree(ROOT / "reconciler", folder / "reconciler", ignore=shutil.ignore_patterns("__pycache__"))
    module = folder / "reconciler" / "declarations" / "schema.py"
    text = module.read_text(encoding="utf-8")
    for before, line in LINES.items():
        assert text.count(f"\n{before}") == 1
        text = text.replace(f"\n{before}", f"\n    {line}\n{before}")
    module.write_text(text, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-c", CODE, DECLARED, WRONG],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [folder, ROOT]))},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return dict(json.loads(ran.stdout))


def lines(text: str) -> set[str]:
    """Return the lines of a plan, without the white space that lays them out."""
    return {" ".join(line.split()) for line in text.splitlines()}


FIELDS: Final = {
    "route": "R",
    "urgency": 3,
    "routingdata": {"language": "en"},
    "linkeddata": [{"type": "fax", "key": "Office", "tooltip": "Hi", "value": "1"}],
}


def test_they_are_sent_and_kept(said: dict[str, Any]) -> None:
    """What is declared goes out and into the state as it is, but for what is local."""
    (sent,) = said["sent"]
    del sent["requestid"]
    assert (said["apply"], sent) == (0, {"action": "dispatch", "externalid": "A", **FIELDS})
    assert said["state"] == FIELDS
    assert said["same"].endswith("No changes: 1 interaction open, as declared.\n")


def test_they_are_shown(said: dict[str, Any]) -> None:
    """A plan names them where they are new and where they differ."""
    assert {"urgency 3", "language en", "fax Office 1 (tooltip: Hi)"} <= lines(said["new"])
    assert {"urgency 3 → 4", "language en → de"} <= lines(said["changed"])
    assert "fax Office 1 (tooltip: Hi) → 1 (tooltip: Ho)" in lines(said["changed"])
    assert said["noted"].endswith("No changes: 1 interaction open, as declared.\n")


def test_they_are_checked_and_suggested(said: dict[str, Any]) -> None:
    """A wrong value is refused, and what is misspelt or misplaced is told where it belongs."""
    assert [line.partition("error: ")[2] or line.strip() for line in said["wrong"].splitlines()] == [
        "unknown field 'urgancy' in interaction 'A' [unknown-field]",
        "hint: did you mean 'urgency'?",
        "unknown field 'language' in interaction 'A' [unknown-field]",
        "hint: it belongs under `routingdata`",
        "unknown field 'nte' in lifecycle of 'A' [unknown-field]",
        "hint: did you mean 'note'?",
        "urgency of 'B' must be an integer, this is a string [wrong-type]",
        "hint: write it without quotes",
        "unknown field 'langauge' in routingdata of 'B' [unknown-field]",
        "hint: did you mean 'language'?",
        "linkeddata[0] of 'C' has no 'key', which type fax needs [missing-field]",
        "linkeddata[1].type of 'C' is 'faxx', which is not known [unknown-type]",
        "hint: did you mean 'fax'?",
        "to allow another, add it to `linkeddata_types` in reconciler.yaml",
        "linkeddata[2] of 'C' has no 'value' [missing-field]",
        "unknown field 'toltip' in linkeddata[2] of 'C' [unknown-field]",
        "hint: did you mean 'tooltip'?",
    ]


def test_they_are_published(said: dict[str, Any]) -> None:
    """The JSON Schema and the table of the docs have them."""
    types = said["schema"]["$defs"]
    assert "urgency" in types["DeclaredInteraction"]["properties"]
    assert "urgency" in types["InteractionDefaults"]["properties"]
    assert "fax" in types["LinkedDataItem"]["properties"]["type"]["examples"]
    assert {"if": {"properties": {"type": {"const": "fax"}}}, "then": {"required": ["key"]}} in types["LinkedDataItem"][
        "allOf"
    ]
    rows = [
        "| `urgency` | number or null | How urgent it is. |",
        "| `routingdata.language` | text or null | What to speak. |",
        "| `linkeddata[].tooltip` | text, such as `Hi` | Beside it. |",
        "| `lifecycle.note` | text or null | For people. |",
    ]
    assert [row for row in rows if row not in said["table"].splitlines()] == []
