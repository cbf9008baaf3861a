"""The summary of the job that we run in, where it has one: the plan, or what became of it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from reconciler.cli.console import Console
from reconciler.cli.destinations import SUMMARY
from reconciler.cli.output import markdown
from reconciler.delivery.report import Report
from reconciler.planning.plan import Plan
from reconciler.planning.saved_plan import SavedPlan, differences
from reconciler.render.stale import why_stale

SUMMARY_LIMIT: Final = 1_048_576
"""GitHub takes so many bytes from a step, or none at all."""


def summarise_plan(shown: SavedPlan, options: argparse.Namespace, console: Console) -> None:
    """Add a plan that is not carried out."""
    _add(lambda: markdown(shown, options, console), console)


def summarise_stale(then: Plan, now: Plan, environment: str | None, console: Console) -> None:
    """Add what has come out differently since a plan was saved."""

    def said() -> str:
        from reconciler.render.markdown.report import stale_markdown  # noqa: PLC0415  # only in a pipeline

        return stale_markdown(differences(then, now), why_stale(then, now), environment)

    _add(said, console)


def summarise_report(report: Report, environment: str | None, console: Console) -> None:
    """Add what became of a plan."""

    def said() -> str:
        from reconciler.render.markdown.report import report_markdown  # noqa: PLC0415  # only in a pipeline

        return report_markdown(report, environment, command=console.command)

    _add(said, console)


def summarise(text: str, console: Console) -> None:
    """Add a paragraph of Markdown."""
    _add(lambda: text, console)


def _add(said: Callable[[], str], console: Console) -> None:
    """Add to the summary; what can't be added is no reason to fail."""
    if not (path := os.environ.get(SUMMARY)):
        return
    data = said().encode() + b"\n"
    try:
        # A pipe is not waited for.
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            if file.tell() + len(data) <= SUMMARY_LIMIT:
                file.write(data)
            else:
                console.warn("the job's summary is full; this run is not in it")
    except OSError as error:
        console.warn(f"{Path(path)}: the job's summary can't be written: {error.strerror}")
