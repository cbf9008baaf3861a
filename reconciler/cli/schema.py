"""`reconciler schema`: a format as JSON Schema, for editors and other programs."""

from __future__ import annotations

import argparse

from reconciler.cli.console import Console
from reconciler.errors import ExitCode
from reconciler.schemas import FORMATS, schema_text


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Print a schema, or say which there are."""
    if options.name:
        console.out(schema_text(options.name))
    else:
        console.out("".join(f"{name:<16}{what}\n" for name, what in FORMATS.items()))
    return ExitCode.DONE
