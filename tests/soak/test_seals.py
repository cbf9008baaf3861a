"""A million edits, as far as the time goes: no plan differs with seals."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.declarations import sealing
from tests.soak.budget import InTime

ROUND = 500


@pytest.mark.soak(weight=3)
def test_a_million_edits(tmp_path: Path, in_time: InTime) -> None:
    """See tests/declarations/test_seals.py; each round has a seed of its own, which its failure names."""
    done = 0
    while done < 1_000_000 and (in_time() or not done):
        seed = random.randrange(2**32)  # noqa: S311  # any will do
        folder = tmp_path / str(seed)
        folder.mkdir()
        assert sealing.run(folder, seed, ROUND), f"seed {seed}"
        done += ROUND
