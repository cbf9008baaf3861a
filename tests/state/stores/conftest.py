"""Folders with three things to dispatch, one Invocation at a time."""

from __future__ import annotations

import pytest

from tests.command import Workplace
from tests.state.stores.three import STATE, THREE


@pytest.fixture
def one_by_one(place: Workplace) -> Workplace:
    """Give the folder."""
    place.env["RECONCILER_PARALLELISM"] = "1"
    place.declare(THREE)
    return place


@pytest.fixture
def elsewhere(one_by_one: Workplace) -> Workplace:
    """Give the same, with the state in a folder of its own."""
    one_by_one.env["RECONCILER_STATE"] = f"kept/{STATE}"
    kept = one_by_one.folder / "kept"
    kept.mkdir()
    one_by_one.state_path.rename(kept / STATE)
    return one_by_one
