"""A contact centre that turns to its night routing: 5,000 changes, as a large team meets them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reconciler.interaction import Interaction, Place
from reconciler.state.codec import encode
from reconciler.state.model import State, Target
from reconciler.times import stamp
from tests import known
from tests.command import Workplace

CONFIGURATION = """\
environments:
  prod:
    region: emea
    account: acme-uk
"""
TEAMS = 19
EACH = 250
RELEASED = TEAMS * EACH + 14
TARGET = Target("https://emea.api.newvoicemedia.com", "acme-uk")


def interaction(name: str, file: str, line: int, route: str) -> Interaction:
    """Return a declared interaction."""
    return known.interaction(name, "CrmIntegration", route, place=Place(f"interactions/{file}.yaml", line))


def numbered(name: str, number: int, file: str, route: str) -> list[Interaction]:
    """Return as many interactions as are declared alike, three lines each."""
    return [interaction(f"{name}-{n:04}", file, 4 + 2 * n, route) for n in range(number)]


def teams(time: str) -> list[Interaction]:
    """Return what each team has open, by day or by night."""
    names = [f"{team:02}" for team in range(TEAMS)]
    return [one for name in names for one in numbered(f"T{name}", EACH, f"team-{name}", time + name)]


LOST = numbered("Cb", 6, "callbacks", "Callback")
HELD = numbered("Vip", 2, "callbacks", "Callback")
FAILED = numbered("Back", 8, "callbacks", "Callback")
KEPT = numbered("Kept", 300, "always", "Always")
LEGACY = numbered("Legacy", 14, "legacy", "LegacyIvr")
CAMPAIGN = numbered("Winter", 220, "campaign", "Campaign")


def written(declared: Sequence[Interaction]) -> Iterator[str]:
    """Yield a file that declares them."""
    yield "provider: CrmIntegration\n"
    yield f"defaults: {{route: {declared[0].request['route']}}}\n"
    yield "interactions:\n"
    yield from (f"  - externalid: {each.address}\n\n" for each in declared)


def before(now: datetime) -> State:
    """Return what is open, failed and unknown when night falls."""
    open_ = [*teams("Day"), *LEGACY, *KEPT]
    lost, held = stamp(now - timedelta(minutes=10)), stamp(now - timedelta(days=30))
    pending = {f"lost-{each.address}": known.pending(each, at=lost) for each in LOST}
    pending |= {f"held-{each.address}": known.pending(each, at=held) for each in HELD}
    return State(
        known.LINEAGE,
        412,
        TARGET,
        {each.address: known.opened(each) for each in open_},
        pending,
        {f"f-{each.address}": known.failed(each, attempts=2, reason="no such route (404)") for each in FAILED},
    )


def night(folder: Path) -> Workplace:
    """Make the folder in which the plan has 5,000 changes."""
    (folder / "interactions").mkdir()
    (folder / "reconciler.yaml").write_text(CONFIGURATION, encoding="utf-8")
    state = b"".join(encode(before(datetime.now(UTC))))
    (folder / "reconciler.prod.state.json").write_bytes(state)
    files: dict[str, list[Interaction]] = {}
    for each in [*teams("Night"), *LOST, *HELD, *FAILED, *CAMPAIGN, *KEPT]:
        files.setdefault(each.place.file, []).append(each)
    for name, declared in files.items():
        (folder / name).write_text("".join(written(declared)), encoding="utf-8")
    return Workplace(folder, {"RECONCILER_ENV": "prod"})
