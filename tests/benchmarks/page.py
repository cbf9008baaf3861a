"""docs/performance.md's tables, from docs/performance.json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

DOCS: Final = Path(__file__).parents[2] / "docs"
_BEGIN, _END = "<!-- measured: `make bench` writes this part -->\n", "<!-- end of what was measured -->\n"


def update() -> None:
    """Write the tables of what was measured into the page."""
    page = DOCS / "performance.md"
    page.write_text(updated(page.read_text(encoding="utf-8")), encoding="utf-8")


def updated(text: str) -> str:
    """Return the page with the tables of docs/performance.json."""
    found = json.loads((DOCS / "performance.json").read_text(encoding="utf-8"))
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return before + _BEGIN + "\n" + "\n".join(_measured(found)) + "\n\n" + _END + after


def _measured(found: dict[str, Any]) -> Iterator[str]:
    yield (
        f"Revision {found['revision']}, Python {found['python']}, {found['system']}, {found['cores']} cores, "
        f"load {found['load']:.1f} at the start, medians of {found['rounds']} in one run."
    )
    yield ""
    yield "| work | measured | bar | |"
    yield "|---|---|---|---|"
    for bar in found["bars"]:
        unit = bar["unit"]
        verdict = "met" if bar["met"] else "**not met**"
        told = f" ({bar['told']})" if bar["told"] else ""
        yield f"| {bar['name']} | {_number(bar['measured'])}{unit}{told} | ≤ {bar['most']:g}{unit} | {verdict} |"
    yield ""
    yield "| process | wall | CPU, all cores | peak of the largest process |"
    yield "|---|---|---|---|"
    for what, runs in found["figures"].items():
        if isinstance(runs, dict) and all(isinstance(run, dict) and "memory" in run for run in runs.values()):
            for name, run in runs.items():
                yield f"| {what}: {name} | {run['seconds']:.2f} s | {run['cpu']:.2f} s | {run['memory']:.0f} MB |"
    yield ""
    yield "| stage, 10,000 files in one process | CPU |"
    yield "|---|---|"
    for stage, seconds in found["figures"]["stages"].items():
        yield f"| {stage} | {seconds:.3f} s |"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"


if __name__ == "__main__":
    update()
