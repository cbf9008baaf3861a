"""`reconciler fmt`: YAML files in their canonical form; what they say stays."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from difflib import unified_diff
from pathlib import Path
from typing import NamedTuple

from reconciler.cli.console import Console
from reconciler.cli.destinations import rewrite_file
from reconciler.cli.workspace import open_workspace
from reconciler.declarations.discovery import Source, read, walk
from reconciler.declarations.parallel import cores, spread
from reconciler.errors import DeclarationError, ExitCode, Problem
from reconciler.render.words import count
from reconciler.yamlfile.formatting import formatted

_STDIN = "-"
_SPREAD_FILES = 64  # a file takes a millisecond and more


class _Formatted(NamedTuple):
    """A file that is not in its canonical form, or what is wrong with it."""

    source: Source
    before: bytes = b""
    after: bytes = b""
    problems: tuple[Problem, ...] = ()


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Rewrite what isn't in canonical form, or say which files that are."""
    if options.paths == [_STDIN]:
        return _filter(options, console)
    sources, problems = _sources(options, console)
    processes = cores() if len(sources) >= _SPREAD_FILES else 1
    with spread(sources, _work, processes) as parts:
        found = sorted(each for part in parts for each in part)
    changed = [each for each in found if not each.problems]
    for each in changed:
        _show(each, options, console)
        if not options.check and not options.diff:
            rewrite_file(Path(each.source.path), each.before, each.after)
    problems += [problem for each in found for problem in each.problems]
    return _end(len(changed), len(sources), sorted(set(problems)), options, console)


def _filter(options: argparse.Namespace, console: Console) -> ExitCode:
    """Format stdin onto stdout, as editors ask for it."""
    (found,) = _formatted_data(Source(_STDIN, "<stdin>"), console.stdin.read())
    if found.problems:
        return _end(0, 1, list(found.problems), options, console)
    if options.check or options.diff:
        _show(found, options, console) if found.before != found.after else None
        return ExitCode.CHANGES if options.check and found.before != found.after else ExitCode.DONE
    console.out(found.after.decode())
    return ExitCode.DONE


def _sources(options: argparse.Namespace, console: Console) -> tuple[list[Source], list[Problem]]:
    """Return the YAML files among the declarations, or under the paths given."""
    settings = open_workspace(options, console).settings
    roots = [Path(options.directory or ".") / path for path in options.paths] or [settings.interactions]
    found = [walk(root, settings.folder) for root in roots]
    sources = {source for sources, _ in found for source in sources if not source.name.lower().endswith(".json")}
    return sorted(sources), [problem for _, problems in found for problem in problems]


def _work(sources: Sequence[Source]) -> list[_Formatted]:
    return [each for source in sources for each in _formatted_source(source)]


def _formatted_source(source: Source) -> Iterator[_Formatted]:
    data = read(source)
    if isinstance(data, Problem):
        yield _Formatted(source, problems=(data,))
        return
    yield from (each for each in _formatted_data(source, data) if each.problems or each.before != each.after)


def _formatted_data(source: Source, data: bytes) -> Iterator[_Formatted]:
    done = formatted(data, source.name)
    if isinstance(done, bytes):
        yield _Formatted(source, data, done)
    else:
        yield _Formatted(source, problems=tuple(done))


def _show(each: _Formatted, options: argparse.Namespace, console: Console) -> None:
    if not options.diff:
        console.out(f"{each.source.name}\n")
        return
    before, after = (data.decode(errors="replace").splitlines(keepends=True) for data in (each.before, each.after))
    console.out("".join(unified_diff(before, after, each.source.name, each.source.name)))


def _end(changed: int, among: int, problems: list[Problem], options: argparse.Namespace, console: Console) -> ExitCode:
    done = "would be formatted" if options.check or options.diff else "formatted"
    console.note(f"{changed} of {count(among, 'file')} {done}." if changed else "Nothing to format.")
    if problems:
        raise DeclarationError(tuple(problems))
    return ExitCode.CHANGES if options.check and changed else ExitCode.DONE
