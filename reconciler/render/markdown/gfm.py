"""Text that nobody vouches for as GitHub Flavored Markdown: code spans, prose and differences.

Pure. What was declared or answered stands in code, and nowhere else: in code, neither GitHub nor GitLab looks for
HTML, links, mentions, references, emoji, mathematics or commands, and the renderer for nothing at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from reconciler.escape import visible

_BACKTICKS: Final = re.compile("`+")
# cmark-gfm gives up on longer runs (80); nobody needs as many to name something.
_LONGEST_RUN: Final = 8
# Words and numbers in which no platform sees more than that. Seven hexadecimal digits may be a commit.
_HARMLESS: Final = re.compile(
    r"""(?![0-9a-fA-F]{7,}\b) ["'(]*
    (?: [A-Za-z]+ (?:['’-][A-Za-z]+)* | [0-9]{1,6} (?:\.[0-9]{1,6})? | % )
    ["'),.;:]*""",
    re.VERBOSE,
)


def size(text: str) -> int:
    """Return the text's length in UTF-16 units: a character or two each, so that whoever counts, counts no more."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2


def code(text: str) -> str:
    r"""Return a code span that shows the text, with control characters escaped; `\x60` for too many backticks."""
    text = visible(text)
    if not text:
        return "(empty)"
    longest = max((len(run) for run in _BACKTICKS.findall(text)), default=0)
    if longest > _LONGEST_RUN:
        text, longest = text.replace("`", "\\x60"), 0
    mark = "`" * (longest + 1)
    # A renderer strips a space from both ends of a span that has them, unless it is all spaces.
    padded = "`" in {text[0], text[-1]} or (text[0] == text[-1] == " " and text.strip(" "))
    return f"{mark} {text} {mark}" if padded else f"{mark}{text}{mark}"


def prose(text: str) -> str:
    """Return a sentence of which plain words and numbers stay prose, and all else becomes code."""
    words = [word for word in visible(text).split(" ") if word]
    # Where a line begins, a number with a full stop or a bracket is that of a list.
    harmless = [_HARMLESS.fullmatch(word) is not None for word in words]
    if words and words[0][0].isdigit() and not words[0].isdigit():
        harmless[0] = False
    return " ".join(_runs(words, harmless))


def _runs(words: list[str], harmless: list[bool]) -> Iterator[str]:
    for plain, run in groupby(zip(words, harmless, strict=True), lambda entry: entry[1]):
        text = " ".join(word for word, _ in run)
        yield text if plain else code(text)


def difference(lines: Iterable[tuple[str, str]]) -> str:
    """Return a coloured block of lines, each with its mark: `+`, `-`, `!` or `#`.

    A line that begins with a mark can't close the block.
    """
    return "\n".join(["```diff", *(f"{mark} {visible(text)}".rstrip() for mark, text in lines), "```"])


def indented(text: str) -> str:
    """Return a block as part of the list item above it."""
    return "".join(f"  {line}" for line in text.splitlines(keepends=True))
