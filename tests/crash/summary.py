"""The counts of the crash harness, from all workers, at the end of a run of pytest."""

from __future__ import annotations

from collections import Counter
from typing import Final

import pytest

_SHOWN: Final = {
    "killed": "runs killed",
    "disks": "disks after a power cut",
    "recovered": "situations taken up again",
    "interrupted": "runs interrupted",
    "mutants": "mutants caught",
}
_PRINTED: Final = pytest.StashKey[bool]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was done, once, however many conftest modules import this."""
    counts: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) == "teardown":
                counts.update({name: value for name, value in report.user_properties if name.startswith("crash-")})
    stash = terminalreporter.config.stash
    if counts and not stash.get(_PRINTED, False):
        stash[_PRINTED] = True
        shown = ", ".join(f"{counts[f'crash-{name}']} {what}" for name, what in _SHOWN.items())
        terminalreporter.write_line(f"crash harness: {shown}")
