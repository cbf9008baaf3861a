"""`reconciler completion`: a script by which a shell completes commands, options, files, environments and addresses.

The scripts are shtab's, made of the parser. For addresses and environments they ask this command, so that what is said
before the cursor (`-C`, `--env`) counts.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from reconciler.cli.arguments import glance, parser
from reconciler.cli.console import Console
from reconciler.cli.workspace import open_workspace
from reconciler.config.environments import names
from reconciler.config.layers import FILE_NAME
from reconciler.endless import read_bytes
from reconciler.errors import ExitCode, ReconcilerError

_PLAIN: Final = re.compile(r"[\w.:@%+,/-]+", re.ASCII)
"""What no shell reads as anything else: bash expands what it is given to choose from."""


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Print a shell's script; or, for that script, what may stand at the cursor, a line each."""
    if options.shell in {"addresses", "environments"}:
        asked = glance(options.words)
        with suppress(ReconcilerError, OSError):  # where nothing is known, nothing is completed
            found = _addresses(asked, console) if options.shell == "addresses" else _environments(asked)
            console.out("".join(f"{name}\n" for name in sorted(found) if _PLAIN.fullmatch(name)))
        return ExitCode.DONE
    from shtab import complete  # noqa: PLC0415  # only for this

    console.out(complete(_told(parser()), options.shell) + "\n")
    return ExitCode.DONE


def _addresses(asked: argparse.Namespace, console: Console) -> set[str]:
    """Return what the state knows; one that is kept elsewhere would be waited for too long."""
    workspace = open_workspace(asked, console)
    if workspace.state_path is None:
        return set()
    state = workspace.store.read().state
    return {*state.interactions, *state.chains(), *state.failures()}


def _environments(asked: argparse.Namespace) -> list[str]:
    return names(read_bytes(Path(asked.directory or ".") / (asked.config or FILE_NAME)))


def _told(top: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Return the parser, with what each word may be as shtab wants to be told."""
    from shtab import DIRECTORY, FILE  # noqa: PLC0415

    of = {"DIR": DIRECTORY, "ADDRESS": _asking("addresses"), "SELECTOR": _asking("addresses")}
    of |= dict.fromkeys(("FILE", "PATH", "PLAN"), FILE)
    for action in _actions(top):
        kind = _asking("environments") if action.dest == "env" else of.get(str(action.metavar))
        if kind:
            action.complete = kind  # type: ignore[attr-defined]  # where shtab looks for it
    return top


def _actions(top: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in top._actions:  # noqa: SLF001  # argparse has no public way, and shtab takes this one
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for command in action.choices.values():
                yield from _actions(command)


def _asking(what: str) -> dict[str, Any]:
    """Return how each shell asks us; the words before the cursor are handed on as they are."""
    asked, name = f"reconciler completion {what} --", f"_reconciler_{what}"
    before = '"${COMP_WORDS[@]:1:COMP_CWORD-1}"'
    bash = f'{name}() {{\n  compgen -W "$({asked} {before} 2>/dev/null)" -- "$1"\n}}'
    zsh = f'{name}() {{\n  compadd -- ${{(f)"$({asked} ${{words[2,CURRENT-1]}} 2>/dev/null)"}}\n}}'
    fish = f"({asked} (commandline -opc)[2..-1] 2>/dev/null)"
    return {"bash": name, "zsh": name, "fish": fish, "preamble": {"bash": bash, "zsh": zsh}}
