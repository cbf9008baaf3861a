"""`--timings`: where a run's time goes, on stderr."""

from __future__ import annotations

import time

from reconciler.cli.console import Console


class Timings:
    """Notes how long each stage took, from the end of the one before it; says nothing unless it was asked for."""

    def __init__(self, console: Console, *, wanted: bool) -> None:
        self._console = console
        self._wanted = wanted
        self._stages: list[tuple[str, float]] = [("start-up, on the CPU", time.process_time())]
        self._last = time.perf_counter()

    def ended(self, stage: str) -> None:
        """Note the end of a stage."""
        now = time.perf_counter()
        self._stages.append((stage, now - self._last))
        self._last = now

    def show(self) -> None:
        """Log the stages, in seconds."""
        if self._wanted:
            for stage, seconds in self._stages:
                self._console.note(f"{stage:<24}{seconds:9.3f} s")
