"""`reconciler explain`: what a code means, an example, and what to do about it."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from reconciler import __file__ as package
from reconciler.cli.console import Console
from reconciler.errors import ExitCode, UsageError
from reconciler.render.style import BOLD, Style

EXPLANATIONS: Final = Path(package).with_name("explanations.md")
_WIDEST: Final = 100


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Explain a code, or say which there are."""
    known = explanations()
    if options.code is None:
        console.out("".join(_listed(known, console.width, console.style)).lstrip("\n"))
        return ExitCode.DONE
    code = options.code.strip("[]` ").lower()
    if code not in known:
        close = get_close_matches(code, known, 1)
        hint = f"Did you mean {close[0]}? What there is" if close else "What there is"
        raise UsageError(f"there is no code {options.code!r}", hint=hint, command=("explain",))
    console.out(_text(code, known[code], console.width, console.style))
    return ExitCode.DONE


def explanations() -> dict[str, str]:
    """Return what is said of each code, as Markdown."""
    found = re.findall(r"^## (\S+)\n\n(.*?)(?=^#|\Z)", _file(), re.MULTILINE | re.DOTALL)
    return {code: said.strip() for code, said in found}


def _file() -> str:
    return EXPLANATIONS.read_text(encoding="utf-8")


def _listed(known: Mapping[str, str], width: int, style: Style) -> Iterator[str]:
    """Yield each code with its first sentence, below what it is of."""
    size = max(map(len, known)) + 2
    for line in re.findall(r"^##? (.+)$", _file(), re.MULTILINE):
        if line not in known:
            yield f"\n{style.paint(f'{line}:', BOLD)}\n"
            continue
        first = re.split(r"(?<=[.:;]) |\n", known[line])[0].rstrip(".:;")
        yield textwrap.fill(first, width, initial_indent=f"  {line:<{size}}", subsequent_indent=" " * (size + 2)) + "\n"


def _text(code: str, said: str, width: int, style: Style) -> str:
    """Return an explanation for a terminal: paragraphs as wide as it is, examples as they are."""
    parts = (
        textwrap.indent(re.sub(r"^```.*\n?", "", part, flags=re.MULTILINE).rstrip(), "    ")
        if part.startswith("```")
        else textwrap.fill(part, min(width, _WIDEST))
        for part in re.split(r"\n\n(?=[^\n]|```)", said)
    )
    return "\n\n".join([style.paint(code, BOLD), *parts]) + "\n"
