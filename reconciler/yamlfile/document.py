"""A document as it was read: plain values, and where each of them stands.

Pure. Positions lie beside the values, not in them, so that values stay plain dicts, lists and scalars.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from reconciler.errors import Problem

Path = tuple[str | int, ...]
"""How a value is reached from the top of its document: keys and list indices."""


class Mark(Protocol):
    """A position in a file, as the parsers give it; `line` and `column` count from 0."""

    @property
    def line(self) -> int: ...  # noqa: D102 - said above

    @property
    def column(self) -> int: ...  # noqa: D102 - said above


Marks = dict[int, list[Mark]]
"""Per `id()` of a list: its own mark, then each item's; of a dict: its own, then each key's and value's, in order."""


@dataclass(slots=True)
class Document:
    """One document of a file.

    `texts` holds the text of plain scalars that aren't strings, per `id()` of their mark; `has_null` says whether
    any value is null. Both `id`s are good as long as the document lives.
    """

    value: Any
    start: Mark
    marks: Marks = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    has_null: bool = False

    def mark(self, path: Path, *, key: bool = False) -> Mark:
        """Return where the value at `path` starts, or its key; what isn't there is where its container starts."""
        value, mark = self.value, self.start
        for depth, part in enumerate(path, 1):
            if isinstance(value, dict) and part in value:
                index = list(value).index(part)
                mark = self.marks[id(value)][2 * index + (1 if key and depth == len(path) else 2)]
            elif isinstance(value, list) and isinstance(part, int):
                mark = self.marks[id(value)][part + 1]
            else:
                break
            value = value[part]
        return mark

    def at(self, path: Path) -> Any:
        """Return the value at `path`, or None."""
        value = self.value
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def text(self, path: Path) -> str | None:
        """Return how the value at `path` is written, if it is a plain scalar that isn't a string."""
        return self.texts.get(id(self.mark(path)))


@dataclass(slots=True)
class Parsed:
    """A file as it was read: its documents, and what was wrong in reading them.

    Where there are problems, the documents may lack what they name.
    """

    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
