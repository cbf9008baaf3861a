"""Where the outputs of a run may go: onto nothing that a run reads or remembers, and onto no file of anybody else."""

from __future__ import annotations

import argparse
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from reconciler.cli.console import Console
from reconciler.delivery.events import OutputsChecked
from reconciler.errors import ReconcilerError, UsageError

SUMMARY: Final = "GITHUB_STEP_SUMMARY"
_OUTPUT: Final = re.compile(
    rb'\s*(\{\s*"(reconciler_plan|format_version|event":\s*"version)"|\[\s*\{"name":"process_name"|'
    rb"<!-- reconciler:plan |<!doctype html>\s*<!-- reconciler:page -->)"
)
_RESULT: Final = re.compile(rb'\s*(\{\s*"(format_version|event":\s*"version)"|\[\s*\{"name":"process_name")')
_STATES: Final = re.compile(r"\.state\.json(\.(journal|backup|lock|new|backup\.new|(journal\.)?aside[0-9]+))?$")
"""Another environment's, it may be: what is not there yet would be taken for it."""
_HEAD: Final = 200  # bytes, far more than an output needs to be known by


def check_outputs(options: argparse.Namespace, kept: Mapping[Path, str], console: Console) -> None:
    """Raise UsageError if an output would overwrite what is `kept`, another output, or a file that is no output.

    `kept`: what this run reads or remembers, each with what it is called; it need not be there yet.
    """
    taken = dict(kept)
    for option, path in _outputs(options):
        if _is_stream(path):
            continue
        for other, what in taken.items():
            if _is_same(path, other):
                raise UsageError(f"{option} {path}: it would overwrite {what}", hint="Name another file.")
        if option != SUMMARY:
            _require_output(option, path)
        taken[path] = f"what {option} writes"
    console.observers.told(OutputsChecked())


def _outputs(options: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    folder = Path(options.directory or ".")
    for option in ("--out", "--json-into", "--markdown-into", "--html-into", "--events", "--trace"):
        if (name := getattr(options, option.strip("-").replace("-", "_"), None)) and (option, name) != (
            "--events",
            "-",
        ):
            yield option, folder / name
    if summary := os.environ.get(SUMMARY):
        yield SUMMARY, Path(summary)


def _is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, or would if it were there; in doubt, names that differ in case alone do."""
    try:
        return one.samefile(other)
    except OSError:
        one, other = Path(os.path.realpath(one)), Path(os.path.realpath(other))
        return one.name.casefold() == other.name.casefold() and _is_same(one.parent, other.parent)


def _require_output(option: str, path: Path) -> None:
    """Raise UsageError for a folder, and for a file that holds anything but what an earlier run wrote there."""
    if path.is_dir():
        raise UsageError(f"{option} {path}: this is a folder", hint="Name a file.")
    if _head(path).strip() and not _OUTPUT.match(_head(path)):
        raise UsageError(
            f"{option} {path}: it would overwrite a file that no earlier run wrote there",
            hint="Name another file, or remove this one.",
        )
    if _STATES.search(path.name):
        raise UsageError(f"{option} {path}: a state may be kept under this name", hint="Name another file.")


def is_result(path: Path) -> bool:
    """Whether it is JSON that an earlier run wrote and none reads, or no file at all but a pipe, say."""
    return _is_stream(path) or bool(_RESULT.match(_head(path)))


def _head(path: Path) -> bytes:
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        return file.read(_HEAD)


def write_file(path: Path, data: Iterable[bytes]) -> None:
    """Write a file as a whole, the user's alone, so that a reader never sees half of it; a pipe is written to."""
    try:
        if _is_stream(path):
            with path.open("wb") as stream:
                stream.writelines(data)
        else:
            _replace(Path(os.path.realpath(path)), data)
    except OSError as error:
        raise ReconcilerError(f"{path}: it can't be written: {error.strerror}") from error


def rewrite_file(path: Path, before: bytes, after: bytes) -> None:
    """Replace a user's file as a whole, with its permissions, unless it says something else by now."""
    try:
        path = Path(os.path.realpath(path))
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.read_bytes() != before:
            raise ReconcilerError(f"{path}: it changed meanwhile, and is left as it is", hint="Run this again.")
        _replace(path, [after], mode)
    except OSError as error:
        raise ReconcilerError(f"{path}: it can't be written: {error.strerror}") from error


def _replace(path: Path, data: Iterable[bytes], mode: int = 0o600) -> None:
    descriptor, spare = tempfile.mkstemp(prefix=".reconciler-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.writelines(data)
            os.fchmod(descriptor, mode)
        Path(spare).replace(path)
    except BaseException:
        Path(spare).unlink(missing_ok=True)
        raise


def _is_stream(path: Path) -> bool:
    """Whether it is a pipe or a device such as /dev/stdout, which must not be replaced by a file."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)
