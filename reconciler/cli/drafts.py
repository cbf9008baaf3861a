"""Files that an import writes: kept aside, beside where they belong, until all of it is known to be right."""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Final, Self

from reconciler.errors import ReconcilerError
from reconciler.importing.intake import Imported, whole
from reconciler.importing.merging import document_head, own_item
from reconciler.yamlfile.reader import parse
from reconciler.yamlfile.writing import items_text

PER_FILE: Final = 2_000
"""Interactions in a file: what people and tools can still look at."""
_HELD: Final = 5_000  # interactions in memory at once


class Drafts:
    """New files of interactions below a folder. Use it as a context manager: what was not kept is removed."""

    def __init__(self, folder: Path, counts: Counter[str]) -> None:
        """Begin; `counts` are how many interactions are in each file already, by its path below the folder."""
        self._folder, self._counts = folder, counts
        self._held: defaultdict[str, list[Imported]] = defaultdict(list)
        self._heads: dict[str, str | None] = {}
        self._names: dict[str, str] = {}
        self._size = 0
        near = next(path for path in (folder, *folder.parents) if path.is_dir())
        self._aside = Path(tempfile.mkdtemp(prefix=".reconciler-", dir=near))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._aside, ignore_errors=True)

    def file_for(self, name: str) -> str:
        """Return the file of this name for one more interaction: past its limit, that with -2, -3, … in its name.

        Names that differ in case alone are one file, as they are where the file system says so.
        """
        name = self._names.setdefault(name.casefold(), name)
        stem, dot, suffix = name.rpartition(".")
        number, part = 1, name
        while self._counts[part] >= PER_FILE:
            number += 1
            part = f"{stem}-{number}{dot}{suffix}"
        self._counts[part] += 1
        return part

    def exists(self, name: str) -> bool:
        """Whether there is such a file already."""
        return (self._folder / name).exists()

    def add(self, name: str, imported: Imported) -> None:
        """Add an interaction to a new file."""
        self._held[name].append(imported)
        self._size += 1
        if self._size >= _HELD:
            self._flush()

    def keep(self) -> None:
        """Put the new files in their places, where there must be none."""
        self._flush()
        for name in self._heads:
            target = self._folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                target.hardlink_to(self._draft(name))
            except FileExistsError as error:
                raise ReconcilerError(f"{target}: it came to be meanwhile, and is left as it is") from error
            except OSError:  # not every file system has links
                self._draft(name).replace(target)

    def _flush(self) -> None:
        for name, held in self._held.items():
            if name not in self._heads:
                self._heads[name] = held[0].interaction.provider
                self._draft(name).parent.mkdir(parents=True, exist_ok=True)
                self._draft(name).write_text(document_head(self._heads[name]), encoding="utf-8")
            items = [own_item({}, whole(each), {}, self._heads[name]) for each in held]
            text = items_text(items)
            _check(text, items)
            with self._draft(name).open("a", encoding="utf-8") as file:
                file.write(text)
        self._held.clear()
        self._size = 0

    def _draft(self, name: str) -> Path:
        return self._aside / name


def _check(text: str, items: Collection[object]) -> None:
    """Hold that what is written reads as what was meant, whatever stands in it."""
    parsed = parse(text.encode(), "")
    if parsed.problems or parsed.documents[0].value != items:
        raise ValueError("what is written reads as something else")
