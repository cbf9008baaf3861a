"""A run as spans: its stages, each Invocation, each save; for a trace file, and for a collector where one is named.

No body, no address and no sensitive value stands in them.
"""

from __future__ import annotations

import argparse
import json
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from reconciler.cli.console import Console
from reconciler.cli.lines import LineFile
from reconciler.delivery.answers import Accepted
from reconciler.delivery.events import Answered, Event, Finished, OutputsChecked, Saved, Staged
from reconciler.errors import ExitCode
from reconciler.render.events import proves

Attributes = Mapping[str, str | int]
_TRACEPARENT: Final = re.compile("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Span(NamedTuple):
    """A stretch of time, in nanoseconds since 1970; `lane` tells the threads of a run apart."""

    name: str
    began: int
    ended: int
    lane: int
    attributes: Attributes
    failed: bool = False


class Sink(Protocol):
    """Where spans go. Never raises."""

    def begin(self) -> None:
        """Write from now on: the outputs are nobody else's."""
        ...

    def add(self, span: Span) -> None:
        """Take one."""
        ...

    def end(self, whole: Span) -> None:
        """Take the one that all others lie in; nothing follows."""
        ...


def sinks(options: argparse.Namespace, console: Console, environ: Mapping[str, str]) -> Iterator[Sink]:
    """Yield those that were asked for: by `--trace`, and by the variables of OpenTelemetry."""
    parent = environ.get("TRACEPARENT", "")
    if options.trace:
        folder = Path(options.directory or ".")
        file = LineFile(options.trace, "the trace", folder, console)
        yield TraceFile(file, options.command, parent if _TRACEPARENT.fullmatch(parent) else "")
    from reconciler.cli.otel import Otel, wanted  # noqa: PLC0415  # its own imports are made only where it is wanted

    if wanted(environ, console):
        yield Otel(environ, console)


class Spans:
    """An Observer that makes spans of what has ended."""

    def __init__(self, command: str, sinks: Iterable[Sink]) -> None:
        self._began = time.time_ns()
        self._command = command
        self._sinks = tuple(sinks)
        self._lanes: dict[int, int] = {}
        self._lock = threading.Lock()

    def told(self, event: Event) -> None:
        """See ports.Observer."""
        match event:
            case OutputsChecked():
                for sink in self._sinks:
                    sink.begin()
            case Staged(name, seconds):
                self._add(name, seconds, {})
            case Saved(state, seconds):
                self._add("save", seconds, {"reconciler.state.serial": state.serial})
            case Answered():
                accepted = isinstance(event.answer, Accepted)
                self._add("invoke", event.seconds, dict(_facts(event)), failed=not accepted)
            case Finished(exit_code):
                self._end(exit_code)
            case _:
                pass

    def _add(self, name: str, seconds: float, attributes: Attributes, *, failed: bool = False) -> None:
        ended = time.time_ns()
        with self._lock:
            lane = self._lanes.setdefault(threading.get_ident(), len(self._lanes))
            began = ended - int(seconds * 1e9)
            self._began = min(self._began, began)  # the first stage began before anybody was told
            span = Span(name, began, ended, lane, attributes, failed)
            for sink in self._sinks:
                sink.add(span)

    def _end(self, exit_code: ExitCode) -> None:
        attributes: Attributes = {"reconciler.command": self._command, "process.exit.code": int(exit_code)}
        for sink in self._sinks:
            name, failed = f"reconciler {self._command}", exit_code != ExitCode.DONE
            sink.end(Span(name, self._began, time.time_ns(), 0, attributes, failed))


def _facts(event: Answered) -> Iterator[tuple[str, str | int]]:
    """Yield the attributes of a call; no words of the API."""
    if event.invocation.provider is not None:
        yield "reconciler.provider", event.invocation.provider
    yield "reconciler.requests", len(event.invocation.requests)
    yield "reconciler.invocation", event.number
    yield "reconciler.attempt", event.attempt
    yield "reconciler.answer", proves(event.answer)
    if event.answer.status is not None:
        yield "http.response.status_code", event.answer.status


class TraceFile:
    """Chrome's trace format, an event a line: ui.perfetto.dev opens it, also where a kill left it without its end."""

    def __init__(self, file: LineFile, command: str, parent: str) -> None:
        self._file = file
        self._parent = {"traceparent": parent} if parent else {}
        named = {"name": "process_name", "ph": "M", "pid": 1, "args": {"name": f"reconciler {command}"}}
        self._file.write(b"[\n" + _encoded(named) + b",\n")

    def begin(self) -> None:
        """See Sink."""
        self._file.open()

    def add(self, span: Span) -> None:
        """See Sink."""
        self._file.write(_encoded(_event(span, {})) + b",\n")

    def end(self, whole: Span) -> None:
        """See Sink."""
        self._file.write(_encoded(_event(whole, self._parent)) + b"\n]\n")
        self._file.close()


def _event(span: Span, more: Attributes) -> dict[str, object]:
    times = {"ts": span.began / 1000, "dur": (span.ended - span.began) / 1000}
    return {"name": span.name, "ph": "X", "pid": 1, "tid": span.lane, **times, "args": {**span.attributes, **more}}


def _encoded(event: dict[str, object]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()
