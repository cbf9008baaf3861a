"""`--events`: what happens, a line of JSON each, while it happens."""

from __future__ import annotations

import argparse
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from reconciler.cli.clock import SystemClock
from reconciler.cli.console import Console
from reconciler.cli.lines import LineFile
from reconciler.delivery.course import Course
from reconciler.delivery.events import Event, Finished, OutputsChecked, Planned
from reconciler.delivery.workers import NoThread, started
from reconciler.errors import UsageError
from reconciler.render.events import EventLines, encoded
from reconciler.render.formats import EventJson

HEARTBEAT: Final = 10.0
"""Seconds of nothing after which a line says that the run goes on."""


class EventStream:
    """Writes the lines; from the plan on, a thread of its own writes heartbeats: declarations are read beside none."""

    def __init__(self, options: argparse.Namespace, console: Console, course: Course) -> None:
        if options.events == "-" and options.format != "text":
            raise UsageError(
                f"--events - and --format {options.format} both want stdout",
                hint="Write one of them into a file: --events FILE, or --json-into FILE.",
            )
        self._console = console
        self._file = LineFile(options.events, "events", Path(options.directory or "."), console)
        self._clock = SystemClock()
        self._lines = EventLines(options.command, self._clock.now, course)
        self._lock = threading.Lock()
        self._finished = threading.Event()
        self._last = 0.0
        self._write(self._lines.version())

    def told(self, event: Event) -> None:
        """See ports.Observer."""
        if isinstance(event, OutputsChecked):
            self._file.open()
            return
        if isinstance(event, Finished):
            event = Finished(self._console.completed(event.exit_code))
            self._finished.set()
        with self._lock:
            if line := self._lines.line(event):
                self._write(line)
        if isinstance(event, Planned):
            with suppress(NoThread):
                started(self._beat, "heartbeat", daemon=True)
        elif isinstance(event, Finished):
            self._file.close()

    def _write(self, line: EventJson) -> None:
        self._last = self._clock.monotonic()
        self._file.write(encoded(line))

    def _beat(self) -> None:
        while not self._finished.is_set():
            if (left := self._last + HEARTBEAT - self._clock.monotonic()) > 0:
                self._clock.wait(left, self._finished)
                continue
            with self._lock:
                if not self._finished.is_set():
                    self._write(self._lines.heartbeat())
