"""`reconciler validate`: all problems of all declarations, in one run."""

from __future__ import annotations

import argparse

from reconciler.cli.console import Console
from reconciler.cli.workspace import open_workspace, read_declarations
from reconciler.errors import DeclarationError, ExitCode
from reconciler.render.machine import problems_json
from reconciler.render.problems import problems_text
from reconciler.render.words import count


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Check the declarations; the problems are the data, so they go to stdout."""
    workspace = open_workspace(options, console)
    try:
        declarations = read_declarations(workspace, console, reveal=options.show_sensitive)
    except DeclarationError as error:
        if options.format == "json":
            console.out(problems_json(error.problems))
        else:
            console.out(problems_text(error.problems, console.style))
            console.error(str(error))
        console.annotate(error.problems)
        return error.exit_code
    if options.format == "json":
        console.out(problems_json(declarations.warnings))
    else:
        found = count(len(declarations.interactions), "interaction")
        console.out(f"Valid: {found} in {count(declarations.files, 'file')}.\n")
    return ExitCode.DONE
