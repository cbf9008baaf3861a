"""A peer: octoDNS plans the records of one YAML file against another; run as `plan_octodns.py new|noop FOLDER N`."""

import sys
from pathlib import Path

from octodns.provider.yaml import YamlProvider  # type: ignore[import-not-found]  # installed for benchmarks only
from octodns.zone import Zone  # type: ignore[import-not-found]

ZONE = "bench.test."


def write(folder: Path, records: int) -> None:
    """Write a zone of so many records, one a name."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (f"case-{n:07d}:\n  type: A\n  value: 10.{n >> 16}.{n >> 8 & 255}.{n & 255}\n" for n in range(records))
    (folder / f"{ZONE}yaml").write_text("---\n" + "".join(lines) + ("{}" if not records else ""), encoding="utf-8")


def plan(source: Path, target: Path) -> int:
    """Return how many changes octoDNS plans."""
    zone = Zone(ZONE, [])
    YamlProvider("source", str(source), default_ttl=300).populate(zone)
    made = YamlProvider("target", str(target), default_ttl=300).plan(zone)
    return len(made.changes) if made else 0


if __name__ == "__main__":
    kind, folder, number = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if kind == "write":
        write(folder / "declared", number)
        write(folder / "open", number)
        write(folder / "nothing", 0)
    else:
        found = plan(folder / "declared", folder / ("nothing" if kind == "new" else "open"))
        assert found == (number if kind == "new" else 0)
