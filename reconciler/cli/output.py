"""A plan in each of its formats, for stdout and for files."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from reconciler.cli.console import Console, settings_folder
from reconciler.cli.destinations import write_file
from reconciler.cli.links import links
from reconciler.planning.saved_plan import SavedPlan
from reconciler.render.text import View, plan_text

_NO_VALUES: Mapping[str, Mapping[str, str]] = MappingProxyType({})


def render(
    saved: SavedPlan,
    options: argparse.Namespace,
    console: Console,
    values: Mapping[str, Mapping[str, str]] = _NO_VALUES,
) -> str:
    """Return the plan in the format that was asked for; `values` are sensitive ones to show, in text only."""
    if options.format == "json":
        return _json(saved)
    if options.format == "markdown":
        return markdown(saved, options, console)
    return text(saved, console, values)


def text(saved: SavedPlan, console: Console, values: Mapping[str, Mapping[str, str]] = _NO_VALUES) -> str:
    """Return the plan as text for this terminal."""
    return plan_text(saved.plan, saved.refusals, View(console.width, console.colour, values, console.command))


def _json(saved: SavedPlan) -> str:
    from reconciler.render.machine import plan_json  # noqa: PLC0415  # only where asked for

    return plan_json(saved.plan, saved.refusals, saved.warnings)


def markdown(saved: SavedPlan, options: argparse.Namespace, console: Console) -> str:
    """Return the plan as Markdown, with links where the environment says where we are."""
    from reconciler.render.markdown.plan import plan_markdown  # noqa: PLC0415  # only where asked for

    return plan_markdown(saved, links(settings_folder(options), os.environ), command=console.command)


def write_copies(saved: SavedPlan, options: argparse.Namespace, console: Console) -> None:
    """Write the plan into the files that were asked for beside what is shown."""
    folder = Path(options.directory or ".")
    if options.json_into:
        write_file(folder / options.json_into, _json(saved).encode())
    if options.markdown_into:
        write_file(folder / options.markdown_into, markdown(saved, options, console).encode())
