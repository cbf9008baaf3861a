"""Fixtures of the fault table."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clock import QuickClock
from tests.command import Workplace
from tests.faults.harness import FOUR


@pytest.fixture(autouse=True)
def _quick(clock: QuickClock) -> QuickClock:
    return clock


@pytest.fixture
def folder(tmp_path: Path) -> Workplace:
    """Return an initialised folder that points nowhere yet."""
    place = Workplace(tmp_path)
    assert place.run("init").code == 0
    (tmp_path / "interactions" / "example.yaml").unlink()
    place.declare(FOUR)
    return place
