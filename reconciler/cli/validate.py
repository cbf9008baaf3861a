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
from reconciler.cli.workspace import Workspace, kept, open_workspace, read_declarations
from reconciler.errors import ConfigError, DeclarationError, ExitCode, GuardRefusal, Problem, ReconcilerError, explained
from reconciler.render import checks
from reconciler.render.annotations import problem_annotations
from reconciler.render.machine import problems_json
from reconciler.render.problems import problems_text
from reconciler.render.words import count

Problems = Sequence[Problem]
_TOOLS: Final[Mapping[str, Callable[[Sequence[Problem]], str]]] = {
    "sarif": lambda problems: checks.sarif(problems, explanations()),
    "junit": checks.junit,
    "gitlab": checks.code_quality,
    "github": lambda problems: "".join(problem_annotations(problems)),
}


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Check the declarations; the problems are the data, so they go to stdout."""
    console.annotates = options.format != "github"  # there they are the data
    workspace = _opened(options, console)
    check_outputs(options, kept(workspace, options), console)
    try:
        declarations = read_declarations(workspace, console, reveal=options.show_sensitive)
    except DeclarationError as error:
        return _failed(error, error.problems, (), options, console)
    if denied := declarations.denied:
        hint, command = explained(denied)
        wrong = f"{count(len(denied), 'problem')} with the policy; nothing was sent."
        refusal = GuardRefusal(wrong, hint=hint, command=command)
        return _failed(refusal, denied, declarations.warnings, options, console)
    found = f"{count(len(declarations.interactions), 'interaction')} in {count(declarations.files, 'file')}"
    _present(declarations.warnings, f"Valid: {found}.\n", options, console)
    return ExitCode.DONE


def _opened(options: argparse.Namespace, console: Console) -> Workspace:
    """Read the configuration; what is wrong in it is data for the tools, too."""
    try:
        return open_workspace(options, console)
    except ConfigError as error:
        if error.problems and options.format in _TOOLS:
            _show(error.problems, options, console)
        raise


def _failed(
    error: ReconcilerError, news: Problems, shown: Problems, options: argparse.Namespace, console: Console
) -> ExitCode:
    """End with an error; as data, its problems come with warnings that were shown already."""
    _present(sorted((*news, *shown)), problems_text(news, console.style), options, console)
    if options.format == "text":
        console.error(str(error), console.hint(error))
    console.annotate(news)
    return error.exit_code


def _present(problems: Problems, text: str, options: argparse.Namespace, console: Console) -> None:
    """Show the problems in the format that was asked for, in those of other tools with paths from the repository."""
    if options.format in _TOOLS:
        _show(problems, options, console)
    else:
        console.out(problems_json(problems) if options.format == "json" else text)
    if options.json_into:
        write_file(Path(options.directory or ".") / options.json_into, [problems_json(problems).encode()])


def _show(problems: Problems, options: argparse.Namespace, console: Console) -> None:
    shown = _TOOLS[options.format](located(problems, settings_folder(options), os.environ))
    console.out(shown, commands=options.format == "github")
