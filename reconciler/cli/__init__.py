"""The command line: wiring, printing and exit codes; all that is decided is decided elsewhere.

The pipeline is in plan.py and apply.py of this package, as a short sequence of named functions.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Final

from reconciler.cli.arguments import Told, glance, parse
from reconciler.cli.console import Console
from reconciler.cli.signals import listen
from reconciler.commandline import CommandLine
from reconciler.errors import ConfigError, DeclarationError, ExitCode, ReconcilerError, UsageError

_STDERR: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; no traceback reaches a user."""
    console = Console()
    return _complete(_guarded(arguments, console), console)


def _complete(code: int, console: Console) -> int:
    """Return the exit code, which is not that of success if what was asked for could not be printed."""
    return code if code or not console.cut else ExitCode.ERROR


def _guarded(arguments: Sequence[str] | None, console: Console) -> int:
    collecting = gc.isenabled()
    gc.disable()  # a run is short, and nothing large in it holds cycles: looking for them would only take time
    try:
        return _run(sys.argv[1:] if arguments is None else arguments, console)
    except KeyboardInterrupt:
        console.leave_line()
        console.error("interrupted" if console.sent else "interrupted; nothing was sent")
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001  # the last resort: no traceback reaches a user
        return _explain(error, console)
    finally:
        console.close()
        if arguments is None:
            gc.freeze()  # the process ends: nothing that is left needs to be looked through once more
        elif collecting:
            gc.enable()


def _explain(error: Exception, console: Console) -> ExitCode:
    """Say what is wrong, and return the exit code that says so too."""
    if not isinstance(error, ReconcilerError):
        console.error(*_unforeseen(error))
        return ExitCode.ERROR
    if isinstance(error, DeclarationError | ConfigError) and error.problems:
        console.problems(error.problems, Path() if isinstance(error, ConfigError) else None)
    console.error(str(error), console.hint(error))
    return error.exit_code


def _unforeseen(error: Exception) -> tuple[str, str]:
    """Return what is wrong, and what to do, where no check foresaw it."""
    match error:
        case RecursionError():
            return "the input is nested too deeply", ""
        case MemoryError():
            return "there is not enough memory", ""
        case ImportError() | SystemError():
            return f"a part can't be loaded: {error}", "Give it more memory (ulimit -v), or install reconciler anew."
        case OSError():
            # What is expected of files is mapped where it happens; this is the rest, said plainly.
            return f"{_named(error)}{error.strerror or error}", ""
        case _:
            return _as_bug(error), "Please report it. What was sent is saved as ever: run again once it is mended."


def _named(error: OSError) -> str:
    """Return what an error of the system is about, as far as it says so; asked where we are, it names nothing."""
    name = error.filename or ("the working folder" if isinstance(error, FileNotFoundError) else "")
    return f"{name}: " if name else ""


def _as_bug(error: Exception) -> str:
    """Return where it happened, and not the error's own words: they may hold what must not be shown."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    place = f" in {Path(frame.tb_frame.f_code.co_filename).name}, line {frame.tb_lineno}" if frame else ""
    return f"this is a mistake in reconciler: {type(error).__name__}{place}"


def _run(arguments: Sequence[str], console: Console) -> int:
    try:
        options = parse(arguments)
    except Told as told:
        console.out(str(told))
        return ExitCode.DONE
    except UsageError:
        console.configure(glance(arguments))
        console.command = CommandLine()  # of what can't be carried out, nothing is repeated
        raise
    console.configure(options)
    listen(signal.SIGINT, signal.SIGTERM)
    if options.command == "sandbox":
        gc.enable()  # it serves for days
    _occupy_standard_streams()
    # Each command's module is imported only when it runs: plan needs no HTTP, --version needs nothing.
    command = import_module(f"reconciler.cli.{options.command}")
    return int(command.run(options, console))


def _occupy_standard_streams() -> None:
    """Let no file that is opened, the state among them, become a standard stream that was closed at the start."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
