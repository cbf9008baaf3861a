"""One apply of n dispatches from intent to fold, or bare httpx posting the very same bodies; prints its seconds.

Run as a process of its own: `python -m tests.benchmarks.sending us|httpx FOLDER PORT`. The declarations are read and
planned before the clock starts; making the HTTP client counts on both sides.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx

from reconciler.cli.clock import SystemClock
from reconciler.cli.console import Console
from reconciler.cli.progress import ProgressLine
from reconciler.delivery.batch import pack
from reconciler.delivery.client import ACCEPT, Client
from reconciler.delivery.executor import apply
from reconciler.delivery.intent import intend
from reconciler.delivery.ports import Ports
from reconciler.delivery.throttle import StopSignal
from reconciler.delivery.tokens import AccessToken
from reconciler.planning.planner import plan
from reconciler.state.model import Target
from reconciler.state.stores.local import LocalStore
from reconciler.times import stamp
from tests.benchmarks.workload import declared
from tests.known import DEFAULTS, OPTIONS, POLICY

_TOKEN: Final = "fixed"  # the fixed server takes any


WIDTH: Final = 4
"""Calls at a time, on both sides."""


@dataclass(frozen=True)
class Sent:
    """How long it took, on the clock and of CPU, and how much was sent in how many calls."""

    seconds: float
    cpu: float
    calls: int
    bytes: int
    parallelism: int = WIDTH


def main(side: str, folder: Path, port: int) -> Sent:
    """Prepare, then measure one side."""
    url = f"http://127.0.0.1:{port}"
    place = LocalStore(folder / "reconciler.state.json")
    state = place.read().state
    interactions = declared(folder)
    now = datetime.now(UTC)
    made = plan(interactions, state, POLICY, now, Target(url))
    desired = {interaction.address: interaction for interaction in interactions}
    intent = intend(made, desired, state, stamp(now), Target(url))
    bodies = [each.body for each in pack([chain[0] for chain in intent.chains], OPTIONS.request_bytes)]
    began, used = time.perf_counter(), time.process_time()
    if side == "httpx":
        _post(url, bodies)
    else:
        gc.disable()  # as the command does
        with place.hold("apply") as store, Client(url, None, AccessToken(_TOKEN), timeout=DEFAULTS.timeout) as client:
            store.read()
            clock, jitter = SystemClock(), random.Random(0).random  # noqa: S311
            ports = Ports(store, client, clock, ProgressLine(Console(), clock.monotonic), StopSignal(), jitter)
            report = apply(
                intend(made, desired, state, stamp(now), Target(url)), replace(OPTIONS, parallelism=WIDTH), ports
            )
        assert len(report.state.interactions) == len(interactions)
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    return Sent(seconds, cpu, len(bodies), sum(map(len, bodies)))


def _post(url: str, bodies: list[bytes]) -> None:
    headers = {"Authorization": f"Bearer {_TOKEN}", "Accept": ACCEPT, "Content-Type": "application/json"}
    with (
        httpx.Client(headers=headers, timeout=DEFAULTS.timeout) as client,
        ThreadPoolExecutor(WIDTH) as pool,
    ):
        for response in pool.map(lambda body: client.post(f"{url}/interactions/invoke", content=body), bodies):
            assert response.json() == []


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))))
