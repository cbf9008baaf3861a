"""The JSON Schemas of what people and programs write and read, as files: nothing is loaded to print one.

`make golden` makes them (tests/formats.py) from where each format is described; docs/schemas/ has them to read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

FORMATS: Final = {
    "declarations": "a file in interactions/",
    "config": "reconciler.yaml",
    "import-mapping": "what `import --mapping` reads",
    "history": "what `history --format json` prints",
    "plan": "what `plan --format json` and `show --format json` print",
    "apply": "what `apply --format json` prints",
    "error": "what any other command prints with `--format json` where it fails",
    "events": "a line of what `--events` writes",
    "saved-plan": "what `plan --out` writes",
    "state": "the state file",
    "state-list": "what `state list --format json` prints",
    "state-show": "what `state show --format json` prints",
    "state-mended": "what the `state` commands that write print with `--format json`",
    "validate": "what `validate --format json` prints",
}
"""What each schema describes, by its name."""


def schema_text(name: str) -> str:
    """Return a schema as an indented JSON document, newline included."""
    text = Path(__file__).with_name(f"{name}.json").read_text(encoding="utf-8")
    return json.dumps(json.loads(text), indent=2) + "\n"


def described(name: str, key: str) -> tuple[str, object]:
    """Return the description and the default of a key of a format."""
    properties = json.loads(Path(__file__).with_name(f"{name}.json").read_text(encoding="utf-8"))["properties"]
    return properties[key]["description"], properties[key]["default"]
