"""`reconciler ci check`: whether the files are there and the settings in force, as far as the token can see."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from reconciler.ci.files import pipeline_files
from reconciler.ci.platform import Setting
from reconciler.ci.rest import Forbidden, NotFound
from reconciler.cli.ci.init import Home, at_home
from reconciler.cli.console import Console
from reconciler.errors import ExitCode
from reconciler.render.words import count


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Look at each, and say what is wrong."""
    with at_home(options) as home:
        wrong = sum(_files(home, options, console))
        wrong += sum(_look(setting, console) for setting in home.settings)
        wrong += _branch(home, console)
    if wrong:
        console.error(f"{count(wrong, 'thing')} to mend")
    return ExitCode.ERROR if wrong else ExitCode.DONE


def _files(home: Home, options: argparse.Namespace, console: Console) -> Iterator[bool]:
    """Look whether the files are there; what they hold is their owner's."""
    for file in pipeline_files(home.name, home.place, forks=options.forks):
        there = (home.repository.root / file).exists()
        console.out(f"{'ok      ' if there else 'missing '} {file}\n")
        yield not there


def _look(setting: Setting, console: Console) -> bool:
    try:
        holds = setting.holds()
    except (Forbidden, NotFound) as error:
        # What a token may not see is not found, either.
        console.out(f"unseen   {setting.where}\n         {error}{f' {error.hint}' if error.hint else ''}\n")
        return False
    console.out(f"{'ok      ' if holds else 'missing '} {setting.where}\n")
    if not holds:
        console.out(f"         ({setting.why})\n")
    return not holds


def _branch(home: Home, console: Console) -> bool:
    """Look whether the files are for the branch that is the default one now: others set nothing off."""
    for file, text in pipeline_files(home.name, home.place, forks=False).items():
        path = home.repository.root / file
        branch = f"branches: [{home.place.branch}]"
        if branch in text and path.exists() and branch not in path.read_text(encoding="utf-8", errors="replace"):
            console.out(f"wrong    {file}: it is not for {home.place.branch}, so nothing is applied\n")
            return True
    return False
