"""`reconciler validate`: all problems of all declarations, in one run."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from reconciler.cli.console import Console, settings_folder
from reconciler.cli.destinations import check_outputs, write_file
from reconciler.cli.explain import explanations
from reconciler.cli.links import located
from reconciler.cli.workspace import kept, open_workspace, read_declarations
from reconciler.declarations.loader import Declarations
from reconciler.errors import DeclarationError, ExitCode, GuardRefusal, Problem, explained
from reconciler.render import checks
from reconciler.render.annotations import problem_annotations
from reconciler.render.machine import problems_json
from reconciler.render.problems import problems_text
from reconciler.render.words import count

_TOOLS: Final[Mapping[str, Callable[[Sequence[Problem]], str]]] = {
    "sarif": lambda problems: checks.sarif(problems, explanations()),
    "junit": checks.junit,
    "gitlab": checks.code_quality,
    "github": lambda problems: "".join(problem_annotations(problems)),
}


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Check the declarations; the problems are the data, so they go to stdout."""
    console.annotates = options.format != "github"  # there they are the data
    workspace = open_workspace(options, console)
    check_outputs(options, kept(workspace, options), console)
    try:
        declarations = read_declarations(workspace, console, reveal=options.show_sensitive)
    except DeclarationError as error:
        _present(error.problems, problems_text(error.problems, console.style), options, console)
        if options.format == "text":
            console.error(str(error), console.hint(error))
        console.annotate(error.problems)
        return error.exit_code
    if declarations.denied:
        return _denied(declarations, options, console)
    found = f"{count(len(declarations.interactions), 'interaction')} in {count(declarations.files, 'file')}"
    _present(declarations.warnings, f"Valid: {found}.\n", options, console)
    return ExitCode.DONE


def _denied(declarations: Declarations, options: argparse.Namespace, console: Console) -> ExitCode:
    """Show what the policy denies; its warnings were shown already, but are data too."""
    problems = sorted((*declarations.denied, *declarations.warnings))
    _present(problems, problems_text(declarations.denied, console.style), options, console)
    wrong = f"{count(len(declarations.denied), 'problem')} with the policy; nothing was sent."
    hint, command = explained(declarations.denied)
    error = GuardRefusal(wrong, hint=hint, command=command)
    if options.format == "text":
        console.error(str(error), console.hint(error))
    console.annotate(declarations.denied)
    return error.exit_code


def _present(problems: Sequence[Problem], text: str, options: argparse.Namespace, console: Console) -> None:
    """Show the problems in the format that was asked for, in those of other tools with paths from the repository."""
    if render := _TOOLS.get(options.format):
        shown = render(located(problems, settings_folder(options), os.environ))
        console.out(shown, commands=options.format == "github")
    else:
        console.out(problems_json(problems) if options.format == "json" else text)
    if options.json_into:
        write_file(Path(options.directory or ".") / options.json_into, [problems_json(problems).encode()])
