"""The JSON of a run that was asked for it, however it ends: a script reads nothing else."""

from __future__ import annotations

import argparse
from pathlib import Path

from reconciler.cli.console import Console
from reconciler.cli.destinations import is_result, write_file
from reconciler.delivery.course import Course
from reconciler.delivery.events import Event, Finished, OutputsChecked
from reconciler.errors import ExitCode, ReconcilerError
from reconciler.render.result import apply_json, failure_json


class Result:
    """Prints what became of an apply, and of any other command why it failed: what else these print, they print."""

    def __init__(self, options: argparse.Namespace, console: Console, course: Course) -> None:
        self._options = options
        self._console = console
        self._course = course
        self._checked = False

    def told(self, event: Event) -> None:
        """See ports.Observer."""
        if isinstance(event, OutputsChecked):
            self._checked = True
        elif isinstance(event, Finished) and (text := self._text(event.exit_code)):
            self._write(text)

    def _text(self, exit_code: ExitCode) -> str:
        if self._options.command == "apply":
            return apply_json(self._course, exit_code, self._console.command)
        return failure_json(self._course.error) if self._course.error else ""

    def _write(self, text: str) -> None:
        if self._options.format == "json":
            self._console.out(text)
        if not (name := getattr(self._options, "json_into", None)):
            return
        path = Path(self._options.directory or ".") / name
        try:
            # What was not found harmless is written only where an earlier run wrote, so that nothing old is read there.
            if self._checked or is_result(path):
                write_file(path, [text.encode()])
        except ReconcilerError as error:
            self._console.cut = True
            self._console.error(str(error))
