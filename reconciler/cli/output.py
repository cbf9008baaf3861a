"""A plan in each of its formats, for stdout and for files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from reconciler.cli.console import Console
from reconciler.errors import ReconcilerError
from reconciler.planfile import SavedPlan
from reconciler.render.machine import plan_json
from reconciler.render.text import plan_text

_NO_VALUES: Mapping[str, Mapping[str, str]] = MappingProxyType({})


def render(saved: SavedPlan, form: str, console: Console, values: Mapping[str, Mapping[str, str]] = _NO_VALUES) -> str:
    """Return the plan as text for this terminal, or as JSON; `values` are sensitive ones to show, in text only."""
    if form == "json":
        return plan_json(saved.plan, saved.refusals, saved.warnings)
    return plan_text(saved.plan, saved.refusals, width=console.width, colour=console.colour, values=values)


def write_file(path: Path, data: bytes) -> None:
    """Write a file as a whole, the user's alone; a reader never sees half of it."""
    spare = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        spare.replace(path)
    except OSError as error:
        spare.unlink(missing_ok=True)
        raise ReconcilerError(f"{path}: it can't be written: {error.strerror}") from error
