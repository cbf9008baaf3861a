"""A peer: PyYAML's CSafeLoader merely loads every file below a folder, one after the other, and forgets it."""

import os
import sys
from collections.abc import Iterator

import yaml


def _files(folder: str) -> Iterator[str]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _files(entry.path)
        else:
            yield entry.path


for path in _files(sys.argv[1]):
    with open(path, "rb") as file:  # noqa: PTH123  # no pathlib: what a peer does needlessly would flatter us
        yaml.load(file.read(), yaml.CSafeLoader)  # it is the C form of SafeLoader
