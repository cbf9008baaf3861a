"""The command line: wiring, printing and exit codes; all that is decided is decided elsewhere.

The pipeline is in plan.py and apply.py of this package, as a short sequence of named functions.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from reconciler.cli.arguments import Told, glance, parse
from reconciler.cli.console import Console
from reconciler.cli.failure import explained
from reconciler.cli.signals import listen
from reconciler.commandline import CommandLine
from reconciler.delivery.events import Erred, Finished
from reconciler.errors import ExitCode, UsageError

NOTHING_SENT: Final = "interrupted; nothing was sent"
_STDERR: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; no traceback reaches a user."""
    console, collecting = Console(), gc.isenabled()
    gc.disable()  # a run is short, and nothing large in it holds cycles: looking for them would only take time
    try:
        code = _guarded(sys.argv[1:] if arguments is None else arguments, console)
        console.observers.told(Finished(code))
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    finally:
        console.close()
        if arguments is None:
            gc.freeze()  # the process ends: nothing that is left needs to be looked through once more
        elif collecting:
            gc.enable()
    return console.completed(code)


def _guarded(arguments: Sequence[str], console: Console) -> ExitCode:
    try:
        return _run(arguments, console)
    except KeyboardInterrupt:
        console.leave_line()
        erred = Erred("interrupted", "interrupted" if console.sent else NOTHING_SENT, ExitCode.INTERRUPTED)
    except Exception as error:  # noqa: BLE001  # the last resort: no traceback reaches a user
        erred = explained(error, console.command)
    console.failed(erred)
    return erred.exit_code


def _run(arguments: Sequence[str], console: Console) -> ExitCode:
    try:
        options = parse(arguments)
    except Told as told:
        console.out(str(told))
        return ExitCode.DONE
    except UsageError:
        seen = glance(arguments)
        console.configure(seen)
        _listen(seen, console)
        console.command = CommandLine()  # of what can't be carried out, nothing is repeated
        raise
    console.configure(options)
    _listen(options, console)
    listen(signal.SIGINT, signal.SIGTERM)
    if options.command == "sandbox":
        gc.enable()  # it serves for days
    _occupy_standard_streams()
    # Each command's module is imported only when it runs: plan needs no HTTP, --version needs nothing.
    command = import_module(f"reconciler.cli.{options.command}")
    console.observers.ended("load")
    return ExitCode(command.run(options, console))


def _listen(options: argparse.Namespace, console: Console) -> None:
    """Have those told what happens who were asked for; each is loaded only then."""
    asked, add = vars(options).get, console.observers.add
    if asked("timings"):
        from reconciler.cli.timings import Timings  # noqa: PLC0415

        add(Timings(console))
    printed = asked("format") == "json" or asked("json_into")
    if printed or asked("events"):
        from reconciler.delivery.course import Course  # noqa: PLC0415

        add(course := Course())
        if printed:
            from reconciler.cli.result import Result  # noqa: PLC0415

            add(Result(options, console, course))
        if asked("events"):
            from reconciler.cli.events import EventStream  # noqa: PLC0415

            console.silent = options.events == "-"
            add(EventStream(options, console, course))
    if asked("trace") or ("trace" in options and any(name.startswith("OTEL_") for name in os.environ)):
        from reconciler.cli.spans import Spans, sinks  # noqa: PLC0415

        add(Spans(options.command, sinks(options, console, os.environ)))


def _occupy_standard_streams() -> None:
    """Let no file that is opened, the state among them, become a standard stream that was closed at the start."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
