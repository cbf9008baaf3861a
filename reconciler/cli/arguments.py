"""The command line's shape: commands, options, their help. Parsing only; docs/cli.md holds the help as printed."""

from __future__ import annotations

import argparse
import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, Final, NoReturn

from reconciler import __version__
from reconciler.errors import UsageError
from reconciler.escape import readable

_EXIT_CODES: Final = """\
exit codes:
  0  done; nothing pending              5    refused by a guard
  1  error, or declined at the prompt   6    the state is locked
  2  changes pending                    7    outcomes are still unknown
     (plan --detailed-exitcode)         64   wrong usage
  3  the saved plan is stale            130  interrupted, state saved
  4  applied, but some requests failed
"""


_ADDRESS: Final[dict[str, Any]] = {"type": readable, "metavar": "ADDRESS", "help": "an externalid, or once:NAME"}
_REPEATED: Final = {
    "-C": "directory",
    "--config": "config",
    "--env": "env",
    "--interactions": "interactions",
    "--state": "state",
}


class Told(Exception):
    """The command line asks for what the parser knows itself, such as help; `str()` is that."""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong as our own error, with the documented exit code; prints nothing itself."""

    def _print_message(self, message: str, _file: object = None) -> NoReturn:
        raise Told(message)

    def error(self, message: str) -> NoReturn:
        if choice := re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message, re.DOTALL):
            self.refuse(message, choice[1], re.findall(r"[\w-]+", choice[2]))
        self.refuse(message)

    def refuse(self, message: str, given: str = "", known: Sequence[str] = ()) -> NoReturn:
        """Raise UsageError, with what of the known words was meant perhaps."""
        close = get_close_matches(given, known, 1)
        hint = f"Did you mean {close[0]}? What there is" if close else "What there is"
        raise UsageError(message, hint=hint, command=(*self.prog.split()[1:], "--help"))

    def unknown(self, given: str) -> NoReturn:
        """Raise UsageError for an option or an operand that this command doesn't take."""
        option = given.partition("=")[0] if given.startswith("-") else given
        self.refuse(f"unrecognized argument: {option}", option, re.findall(r"--?[\w-]+", self.format_usage()))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options; raises UsageError, and Told for `--help` and `--version`."""
    top = parser(arguments[0] if arguments else "")
    options, unknown = top.parse_known_args(arguments)
    if unknown:
        getattr(options, "parser", top).unknown(unknown[0])
    if not options.command:
        raise UsageError("which command?", hint="What there is", command=("--help",))
    return options


def glance(arguments: Sequence[str]) -> argparse.Namespace:
    """Return of a command line that can't be carried out the command and how to say so, at least."""
    options = _Parser(add_help=False, allow_abbrev=False)
    for name in ("--format", "--json-into"):
        options.add_argument(name)
    options.add_argument("command", nargs="?")
    _add_global_options(options, default=None)
    try:
        return options.parse_known_args(arguments)[0]
    except UsageError:  # one of these is the mistake
        return options.parse_args([])


def in_force(options: argparse.Namespace) -> tuple[str, ...]:
    """Return those of the options that another command must repeat, to be about the same folder, state and API."""
    given = ((flag, getattr(options, name)) for flag, name in _REPEATED.items())
    words = [word for flag, value in given if value for word in _option(flag, value)]
    return (*words, *(["--sandbox"] if options.sandbox else []))


def _option(flag: str, value: str) -> tuple[str, ...]:
    if not value.startswith("-"):
        return flag, value
    return (f"{flag}={value}" if flag.startswith("--") else flag + value,)


def parser(first: str = "") -> _Parser:
    """Return the whole parser; docs and tests read it too. Where `first` is a command, the others are left out."""
    top = _Parser(
        prog="reconciler",
        description="Keep a contact centre's open interactions equal to what YAML files declare.",
        epilog=_EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"reconciler {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser, dest="command")
    all_of_them = (
        _init,
        _validate,
        _fmt,
        _import,
        _plan,
        _show,
        _apply,
        _state,
        _history,
        _schema,
        _explain,
        _completion,
        _sandbox,
        _ci,
    )
    adders = {add.__name__: add for add in all_of_them}
    for add in [adders[f"_{first}"]] if f"_{first}" in adders else adders.values():
        add(commands)
    for command in commands.choices.values():
        _add_global_options(command)
    _add_global_options(top, default=None)
    return top


def _add_global_options(parser: argparse.ArgumentParser, default: str | None = argparse.SUPPRESS) -> None:
    """Add, as the last ones, the options that stand before or after the command; given after it, they win."""
    group = parser.add_argument_group("global options", argument_default=default)
    group.add_argument("-C", dest="directory", metavar="DIR", help="run as if started in DIR")
    group.add_argument("--config", metavar="FILE", help="the configuration (default: reconciler.yaml, if there is one)")
    group.add_argument(
        "--env", type=readable, metavar="NAME", help="use environments.NAME of the configuration and its own state"
    )
    group.add_argument("--interactions", metavar="PATH", help="the declarations: a folder or a file")
    group.add_argument("--state", metavar="PLACE", help="the state: a file, git:BRANCH or an object's URL")
    flag: dict[str, Any] = {"action": "store_true"}
    group.add_argument("--sandbox", **flag, help="work against a sandbox on this machine, with a state of its own")
    group.add_argument("--no-color", **flag, help="no colour, as with NO_COLOR set")
    group.add_argument("--log-format", choices=["text", "json"], help="how logs on stderr are written (default: text)")
    group.add_argument("-v", "--verbose", **flag, help="say more on stderr")


def _filled(text: str) -> str:
    """Return paragraphs as wide as the rest of the help; what begins with `#` is to be copied as it is."""
    width = max(11, shutil.get_terminal_size().columns - 2)  # as argparse has it
    paragraphs = (re.sub(r"\n(?!#)", " ", part.strip()) for part in text.split("\n\n"))
    return "\n\n".join("\n".join(_lines(part, width)) for part in paragraphs if part)


def _lines(paragraph: str, width: int) -> Iterator[str]:
    for line in paragraph.split("\n"):
        yield line if line.startswith("#") else textwrap.fill(line, width)


def _command(commands: Any, name: str, summary: str, more: str = "") -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=_filled(f"{summary[0].upper()}{summary[1:]}.\n\n{textwrap.dedent(more)}"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(parser=parser)
    return parser


def _init(commands: Any) -> None:
    from reconciler.config.urls import REGIONS  # noqa: PLC0415  # only where it is asked for

    parser = _command(
        commands,
        "init",
        "make a folder ready: a state, a configuration, an example",
        """
        Writes an empty state (serial 0, a new lineage), and, where there are none yet, reconciler.yaml and an example
        in interactions/. What git is to leave out, and to leave as it is, is added to .gitignore and .gitattributes.
        With --env, the environment is added to reconciler.yaml. Nothing else that exists is changed.
        """,
    )
    parser.add_argument("--region", choices=REGIONS, help="written into what is added to reconciler.yaml")


def _validate(commands: Any) -> None:
    parser = _command(commands, "validate", "check the declarations; needs no state, target or credentials")
    _json(parser, "sarif", "junit", "github", "gitlab")
    _show_sensitive(parser)


def _fmt(commands: Any) -> None:
    parser = _command(
        commands,
        "fmt",
        "bring YAML files into their canonical form",
        """
        Rewrites indentation, spaces and empty lines; what a file says, its comments, anchors and quotes stay. A file
        for which that can't be done is named, and left as it is. Lists the files that it rewrites.
        """,
    )
    paths = "files or folders (default: all declarations), or - to format stdin onto stdout"
    parser.add_argument("paths", metavar="PATH", nargs="*", help=paths)
    parser.add_argument("--check", action="store_true", help="rewrite nothing; 2 if a file would change")
    parser.add_argument("--diff", action="store_true", help="rewrite nothing; show what would change")


def _import(commands: Any) -> None:
    parser = _command(
        commands,
        "import",
        "make declarations of request bodies of the API, or of a table",
        """
        A PATH is a request body (JSON) or a folder of them; with a mapping, a table: CSV, or a JSON object a line where
        the name ends in .jsonl or .ndjson. Everything is checked first; where anything is wrong, nothing is written.
        """,
    )
    parser.add_argument("paths", metavar="PATH", nargs="+", help="what to import; - is stdin")
    parser.add_argument("--mapping", metavar="FILE", help="how the rows of a table become interactions (YAML)")
    parser.add_argument("--merge", action="store_true", help="update what is declared already, and add to files")
    parser.add_argument("--adopt", action="store_true", help="take what is imported as open already; nothing is sent")
    parser.add_argument("--dry-run", action="store_true", help="say what it would do; write nothing")
    _lock_timeout(parser)


def _plan(commands: Any) -> None:
    parser = _command(commands, "plan", "show what an apply would do; sends and writes nothing")
    _plan_formats(parser)
    _events(parser)
    parser.add_argument(
        "--detailed-exitcode",
        action="store_true",
        help="5 if a guard refuses, 2 if anything would be sent, 7 if something is held, else 0",
    )
    parser.add_argument("--out", metavar="FILE", help="save the plan, with its approvals, to apply exactly this")
    parser.add_argument("--timings", action="store_true", help="say on stderr where the time went")
    _selection(parser)
    _approvals(parser)
    _no_seals(parser)
    _show_sensitive(parser)


def _show(commands: Any) -> None:
    parser = _command(commands, "show", "show a saved plan")
    parser.add_argument("plan", metavar="PLAN", help="a file that `plan --out` wrote")
    _plan_formats(parser)


def _plan_formats(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=["text", "json", "markdown", "html"], default="text", help="default: text")
    _json_into(parser)
    parser.add_argument("--markdown-into", metavar="FILE", help="write it as Markdown into FILE, for a comment")
    _page(parser)
    _detail(parser)


def _json(parser: argparse.ArgumentParser, *more: str) -> None:
    parser.add_argument("--format", choices=["text", "json", *more], default="text", help="default: text")
    _json_into(parser)


def _json_into(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json-into", metavar="FILE", help="write it as JSON into FILE, besides showing it")


def _events(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--events", metavar="FILE", help="write what happens into FILE while it does; `-` is stdout")
    parser.add_argument("--trace", metavar="FILE", help="write where the time went into FILE, for ui.perfetto.dev")


def _page(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--html-into", metavar="FILE", help="write it as a page into FILE, to search and filter in")


def _detail(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--concise", action="store_true", help="as text: only counts, and a line for each group")
    group.add_argument("--full", action="store_true", help="as text: every change, however many there are")


def _apply(commands: Any) -> None:
    parser = _command(
        commands,
        "apply",
        "dispatch and release what the plan says, and record what became of it",
        """
        Shows the plan and asks, then saves what it is about to do, sends it, and records each outcome. Run it again
        after a failure, an interruption or a crash: nothing is lost or doubled.
        """,
    )
    parser.add_argument("plan", metavar="PLAN", nargs="?", help="apply exactly this saved plan; exit 3 if it is stale")
    parser.add_argument("--auto-approve", action="store_true", help="do not ask; needed where there is no terminal")
    parser.add_argument("--new-state", action="store_true", help="start with an empty state where there is none")
    _json(parser)
    _events(parser)
    _page(parser)
    _detail(parser)
    _lock_timeout(parser)
    _setting(parser, "parallelism", "N")
    _setting(parser, "timeout", "S")
    _selection(parser)
    _approvals(parser)
    _no_seals(parser)
    _show_sensitive(parser)


def _selection(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "choosing a part",
        _filled(
            "A SELECTOR is an address, a pattern ('crm-*'), file:PATH, route:NAME or provider:NAME; may be repeated."
        ),
    )
    selected: dict[str, Any] = {"action": "append", "default": [], "type": readable, "metavar": "SELECTOR"}
    group.add_argument("--target", **selected, help="only what it selects")
    group.add_argument("--exclude", **selected, help="not what it selects")
    group.add_argument("--target-file", action="append", default=[], metavar="FILE", help="selectors, one a line")
    group.add_argument("--exclude-file", action="append", default=[], metavar="FILE", help="likewise")


def _no_seals(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-seals", action="store_true", help="read every file, the ones that are sealed too")


def _approvals(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("approvals of what a guard refuses")
    group.add_argument("--allow-releases", type=_count, metavar="N", help="allow N releases, and no more")
    group.add_argument("--allow-dispatches", type=_count, metavar="N", help="allow N dispatches, and no more")
    group.add_argument("--allow-empty", action="store_true", help="allow that nothing at all is declared")
    group.add_argument(
        "--allow-outside", type=_count, metavar="N", help="allow that N were declared outside of what is read"
    )
    older = "allow that COMMIT, which is checked out, does not follow the one applied last"
    group.add_argument("--allow-older-commit", type=_commit, metavar="COMMIT", help=older)


def _setting(parser: argparse.ArgumentParser, key: str, metavar: str) -> None:
    """Add a key of the configuration as a flag, in the words of config/settings.py; it is checked there, too."""
    from reconciler.schemas import described  # noqa: PLC0415  # only where it is asked for

    said, default = described("config", key)
    parser.add_argument(
        f"--{key}", metavar=metavar, help=f"{said[0].lower()}{said[1:].rstrip('.')} (default: {default})"
    )


def _lock_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--lock-timeout", type=_seconds, default=0.0, metavar="S", help="wait up to S seconds for the lock (default: 0)"
    )


def _show_sensitive(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--show-sensitive", action="store_true", help="show sensitive values that are declared; on a terminal only"
    )


def _state(commands: Any) -> None:
    parser = _command(commands, "state", "look at the state, or mend it")
    below = parser.add_subparsers(
        title="commands", metavar="COMMAND", parser_class=_Parser, dest="subcommand", required=True
    )
    listing = _command(below, "list", "list what is open, pending and failed")
    _selection(listing)
    for standing, of in (("failed", "a failed request"), ("unknown", "an unknown outcome"), ("held", "a held request")):
        listing.add_argument(f"--{standing}", action="store_true", help=f"only interactions with {of}")
    story = _command(below, "show", "tell an interaction's story")
    story.add_argument("address", **_ADDRESS)
    remove = _command(below, "rm", "forget an interaction; nothing is sent, it stays open")
    remove.add_argument("addresses", **_ADDRESS, nargs="+")
    move = _command(below, "mv", "rename a once, so that it is not dispatched again")
    move.add_argument("source", type=readable, metavar="FROM", help="once:OLD")
    move.add_argument("destination", type=readable, metavar="TO", help="once:NEW")
    resolve = _command(below, "resolve", "say what became of a request that only a person can look up")
    resolve.add_argument("addresses", **_ADDRESS, nargs="*")
    resolve.add_argument(
        "--as", dest="applied", choices=["applied", "not-applied"], required=True, help="what happened"
    )
    _selection(resolve)
    adopt = _command(
        below,
        "adopt",
        "take what is declared as open already; nothing is sent",
        """
        For a first roll-out onto what is open already, and for a state that was lost. What is adopted is taken to be
        open exactly as it is declared, with its provider. Refused where the state knows otherwise.
        """,
    )
    adopt.add_argument("addresses", **_ADDRESS, nargs="*")
    adopt.add_argument("--all-declared", action="store_true", help="all that is declared")
    _selection(adopt)
    lineage = _command(below, "new-lineage", "make this state one of its own, after an old one was put back")
    _command(below, "pull", "print the state, wherever it is kept, with what a journal adds")
    migration = _command(
        below,
        "migrate",
        "bring the state to another place",
        """
        Places are written as in the configuration: a file, git:BRANCH or an object's URL. Lineage and serial stay, a
        journal is taken along, and the old place says from then on where the state went.
        """,
    )
    migration.add_argument("source", metavar="FROM", help="where it is")
    migration.add_argument("destination", metavar="TO", help="where it is to be")
    unlock = _command(below, "unlock", "take the lock of a shared state from a run that is dead, or is to stop")
    unlock.add_argument("lock", metavar="LOCK", help="the lock's id, as whoever was refused is told")
    for command in (remove, move, resolve, adopt):
        command.add_argument("--dry-run", action="store_true", help="say what it would do; write nothing")
    for command in (remove, move, resolve, adopt, lineage, migration):
        _lock_timeout(command)
    for command in (listing, story, remove, move, resolve, adopt, lineage):
        _json(command)
    for command in below.choices.values():
        _add_global_options(command)


def _history(commands: Any) -> None:
    parser = _command(commands, "history", "tell what the last applies did, the newest first")
    parser.add_argument("--format", choices=["text", "json"], default="text", help="default: text")
    parser.add_argument("--limit", type=_count, metavar="N", help="at most N (default: all that are remembered)")


def _schema(commands: Any) -> None:
    from reconciler.schemas import FORMATS  # noqa: PLC0415  # only where it is asked for

    parser = _command(
        commands,
        "schema",
        "print the JSON Schema of a format; without a name, say which there are",
        """
        Editors complete and check a file by the schema that its first line names, as in the files that init makes:
        # yaml-language-server: $schema=../.reconciler/schemas/declarations.json
        """,
    )
    parser.add_argument("name", nargs="?", choices=[*FORMATS], metavar="NAME", help=", ".join(FORMATS))


def _explain(commands: Any) -> None:
    parser = _command(
        commands, "explain", "say what a code means, with an example, and what to do; without a code, list them all"
    )
    parser.add_argument("code", nargs="?", metavar="CODE", help="of a problem, a guard or an exit: unquoted, 5")


def _completion(commands: Any) -> None:
    parser = _command(
        commands,
        "completion",
        "print a script that completes commands for a shell",
        """
        To have it in each shell:

        # bash: reconciler completion bash > ~/.local/share/bash-completion/completions/reconciler
        # zsh:  reconciler completion zsh > a folder of $fpath/_reconciler
        # fish: reconciler completion fish > ~/.config/fish/completions/reconciler.fish
        """,
    )
    shells = ["bash", "zsh", "fish"]
    parser.add_argument(
        "shell", choices=[*shells, "addresses", "environments"], metavar="SHELL", help=", ".join(shells)
    )
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)


def _sandbox(commands: Any) -> None:
    parser = _command(
        commands,
        "sandbox",
        "serve the sandbox on this machine, until Ctrl-C",
        """
        Emulates the documented API on loopback. Point reconciler at it with RECONCILER_BASE_URL; any credentials
        will do. With --fault it misbehaves on demand (docs/sandbox.md).
        """,
    )
    parser.add_argument("--port", type=_port, default=8080, metavar="N", help="default: 8080; 0 takes a free one")
    parser.add_argument("--memory", metavar="FILE", help="remember between runs in FILE (default: forget)")
    parser.add_argument("--latency", type=_seconds, default=0.0, metavar="S", help="answer after S seconds")
    parser.add_argument("--fault", action="append", default=[], metavar="FAULT", help="misbehave; may be repeated")


def _ci(commands: Any) -> None:
    from reconciler.config.urls import REGIONS  # noqa: PLC0415  # only where it is asked for

    parser = _command(commands, "ci", "run in a pipeline of GitHub or GitLab, or set one up")
    below = parser.add_subparsers(
        title="commands", metavar="COMMAND", parser_class=_Parser, dest="subcommand", required=True
    )
    plan = _command(
        below,
        "plan",
        "show a pull request its plan; after the merge, say what may be done",
        """
        Needs no credentials of the API. In a pull request, its plan becomes a comment and a status. After the merge,
        in a schedule and where a person started it, the output `next` says what the next job may do.
        """,
    )
    plan.add_argument("--approve", metavar="FINGERPRINT", help="approve the changes that an earlier run named by it")
    _command(below, "comment", "plan a pull request from a fork as data, in a job that may write, and show it")
    apply = _command(below, "apply", "apply what was reviewed or approved, and say so in the pull requests")
    apply.add_argument("--approved", metavar="CHANGES", help="the output `approved` of `ci plan`, if a person approved")
    for command in (plan, apply):
        command.add_argument("--allow", metavar="WORDS", help="approvals of what a guard refuses: '--allow-releases 9'")
    _command(below, "retry", "apply a reviewed merge that nothing has applied yet, else retry what is due")
    init = _command(
        below,
        "init",
        "make the files of a pipeline, and its state, for the repository at hand",
        """
        Writes what is missing: all that `init` by itself does, and the pipeline's files, for the default branch and,
        with --env, for an environment. Then tells which settings remain. Nothing that is there is changed.
        """,
    )
    init.add_argument("--region", choices=REGIONS, help="written into a new reconciler.yaml")
    init.add_argument(
        "--store", default="git:reconciler-state", metavar="PLACE", help="the state (default: %(default)s)"
    )
    check = _command(below, "check", "look whether the files are there and the settings in force")
    for command in (init, check):
        command.add_argument("--platform", choices=["github", "gitlab"], help="default: by the remote's address")
        command.add_argument("--uses", default="", metavar="OWNER/NAME@COMMIT", help="where jobs get reconciler from")
        command.add_argument("--forks", action="store_true", help="plan the pull requests of forks, too")
    for command in below.choices.values():
        _add_global_options(command)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):  # noqa: PLR2004  # far above any count
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 up")
    return int(text)


def _commit(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{7,64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a commit, of at least seven hexadecimal digits")
    return text


def _port(text: str) -> int:
    port = _count(text)
    if port > 65535:  # noqa: PLR2004  # the last port
        raise argparse.ArgumentTypeError(f"{text!r} is not a port")
    return port


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:  # noqa: PLR2004  # a day
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 86400")
    return seconds
