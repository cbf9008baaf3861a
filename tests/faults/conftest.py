"""Fixtures of the fault table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from tests.command import Workplace
from tests.faults.harness import FOUR, QuickClock


@pytest.fixture(autouse=True)
def clock() -> Iterator[QuickClock]:
    """Let waits pass at once, and tell what was asked for."""
    clock = QuickClock()
    with mock.patch("reconciler.cli.apply.SystemClock", return_value=clock):
        yield clock


@pytest.fixture
def folder(tmp_path: Path) -> Workplace:
    """Return an initialised folder that points nowhere yet."""
    place = Workplace(tmp_path)
    assert place.run("init").code == 0
    (tmp_path / "interactions" / "example.yaml").unlink()
    place.declare(FOUR)
    return place
