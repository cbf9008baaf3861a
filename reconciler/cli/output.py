"""A plan in each of its formats, for stdout and for files."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from reconciler.cli.console import Console, settings_folder
from reconciler.cli.destinations import write_file
from reconciler.cli.links import links
from reconciler.commandline import operands
from reconciler.planning.saved_plan import SavedPlan
from reconciler.render.outline import NO_VALUES
from reconciler.render.text import Detail, View, plan_text


def render(
    saved: SavedPlan,
    options: argparse.Namespace,
    console: Console,
    values: Mapping[str, Mapping[str, str]] = NO_VALUES,
) -> str:
    """Return the plan in the format that was asked for; `values` are sensitive ones to show, in text only."""
    if options.format == "json":
        return _json(saved)
    if options.format == "markdown":
        return markdown(saved, options, console)
    return plan_text(saved, view(options, console, values))


def view(options: argparse.Namespace, console: Console, values: Mapping[str, Mapping[str, str]] = NO_VALUES) -> View:
    """Return how a plan is shown on this terminal."""
    detail = Detail.FULL if options.full else Detail.CONCISE if options.concise else Detail.FITTING
    return View(console.width, console.style, values, console.command, detail, tuple(_whole(options)))


def _whole(options: argparse.Namespace) -> Iterator[str]:
    """Yield the words of the command that shows all of this plan."""
    saved = getattr(options, "plan", None)
    yield from ("show", "--full", *operands(saved)) if saved else ("plan", "--full")
    for name in () if saved else ("target", "exclude", "target-file", "exclude-file"):
        yield from (f"--{name}={selector}" for selector in getattr(options, name.replace("-", "_")))


def _json(saved: SavedPlan) -> str:
    from reconciler.render.machine import plan_json  # noqa: PLC0415  # only where asked for

    return plan_json(saved)


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
