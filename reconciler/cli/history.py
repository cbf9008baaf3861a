"""`reconciler history`: what each apply did, as far as the state remembers. Needs no lock."""

from __future__ import annotations

import argparse

from reconciler.cli.console import Console
from reconciler.cli.workspace import open_workspace
from reconciler.errors import ExitCode
from reconciler.render.history import history_json, history_text


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Print the last applies, the newest first."""
    state = open_workspace(options, console).store.read().state
    runs = state.history[::-1][: options.limit]
    console.out(history_json(state, runs) if options.format == "json" else history_text(runs, console.width))
    return ExitCode.DONE
