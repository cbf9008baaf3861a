"""What shtab makes of the parser: scripts by which shells complete. The wheel has them, too (hatch_build.py)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from shtab import DIRECTORY, FILE, complete


def script(top: argparse.ArgumentParser, shell: str) -> str:
    """Return the script for bash, zsh or fish."""
    return complete(_told(top), shell) + "\n"


def _told(top: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Return the parser, with what each word may be as shtab wants to be told."""
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
