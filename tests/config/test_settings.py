"""The model of the configuration is the one place for a key."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.conftest import ROOT

KEY: Final = 'greeting_limit: Limit = Field(default=7, description="How many greetings one apply may send.")'
BEFORE: Final = "    @model_validator"
CODE: Final = """
import os
from reconciler.cli import main
from tests.formats import configuration_table

def run(text, **variables):
    open("reconciler.yaml", "w").write(text)
    os.environ.update(variables)
    print(main(["validate"]), flush=True)

print(configuration_table())
for text in ("greeting_limit: 5", "greeting_limit: x", "greting_limit: 5"):
    run(text)
run("", RECONCILER_GREETING_LIMIT="x")
run("", RECONCILER_GREETING_LIMIT="5")
"""


def test_a_key_is_added_in_one_place(tmp_path: Path) -> None:
    """A line in the model alone makes a key of the file, a variable, a suggestion, and a row in the docs."""
    shutil.copytree(ROOT / "reconciler", tmp_path / "reconciler", ignore=shutil.ignore_patterns("__pycache__"))
    model = tmp_path / "reconciler" / "config" / "settings.py"
    text = model.read_text(encoding="utf-8")
    model.write_text(text.replace(BEFORE, f"    {KEY}\n\n{BEFORE}", 1), encoding="utf-8")
    (tmp_path / "interactions").mkdir()
    paths = os.pathsep.join(map(str, [tmp_path, ROOT]))
    ran = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    must = "greeting_limit must be a whole number from 0 to 10,000,000, this is a string [wrong-type]"
    count = "Error: 1 problem in the configuration; nothing was sent."
    wrong = "  What wrong-type means: reconciler explain wrong-type"
    table, said = ran.stdout.split("\n\n")
    assert "| `greeting_limit` | a whole number from 0 to 10,000,000 | `7` | How many greetings" in table
    assert said.splitlines() == [
        *("Valid: 0 interactions in 0 files.", "0"),
        *(f"reconciler.yaml:1:17: error: {must}", count, wrong, "1"),
        *("reconciler.yaml:1:1: error: greting_limit: there is no such key [unknown-key]",),
        *("  hint: did you mean greeting_limit?", count, wrong.replace("wrong-type", "unknown-key"), "1"),
        *(f"RECONCILER_GREETING_LIMIT: error: {must}", count, wrong, "1"),
        *("Valid: 0 interactions in 0 files.", "0"),
    ]
