"""What a person or a pipeline sees: data on stdout, logs and progress on stderr. The only place that prints."""

from __future__ import annotations

import argparse
import codecs
import errno
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final, TextIO

from reconciler.cli.arguments import in_force
from reconciler.cli.observers import Observers
from reconciler.cli.terminal import has_colour, has_links, is_terminal, links_to, width
from reconciler.commandline import CommandLine
from reconciler.delivery.events import Erred
from reconciler.errors import ConfigError, ExitCode, Problem, ReconcilerError, UsageError
from reconciler.escape import readable, visible
from reconciler.render.style import ALARM, YELLOW, Style

_PLAIN: Final = {"·": "|", "→": "->", "…": "...", "•": "*"}
"""For an encoding that lacks what we draw with."""
_CLEAR: Final = "\r\x1b[K"
_READER_GONE: Final = frozenset({errno.EPIPE, errno.EIO, errno.EBADF})


class Console:
    """Writes; a reader that has gone away is no error, for what is being applied must still be finished and saved."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        # Python has None for a stream that was closed before the start (`2>&-`).
        self._stdout: TextIO | None = sys.stdout
        self._stderr: TextIO | None = sys.stderr
        self.terminal, self.error_terminal = map(is_terminal, (self._stdout, self._stderr))
        self.width, self.error_width = (width(environ, stream) for stream in (self._stdout, self._stderr))
        self._environ = environ
        self._folder = Path()
        self.style, self.error_style = self._styles(plain=False)
        self.json_log = False
        self.verbose = False
        self.command = CommandLine()
        """How the next command is to be called."""
        self.cut = False
        """Whether data is missing from stdout, for another reason than that its reader wanted no more."""
        self.sent = False
        """Whether this run has begun to send."""
        self.observers = Observers()
        """Who is told what happens in this run."""
        self.silent = False
        """Whether stdout is for a program alone, so that what is for people isn't shown there."""
        self.annotates = True
        """Whether problems are shown beside their lines, where GitHub's runner takes commands for that."""
        self._in_line = self._drawn = False
        self._runner = environ.get("GITHUB_ACTIONS") == "true"

    def configure(self, options: argparse.Namespace) -> None:
        """Take over what the command line says about output."""
        self._folder = settings_folder(options)
        self.style, self.error_style = self._styles(plain=options.no_color)
        self.json_log = options.log_format == "json"
        self.verbose = options.verbose
        self.command = CommandLine(in_force(options))

    def _styles(self, *, plain: bool) -> Iterator[Style]:
        for terminal in (self.terminal, self.error_terminal):
            links = links_to(self._folder) if has_links(self._environ, terminal=terminal) else None
            yield Style(not plain and has_colour(self._environ, terminal=terminal), links)

    def out(self, text: str, *, commands: bool = False) -> None:
        """Write data to stdout; `text` brings its own newline, and may be `commands` for GitHub's runner."""
        error = _write(self._stdout, text if commands else self._tame(text))
        if error is not None and error.errno not in _READER_GONE and not self.cut:
            self.cut = True
            self.error(f"what was asked for can't be printed: {error.strerror}")

    def say(self, text: str) -> None:
        """Write to stdout what is for people."""
        if not self.silent:
            self.out(text)

    def completed(self, code: ExitCode) -> ExitCode:
        """Return the exit code, which is not that of success if what was asked for could not be printed."""
        return code or (ExitCode.ERROR if self.cut else ExitCode.DONE)

    def failed(self, erred: Erred) -> None:
        """Log why the run ends early, and tell all who want to know."""
        if erred.problems:
            self.problems(erred.problems, Path() if erred.code == ConfigError.code else None)
        self.error(erred.message, _joined(erred.hint, erred.command))
        self.observers.told(erred)

    def hint(self, error: ReconcilerError) -> str:
        """Return what to do next, with the command to do it with."""
        command = self.command(*error.command) if error.command else ""
        return _joined(error.hint, command)

    def error(self, message: str, hint: str = "") -> None:
        """Log what is wrong and what to do next."""
        self._log("error", message, hint)

    def warn(self, message: str, hint: str = "") -> None:
        """Log what may be wrong."""
        self._log("warning", message, hint)

    def note(self, message: str) -> None:
        """Log something worth knowing."""
        self._log("info", message)

    def detail(self, message: str) -> None:
        """Log something for those who asked with -v."""
        if self.verbose:
            self._log("debug", message)

    def problems(self, problems: Sequence[Problem], folder: Path | None = None) -> None:
        """Log problems of files, which are named relative to `folder`, if not to where the settings are."""
        if not self.json_log:
            from reconciler.render.problems import problems_text  # noqa: PLC0415  # only where there are problems

            links = self.error_style.links and links_to(folder or self._folder)
            self.raw_error(problems_text(problems, self.error_style._replace(links=links)))
            self.annotate(problems)
            return
        for problem in problems:
            level = "warning" if problem.warning else "error"
            self._log_json(level, f"{problem.place}: {problem.message} [{problem.code}]", problem.hint)

    def annotate(self, problems: Sequence[Problem]) -> None:
        """Have GitHub show problems beside their lines."""
        if not (self._runner and self.annotates):
            return
        from reconciler.cli.links import located  # noqa: PLC0415  # only there
        from reconciler.render.annotations import SHOWN, problem_annotations  # noqa: PLC0415

        self.commands(problem_annotations(located(problems, self._folder, self._environ), SHOWN))

    def commands(self, lines: Iterable[str]) -> None:
        """Give GitHub's runner commands, where there is one: it reads them from both streams."""
        if self._runner and not self.json_log:
            _write(self._stderr, "".join(lines))

    def _tame(self, text: str) -> str:
        """Return the text; where GitHub's runner reads it, without anything that it would take for a command."""
        if not self._runner:
            return text
        from reconciler.render.annotations import without_commands  # noqa: PLC0415  # only there

        return without_commands(text)

    def _log(self, level: str, message: str, hint: str = "") -> None:
        if self.json_log:
            self._log_json(level, message, hint)
            return
        lead, code = {"error": ("Error:", ALARM), "warning": ("Warning:", YELLOW)}.get(level, ("", ""))
        lines = [*message.split("\n"), *(["  " + hint] if hint else [])]
        self.raw_error(
            (f"{self.error_style.paint(lead, code)} " if lead else "")
            + "\n".join(visible(line) for line in lines)
            + "\n"
        )

    def _log_json(self, level: str, message: str, hint: str) -> None:
        import json  # noqa: PLC0415  # only where asked for

        said = {"message": readable(message)} | ({"hint": readable(hint)} if hint else {})
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.raw_error(json.dumps({"time": time, "level": level, **said}) + "\n")

    def raw_error(self, text: str) -> None:
        """Write to stderr as is."""
        self._in_line = not text.endswith("\n")
        cleared, self._drawn = _CLEAR if self._drawn else "", False
        _write(self._stderr, cleared + self._tame(text))

    def draw(self, text: str) -> None:
        """Put a line on the terminal in the place of the one that was drawn before; whatever is written clears it."""
        if text or self._drawn:
            _write(self._stderr, f"\r{text}\x1b[K")
            self._drawn = bool(text)

    def leave_line(self) -> None:
        """Begin a line: after a question or a bar, and after the `^C` that a terminal shows of a key."""
        if self._in_line or self.error_terminal:
            self._drawn = False
            self.raw_error("\n")

    def ask(self, question: str) -> str:
        """Return the answer to a question; an end of input, or what is no text, is an empty one."""
        self.raw_error(question)
        try:
            answer = sys.stdin.readline()
        except (OSError, UnicodeDecodeError):
            answer = ""
        if answer.endswith("\n") and self.error_terminal:
            self._in_line = False
        else:
            self.raw_error("\n")
        return answer.strip()

    @property
    def stdin(self) -> BinaryIO:
        """What is piped in, as bytes; raises UsageError where there is nothing to read from."""
        if sys.stdin is None:
            raise UsageError("stdin is closed")
        return sys.stdin.buffer

    @property
    def can_ask(self) -> bool:
        """Whether somebody is there to answer."""
        return sys.stdin is not None and sys.stdin.isatty()

    def close(self) -> None:
        """Flush, and leave nothing for the interpreter to trip over at exit."""
        for stream in filter(None, (self._stdout, self._stderr)):
            try:
                stream.flush()
            except (OSError, ValueError):
                devnull = os.open(os.devnull, os.O_WRONLY)
                os.dup2(devnull, stream.fileno())


def _joined(hint: str, command: str) -> str:
    return ": ".join(filter(None, (hint, command)))


def settings_folder(options: argparse.Namespace) -> Path:
    """Return the folder that names and places are relative to, without reading the settings."""
    folder = Path(options.directory or ".")
    return (folder / options.config).parent if options.config else folder


def _write(stream: TextIO | None, text: str) -> OSError | None:
    """Write, and return what went wrong: a run goes on without its output, for it may be sending."""
    if stream is None:
        return None
    try:
        encoding = stream.encoding or "utf-8"
        stream.write(text.encode(encoding, "spelled").decode(encoding))
        stream.flush()
    except OSError as error:
        return error
    except (RuntimeError, ValueError):
        # A signal came in the middle of a write to the same stream, and its handler has something to say as well;
        # or the stream was closed.
        return None
    return None


def _spelled(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for characters that an encoding lacks: a plan must not get lost over an arrow."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    spelled = (_PLAIN.get(each) or each.encode("ascii", "backslashreplace").decode("ascii") for each in lacking)
    return "".join(spelled), error.end


codecs.register_error("spelled", _spelled)
