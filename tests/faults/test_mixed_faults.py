"""Thousands of interactions through faults of every kind, mixed: everything exactly once in the end."""

from __future__ import annotations

import random

from tests.api import SandboxServer
from tests.command import Workplace
from tests.faults.harness import apply, check_nothing_doubled, check_recovers, check_requestids, pending

KINDS = (
    "status=500",
    "status=502",
    "status=503 retry-after=1",
    "status-after=503",
    "status=429",
    "status=429 retry-after=1",
    "status=408",
    "status=400",
    "status=413",
    "status=417",
    "status=401",
    "expire-token",
    "drop=before",
    "drop=after",
    "drop=after how=close",
    "late-copy",
    "garbage",
    "not-array",
    "foreign-id",
    "duplicate-id",
    "no-content",
    "truncated",
    "status=500 path=token",
    "fail",
    "fail",
    "fail",
)
STOPPING = ("status=403", "status=404", "redirect=http://127.0.0.1:9/")
"""Kinds that end a run each."""


def mixed(count: int, calls: int, seed: int) -> list[str]:
    """Return so many faults of every kind, three of which end a run, spread over about so many calls."""
    dice = random.Random(seed)  # noqa: S311
    chosen = [*STOPPING, *(KINDS[number % len(KINDS)] for number in range(count - len(STOPPING)))]
    return [f"{kind} nth={1 if 'token' in kind else dice.randint(1, calls)}" for kind in chosen]


def declare(place: Workplace, count: int, route: str = "R") -> frozenset[str]:
    """Declare so many interactions, one in fifty without an externalid; return their addresses."""
    once = range(0, count, 50)
    lines = [
        f"  - {{once: o{n}, route: once{n}}}" if n in once else f"  - {{externalid: id-{n}, route: {route}}}"
        for n in range(count)
    ]
    place.declare("provider: P\ninteractions:\n" + "\n".join(lines) + "\n")
    return frozenset(f"once:o{n}" if n in once else f"id-{n}" for n in range(count))


def test_thousands_through_mixed_faults(place: Workplace, server: SandboxServer) -> None:
    """2,000 interactions dispatched through 20 faults and replaced through 20 more: each exactly once."""
    small = {"request_bytes": "10000", "max_release_percent": "100"}
    names = declare(place, 2000)
    for route, seed in (("R", 1), ("S", 2)):
        declare(place, 2000, route)
        server.faults.add(*mixed(20, 20, seed))
        for _ in range(40):
            if apply(place, **small).code == 0:
                break
            check_nothing_doubled(server)
            held = [link["address"] for link in place.state["pending"].values() if link.get("held")]
            for address in held:
                assert place.run("state", "resolve", address, "--as", "not-applied").code == 0
        assert pending(place, unsent=False) == set()
        server.release_late_copies()
        check_requestids(server)
    check_recovers(place, server, names)
    assert all(b'"route":"S"' in (entry.content or b"") for entry in server.emulator.open.values())
