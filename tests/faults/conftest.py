"""Fixtures of the fault table."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import pytest

from tests.faults.harness import QuickClock


@pytest.fixture(autouse=True)
def clock() -> Iterator[QuickClock]:
    """Let waits pass at once, and tell what was asked for."""
    clock = QuickClock()
    with mock.patch("reconciler.cli.apply.SystemClock", return_value=clock):
        yield clock
