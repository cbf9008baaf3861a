"""What `--target`, `--exclude` and their files choose, for every command that takes them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from reconciler.commandline import quoted
from reconciler.endless import read_bytes
from reconciler.errors import UsageError
from reconciler.planning.selection import Known, Selection, closest, select, selectors


def choices(options: argparse.Namespace) -> Selection:
    """Return what the options ask for; raises UsageError for a file that can't be used."""
    return Selection(
        (*options.target, *_listed(options, "--target-file", options.target_file, needed=True)),
        (*options.exclude, *_listed(options, "--exclude-file", options.exclude_file, needed=False)),
    )


def files(options: argparse.Namespace) -> Iterator[Path]:
    """Yield the files of selectors that a run reads."""
    for name in (*getattr(options, "target_file", ()), *getattr(options, "exclude_file", ())):
        yield Path(options.directory or ".") / name


def asked(options: argparse.Namespace, among: Known, *, everything: bool = False) -> tuple[set[str], frozenset[str]]:
    """Return the addresses that stand on the command line, known or not, and those that are selected besides."""
    selection = choices(options)
    if not (options.addresses or selection.targets or everything):
        raise UsageError("which interactions?", hint="Name them, or choose them with --target.")
    chosen = addresses(selection, among, options)
    named = {address for address in options.addresses if address in chosen or address not in among}
    return named, chosen if selection.targets or everything else frozenset()


def _listed(options: argparse.Namespace, option: str, names: list[str], *, needed: bool) -> Iterator[str]:
    for name in names:
        path = Path(options.directory or ".") / name
        try:
            found = selectors(read_bytes(path).decode("utf-8-sig"))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{option} {path}: {getattr(error, 'strerror', None) or 'it is not UTF-8'}") from error
        if needed and not found:
            raise UsageError(
                f"{option} {path}: no selector stands in it", hint="Without a target, leave the option out."
            )
        yield from found


def addresses(selection: Selection, among: Known, options: argparse.Namespace) -> frozenset[str]:
    """Return the addresses that are chosen; raises UsageError for selectors that choose nothing at all."""
    chosen, idle = select(selection, among)
    if idle:
        shown = dict.fromkeys(_shown(selector, options) for selector in idle[:10])
        named = ", ".join(shown) + (", …" if len(idle) > 10 else "")  # noqa: PLR2004  # enough to go on
        close = closest(idle[0], among)
        hint = f"Did you mean {quoted(close)}? What is known" if close else "What is known"
        raise UsageError(
            f"nothing is declared or in the state that this selects: {named}", hint=hint, command=("state", "list")
        )
    return chosen


def _shown(selector: str, options: argparse.Namespace) -> str:
    """Return a selector as it was given, or the files it may stand in: one named by mistake may hold anything."""
    if selector in (*options.target, *options.exclude):
        return quoted(selector)
    return f"a line of {' or '.join(map(str, files(options)))}"
