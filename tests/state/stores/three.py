"""Three things to dispatch, one Invocation after the other, and whether they were, whatever went wrong on the way."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.api import SandboxServer
from tests.api.record import Handling
from tests.command import Ran, Workplace

APPLY = ("apply", "--auto-approve")
# Several providers make several Invocations.
THREE = """\
interactions:
  - {externalid: id-0, provider: P0, route: R}
  - {externalid: id-1, provider: P1, route: R}
  - {externalid: id-2, provider: P2, route: R}
"""
IDS = {"id-0", "id-1", "id-2"}

STATE = "reconciler.state.json"
NEW = f"{STATE}.new"
LOCK = f"{STATE}.lock"
JOURNAL = f"{STATE}.journal"
BACKUP = f"{STATE}.backup"
BACKUP_NEW = f"{STATE}.backup.new"


def invoked(server: SandboxServer) -> int:
    """Return how many Invocations arrived."""
    return sum(call.kind == "invoke" for call in server.calls)


@contextmanager
def nothing_more_than(sent: int, server: SandboxServer) -> Iterator[None]:
    """Check that no more Invocations are sent than that."""
    yield
    assert invoked(server) == sent


def stopped(ran: Ran, path: Path, why: str) -> None:
    """Check that it ended with an error that names the file, or one in the folder, and says why."""
    assert ran.code == 1, ran
    (said,) = re.findall(r"^Error: (.+?): (.*)", ran.err, re.MULTILINE)
    assert Path(said[0]) == path or Path(said[0]).parent == path, ran
    assert why in said[1]


def completes(place: Workplace, server: SandboxServer) -> None:
    """Apply again, with nothing in the way, and check that each was dispatched exactly once."""
    ran = place.run(*APPLY)
    assert ran.code == 0, ran
    assert set(server.emulator.open) == set(state_of(place)["interactions"]) == IDS
    outcomes = [entry.outcome for entry in server.emulator.record.processed]
    assert outcomes.count(Handling.DISPATCHED) == len(IDS)
    assert set(outcomes) <= {Handling.DISPATCHED, Handling.IGNORED}
    assert place.run("plan", "--detailed-exitcode").code == 0


def state_path(place: Workplace) -> Path:
    """Return where the environment says that the state is."""
    return place.folder / place.env.get("RECONCILER_STATE", STATE)


def state_of(place: Workplace) -> dict[str, Any]:
    """Return the state."""
    return dict(json.loads(state_path(place).read_bytes()))
