"""`--timings`: where a run's time goes, on stderr."""

from __future__ import annotations

import time

from reconciler.cli.console import Console
from reconciler.delivery.events import Event, Finished, Staged


class Timings:
    """Notes how long each stage took, and logs it at the end, in seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stages = [Staged("start-up, on the CPU", time.process_time())]

    def told(self, event: Event) -> None:
        """See ports.Observer."""
        if isinstance(event, Staged):
            self._stages.append(event)
        elif isinstance(event, Finished):
            for stage in self._stages:
                self._console.note(f"{stage.name:<24}{stage.seconds:9.3f} s")
