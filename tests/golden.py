"""Whole-text comparison with a golden file; `UPDATE_GOLDEN=1` writes the files anew."""

from __future__ import annotations

import os
import re
from pathlib import Path


def assert_table(table: str, page: Path) -> None:
    """Compare a table with the one in a page of the docs that has the same head."""
    text, head = page.read_text(encoding="utf-8"), table.partition("\n")[0] + "\n"
    before, found, rest = text.partition(head)
    assert found, f"{page} has no table with the head {head}"
    after = re.sub(r"^(\|.*\n)*", "", rest)
    assert_golden(before + table + after, page)


def assert_golden(text: str, path: Path) -> None:
    """Compare the whole text with that of the file."""
    if os.environ.get("UPDATE_GOLDEN") == "1":
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"{path} is missing: run with UPDATE_GOLDEN=1 and review it"
    assert text == path.read_text(encoding="utf-8")
