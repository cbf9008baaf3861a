"""`reconciler completion`: a script by which a shell completes commands, options, files, environments and addresses.

The scripts (`shells`) ask this command for addresses and environments, so that what is said before the cursor (`-C`,
`--env`) counts.
"""

from __future__ import annotations

import argparse
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

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
    from reconciler.cli.shells import script  # noqa: PLC0415  # shtab is for this only

    console.out(script(parser(), options.shell))
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
