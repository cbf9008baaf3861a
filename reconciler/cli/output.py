"""A plan in each of its formats, for stdout and for files."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from reconciler.cli.console import Console, settings_folder
from reconciler.cli.destinations import write_file
from reconciler.cli.links import links
from reconciler.commandline import operands
from reconciler.delivery.report import Report
from reconciler.planning.saved_plan import SavedPlan
from reconciler.render.outline import NO_VALUES
from reconciler.render.text import Detail, View, plan_pieces


def render(
    saved: SavedPlan,
    options: argparse.Namespace,
    console: Console,
    values: Mapping[str, Mapping[str, str]] = NO_VALUES,
) -> Iterator[str]:
    """Yield the plan in the format that was asked for, piece by piece; `values` are shown in text only."""
    if options.format == "text":
        return text(saved, options, console, values)
    return _larger(_FORMATS[options.format](saved, options, console))


def text(
    saved: SavedPlan,
    options: argparse.Namespace,
    console: Console,
    values: Mapping[str, Mapping[str, str]] = NO_VALUES,
) -> Iterator[str]:
    """Yield the plan as text, piece by piece: whole, it may be as large as all that is declared."""
    return _larger(plan_pieces(saved, view(options, console, values)))


def _larger(pieces: Iterable[str]) -> Iterator[str]:
    """Yield the same in pieces that are worth a write each."""
    held: list[str] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _WRITE:
            yield "".join(held)
            held, size = [], 0
    yield "".join(held)


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


def _json(saved: SavedPlan, _options: argparse.Namespace, _console: Console) -> Iterable[str]:
    from reconciler.render.machine import plan_json_pieces  # noqa: PLC0415  # only where asked for

    return plan_json_pieces(saved)


def markdown(saved: SavedPlan, options: argparse.Namespace, console: Console) -> str:
    """Return the plan as Markdown, with links where the environment says where we are."""
    from reconciler.render.markdown.plan import plan_markdown  # noqa: PLC0415  # only where asked for

    return plan_markdown(saved, links(settings_folder(options), os.environ), command=console.command)


def html(saved: SavedPlan, options: argparse.Namespace, console: Console, report: Report | None = None) -> str:
    """Return the plan, or what became of it, as a page; links as in Markdown."""
    from reconciler.render.html.page import page  # noqa: PLC0415  # only where asked for

    return page(saved, links(settings_folder(options), os.environ), console.command, report)


_FORMATS: Final[Mapping[str, Callable[[SavedPlan, argparse.Namespace, Console], Iterable[str]]]] = {
    "json": _json,
    "markdown": lambda *of: [markdown(*of)],
    "html": lambda *of: [html(*of)],
}
_WRITE: Final = 1 << 16


def write_copies(saved: SavedPlan, options: argparse.Namespace, console: Console) -> None:
    """Write the plan into the files that were asked for beside what is shown."""
    for name, written in _FORMATS.items():
        if into := getattr(options, f"{name}_into"):
            write_file(
                Path(options.directory or ".") / into, map(str.encode, _larger(written(saved, options, console)))
            )


def write_page(saved: SavedPlan, options: argparse.Namespace, console: Console, report: Report | None = None) -> None:
    """Write the page of an apply, if it was asked for: the plan, and then what became of it."""
    if options.html_into:
        write_file(Path(options.directory or ".") / options.html_into, [html(saved, options, console, report).encode()])


def present(
    text: Callable[[], str], document: Callable[[], str], options: argparse.Namespace, console: Console
) -> None:
    """Show a result, as text or as a JSON document, and write that where it was asked for besides."""
    console.out(document() if options.format == "json" else text())
    if options.json_into:
        write_file(Path(options.directory or ".") / options.json_into, [document().encode()])
