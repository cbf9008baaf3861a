"""An error as people and scripts meet it: what is wrong, what to do, and the exit code that says so too."""

from __future__ import annotations

from pathlib import Path

from reconciler.commandline import CommandLine
from reconciler.delivery.events import Erred
from reconciler.errors import ConfigError, DeclarationError, ExitCode, ReconcilerError


def explained(error: Exception, command: CommandLine) -> Erred:
    """Return what is wrong and what to do next; `command` is how the next one is to be called."""
    if not isinstance(error, ReconcilerError):
        message, hint = _unforeseen(error)
        return Erred("unforeseen", message, ExitCode.ERROR, hint)
    problems = error.problems if isinstance(error, DeclarationError | ConfigError) else ()
    todo = command(*error.command) if error.command else ""
    return Erred(error.code, str(error), error.exit_code, error.hint, todo, problems)


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
