"""`reconciler validate`: all problems of all declarations, in one run."""

from __future__ import annotations

import argparse

from reconciler.cli.console import Console
from reconciler.cli.destinations import check_outputs
from reconciler.cli.output import present
from reconciler.cli.workspace import kept, open_workspace, read_declarations
from reconciler.errors import DeclarationError, ExitCode
from reconciler.render.machine import problems_json
from reconciler.render.problems import problems_text
from reconciler.render.words import count


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Check the declarations; the problems are the data, so they go to stdout."""
    workspace = open_workspace(options, console)
    check_outputs(options, kept(workspace, options), console)
    try:
        declarations = read_declarations(workspace, console, reveal=options.show_sensitive)
    except DeclarationError as error:
        problems = error.problems
        present(lambda: problems_text(problems, console.style), lambda: problems_json(problems), options, console)
        if options.format == "text":
            console.error(str(error), console.hint(error))
        console.annotate(problems)
        return error.exit_code
    found = f"{count(len(declarations.interactions), 'interaction')} in {count(declarations.files, 'file')}"
    present(lambda: f"Valid: {found}.\n", lambda: problems_json(declarations.warnings), options, console)
    return ExitCode.DONE
