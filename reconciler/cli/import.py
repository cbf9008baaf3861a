"""`reconciler import`: API bodies and tables to declarations, all of it or nothing."""  # noqa: N999  # named as the command is

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from os.path import relpath
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from reconciler.cli.console import Console
from reconciler.cli.current_state import check_target
from reconciler.cli.destinations import rewrite_file
from reconciler.cli.drafts import Drafts
from reconciler.cli.state import adopt_addresses
from reconciler.cli.workspace import Workspace, open_workspace, read_declarations
from reconciler.declarations.discovery import Source, read, walk
from reconciler.errors import DeclarationError, ExitCode, Problem, ReconcilerError, UsageError
from reconciler.importing.bodies import body_of
from reconciler.importing.intake import Imported, Intake, same
from reconciler.importing.mapping import MappingRefused, RowMapping
from reconciler.importing.merging import Change, Edits, merged
from reconciler.importing.tables import csv_rows, json_rows
from reconciler.interaction import Interaction
from reconciler.render.words import count
from reconciler.yamlfile.reader import parse

_STDIN: Final = Source("-", "<stdin>")
_LINES: Final = (".jsonl", ".ndjson")
_OF_IMPORT: Final = "what is imported; nothing was written"


@dataclass(slots=True)
class _Import:
    """What becomes of what is imported, by file below the folder of declarations."""

    intake: Intake
    drafts: Drafts
    prefix: str
    console: Console
    new: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
    edits: defaultdict[str, Edits] = field(default_factory=lambda: defaultdict(Edits))
    in_the_way: set[str] = field(default_factory=set)

    def sort(self, imported: Imported, name: str) -> None:
        """Put an interaction where it belongs: nowhere, to what is to be changed, or into a file, old or new."""
        if (known := self.intake.declared.get(imported.interaction.address)) is not None:
            if same(known, imported):
                self.unchanged += 1
            elif self.intake.merge:
                self.edits[known.place.file].changes.append(Change(known, imported))
            return
        file = self.drafts.file_for(name)
        self.new[self.prefix + file] += 1
        if not self.drafts.exists(file):
            if not self.intake.problems:
                self.drafts.add(file, imported)
        elif self.intake.merge:
            self.edits[self.prefix + file].added.append(imported)
        else:
            self.in_the_way.add(self.prefix + file)


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Import; everything is read and checked before anything is written."""
    workspace = open_workspace(options, console)
    folder = workspace.settings.interactions
    if folder.is_file():
        raise UsageError(f"{folder}: the declarations are one file; an import needs a folder")
    declared = _declared(workspace, console)
    if options.adopt:
        check_target(workspace.store.read().state, workspace)
    name = _named(folder, workspace).name
    prefix = "" if name == "." else f"{name}/"
    counts = Counter(known.place.file.removeprefix(prefix) for known in declared.values())
    intake = Intake(workspace.settings.keys.rules, declared, options.merge)
    with Drafts(folder, counts) as drafts:
        found = _Import(intake, drafts, prefix, console)
        _take_in(found, workspace, options)
        rewritten = _checked(found, workspace)
        if options.dry_run:
            console.note("A dry run: nothing is written. Without --dry-run:")
        else:
            drafts.keep()
            for path, before, after in rewritten:
                rewrite_file(path, before, after)
    _tell(found)
    if options.adopt and not options.dry_run:
        adopt_addresses(intake.addresses, workspace, options, console)
    return ExitCode.DONE


def _declared(workspace: Workspace, console: Console) -> dict[str, Interaction]:
    """Return what is declared by now, without the bodies."""
    if not workspace.settings.interactions.exists():
        return {}
    declared = read_declarations(workspace, console).interactions
    return {each.address: each._replace(body=b"") for each in declared}


# -- reading -------------------------------------------------------------------------------------------------------


def _take_in(found: _Import, workspace: Workspace, options: argparse.Namespace) -> None:
    operands = [_STDIN if path == "-" else _named(_path(path, options), workspace) for path in options.paths]
    if options.mapping is None:
        for operand in operands:
            _take_bodies(operand, found, workspace)
        return
    if (mapping := _mapping(_named(_path(options.mapping, options), workspace), found.intake)) is not None:
        for operand in operands:
            _take_table(operand, mapping, found)


def _path(path: str, options: argparse.Namespace) -> Path:
    return Path(options.directory or ".") / path


def _named(path: Path, workspace: Workspace) -> Source:
    return Source(str(path), Path(relpath(path, workspace.settings.folder)).as_posix())


def _take_bodies(operand: Source, found: _Import, workspace: Workspace) -> None:
    """Take in a request body, or all of a folder, into a file of the operand's name."""
    if operand.name.lower().endswith((".csv", *_LINES)):
        raise UsageError(f"{operand.name}: a table needs a mapping", hint="Name one: --mapping FILE (docs/import.md).")
    sources = [operand]
    if Path(operand.path).is_dir():
        walked, problems = walk(Path(operand.path), workspace.settings.folder)
        sources = [source for source in walked if source.name.lower().endswith(".json")]
        found.intake.problems += problems
        if not sources:
            raise UsageError(f"{operand.name}: there is no .json in this folder")
    target = _file_of(operand)
    for source in sources:
        data = found.console.stdin.read() if source is _STDIN else read(source)
        if isinstance(data, Problem):
            found.intake.problems.append(data)
            continue
        parsed = parse(data, source.name, json=True)
        found.intake.problems += parsed.problems
        for document in () if parsed.problems else parsed.documents:
            body = body_of(document, source.name)
            found.intake.problems += body.problems
            found.intake.released += body.released
            for imported in found.intake.take(body.document, source.name, ("interactions[", "requests[")):
                found.sort(imported, target)


def _mapping(source: Source, intake: Intake) -> RowMapping | None:
    """Return how rows are read; None, with the problems taken in, where that can't be."""
    data = read(source)
    if isinstance(data, Problem):
        intake.problems.append(data)
        return None
    parsed = parse(data, source.name)
    if parsed.problems or len(parsed.documents) != 1:
        one = Problem(source.name, 0, 0, "not-a-mapping", "a mapping is one document")
        intake.problems += parsed.problems or [one]
        return None
    try:
        mapping = RowMapping(parsed.documents[0], source.name, intake.rules)
    except MappingRefused as refused:
        intake.problems += refused.problems
        return None
    intake.quiet = frozenset(problem.code for problem in mapping.warnings)
    intake.problems += mapping.warnings
    return mapping


def _take_table(operand: Source, mapping: RowMapping, found: _Import) -> None:
    with _opened(operand, found.console) as lines:
        if _is_json(operand, lines):
            rows = json_rows(lines, operand.name, mapping.columns)
        else:
            rows = csv_rows(lines, operand.name, mapping.columns, mapping.separator)
        for row in rows:
            if isinstance(row, Problem):
                found.intake.problems.append(row)
                continue
            target = mapping.file_of(row, operand.name)
            document = mapping.document(row)
            for imported in found.intake.take(document, operand.name, ("interactions[0]", "the row")):
                if isinstance(target, str):
                    found.sort(imported, target or _file_of(operand))
            if isinstance(target, Problem):
                found.intake.problems.append(target)


@contextmanager
def _opened(operand: Source, console: Console) -> Iterator[BinaryIO]:
    if operand is _STDIN:
        yield console.stdin
        return
    try:
        file = Path(operand.path).open("rb")  # noqa: SIM115 - below; what reading it raises is another matter
    except OSError as error:
        raise UsageError(f"{operand.name}: it can't be read: {error.strerror}") from error
    with file:
        yield file


def _is_json(operand: Source, lines: BinaryIO) -> bool:
    """Whether it is a JSON object a line, by its name, or by what stdin begins with."""
    if operand is _STDIN:
        return getattr(lines, "peek", bytes)(1).startswith(b"{")
    return operand.name.lower().endswith(_LINES)


def _file_of(operand: Source) -> str:
    """Return the name of a file for what an operand holds."""
    name = PurePosixPath(operand.name)
    stem = name.name if Path(operand.path).is_dir() else name.stem
    return "imported.yaml" if operand is _STDIN else f"{stem.lstrip('.') or 'imported'}.yaml"


# -- writing -------------------------------------------------------------------------------------------------------


def _checked(found: _Import, workspace: Workspace) -> list[tuple[Path, bytes, bytes]]:
    """Return the files that change, with what they hold before and after; raises DeclarationError with all problems."""
    problems = found.intake.finished()
    rewritten = list[tuple[Path, bytes, bytes]]()
    declared = defaultdict[str, list[Interaction]](list)
    for each in found.intake.declared.values():
        declared[each.place.file].append(each)
    for name, edits in sorted(found.edits.items()) if all(each.warning for each in problems) else ():
        path = workspace.settings.folder / name
        before = path.read_bytes()
        after = merged(before, name, declared[name], edits, found.intake.rules)
        if isinstance(after, bytes):
            rewritten.append((path, before, after))
        else:
            problems += after
    if any(not each.warning for each in problems):
        raise DeclarationError(tuple(problems), of=_OF_IMPORT)
    if problems:
        found.console.problems(problems)
    if found.in_the_way:
        files = ", ".join(sorted(found.in_the_way)[:5])
        raise ReconcilerError(f"there is already {files}; nothing was written", hint="Add --merge to add to it.")
    return rewritten


def _tell(found: _Import) -> None:
    changed = {name: len(edits.changes) for name, edits in found.edits.items() if edits.changes}
    for name in sorted({*found.new, *changed}):
        parts = [
            f"{number} {what}" for number, what in ((found.new[name], "new"), (changed.get(name), "changed")) if number
        ]
        found.console.out(f"{name}: {', '.join(parts)}\n")
    new, altered, total = found.new.total(), sum(changed.values()), len(found.intake.addresses)
    found.console.note(
        f"{count(total, 'interaction')} imported: {new} new, {altered} changed, {found.unchanged} unchanged."
    )
