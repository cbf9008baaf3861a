"""Where a plan's time goes, stage by stage, in one process: `python -m tests.benchmarks.stages NEW OPEN`."""

from __future__ import annotations

import gc
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from reconciler.declarations.discovery import read, walk
from reconciler.declarations.validation import validate
from reconciler.interaction import Interaction
from reconciler.planning.guards import Approvals
from reconciler.planning.planner import plan
from reconciler.planning.saved_plan import SavedPlan
from reconciler.render.text import plan_text
from reconciler.state.model import State
from reconciler.state.stores.local import LocalStore
from reconciler.yamlfile.reader import parse
from tests.known import POLICY, RULES


def stages(new: Path, opened: Path) -> dict[str, float]:
    """Return the CPU seconds of each stage of a plan of all new, and of a no-op plan where that differs."""
    clock = _Clock()
    gc.disable()
    sources, _ = walk(new / "interactions", new)
    clock.lap("list the files")
    contents = [(source.name, data) for source in sources if isinstance(data := read(source), bytes)]
    clock.lap("read them")
    parsed = [(name, parse(data, name)) for name, data in contents]
    clock.lap("parse and build")
    interactions: list[Interaction] = []
    for name, each in parsed:
        for document in each.documents:
            interactions += validate(document, name, RULES).interactions
    clock.lap("validate, canonical bodies, digests")
    empty = LocalStore(new / "reconciler.state.json").read().state
    clock.forget()
    _planned(interactions, empty, clock, "all new")
    known = LocalStore(opened / "reconciler.state.json").read().state
    clock.lap("no-op: read the state")
    _planned(interactions, known, clock, "no-op")
    gc.enable()
    return clock.laps


def _planned(interactions: list[Interaction], state: State, clock: _Clock, kind: str) -> None:
    made = plan(interactions, state, POLICY, datetime.now(UTC))
    clock.lap(f"{kind}: compare")
    plan_text(SavedPlan(made, Approvals()))
    clock.lap(f"{kind}: render")


class _Clock:
    """CPU seconds between calls of `lap`."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.process_time()

    def lap(self, name: str) -> None:
        self.laps[name] = round(time.process_time() - self._last, 4)
        self.forget()

    def forget(self) -> None:
        self._last = time.process_time()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(stages(Path(sys.argv[1]), Path(sys.argv[2]))))
