"""Finding declaration files and reading their bytes. Shell: it reads the file system and nothing else."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from reconciler.errors import Problem, ProblemCode
from reconciler.escape import readable

MAX_BYTES: Final = 64 * 1024 * 1024
_SUFFIXES: Final = (".yaml", ".yml", ".json")
_KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)
_Identity = tuple[int, int]


class Source(NamedTuple):
    """A file to read: where it is, and the name to show."""

    path: str
    name: str


def walk(root: Path, base: Path) -> tuple[list[Source], list[Problem]]:
    """Return the declaration files under `root` (or `root` itself, a file) in sorted order, and what can't be used.

    Names are relative to `base`, with `/`. Hidden files and folders are left out; links are followed.
    """
    name = Path(os.path.relpath(root, base)).as_posix()
    try:
        found = os.stat(root)  # noqa: PTH116 - the walk below is by os.scandir throughout
    except OSError as error:
        return [], [_missing_root(name, error)]
    if stat.S_ISDIR(found.st_mode):
        prefix = "" if name == "." else f"{name}/"
        walked = list(_folder(os.fspath(root), prefix, ((found.st_dev, found.st_ino),)))
    else:
        walked = [_file(os.fspath(root), name, found.st_mode)]
    sources = [each for each in walked if isinstance(each, Source)]
    return sources, [each for each in walked if isinstance(each, Problem)]


def read(source: Source) -> bytes | Problem:
    """Return the bytes of a regular file, or why it can't be read. A pipe is never waited for."""
    try:
        # O_NONBLOCK: what was a file when the folder was listed may be a pipe by now.
        handle = os.open(source.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return _unreadable(source.name, error)
    try:
        return _contents(handle, source.name)
    except OSError as error:
        return _unreadable(source.name, error)
    finally:
        os.close(handle)


def _contents(handle: int, name: str) -> bytes | Problem:
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        return _not_a_file(name, found.st_mode)
    if found.st_size > MAX_BYTES:
        return _too_big(name)
    data = os.read(handle, found.st_size + 1)
    if len(data) == found.st_size:
        return data
    chunks, size = [data], len(data)  # it grows, or is of a kind that states no size
    while size <= MAX_BYTES and (chunk := os.read(handle, 1 << 20)):
        chunks.append(chunk)
        size += len(chunk)
    return b"".join(chunks) if size <= MAX_BYTES else _too_big(name)


def _folder(path: str, prefix: str, above: tuple[_Identity, ...]) -> Iterator[Source | Problem]:
    """Yield the files of one folder and those below it; `above` identifies it and the folders it lies in."""
    try:
        with os.scandir(path) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield _unreadable(prefix.rstrip("/") or ".", error)
        return
    for entry in entries:
        name = entry.name
        if name[0] == ".":
            continue
        declares = name.lower().endswith(_SUFFIXES)
        try:
            if declares and entry.is_file(follow_symlinks=False):
                yield _named(entry.path, prefix + name)
            elif declares or entry.is_symlink() or entry.is_dir():
                yield from _other(entry, prefix, above, declares=declares)
        except OSError as error:
            yield _unreadable(prefix + name, error)


def _other(
    entry: os.DirEntry[str], prefix: str, above: tuple[_Identity, ...], *, declares: bool
) -> Iterator[Source | Problem]:
    """Yield what a link, a folder, or something else with the suffix of a declaration file leads to."""
    name = prefix + entry.name
    try:
        found = os.stat(entry.path)  # noqa: PTH116 - follows links, unlike the entry's own
    except OSError as error:
        yield _broken_link(name, error) if entry.is_symlink() else _unreadable(name, error)
        return
    identity = (found.st_dev, found.st_ino)
    if declares:
        yield _file(entry.path, name, found.st_mode)
    elif not stat.S_ISDIR(found.st_mode):
        return
    elif identity in above:
        message = "the link leads back to a folder that it lies in"
        yield _problem(name, "symlink", message, "remove the link")
    else:
        yield from _folder(entry.path, f"{name}/", (*above, identity))


def _file(path: str, name: str, mode: int) -> Source | Problem:
    return _named(path, name) if stat.S_ISREG(mode) else _not_a_file(name, mode)


def _named(path: str, name: str) -> Source | Problem:
    """Return the file with its name as UTF-8, which is what a name is made of here, whatever the locale says."""
    try:
        return Source(path, name if name.isascii() else os.fsencode(name).decode())
    except UnicodeDecodeError:
        return _problem(name, "file-name", "the name is not UTF-8", "rename the file, or its folder")


def _problem(name: str, code: ProblemCode, message: str, hint: str = "") -> Problem:
    return Problem(readable(name), 0, 0, code, message, hint)


def _missing_root(name: str, error: OSError) -> Problem:
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        hint = "create it, or set `interactions` in reconciler.yaml"
        return _problem(name, "missing-path", "the declarations are not there", hint)
    return _unreadable(name, error)


def _broken_link(name: str, error: OSError) -> Problem:
    gone = isinstance(error, FileNotFoundError)
    message = "the link leads nowhere" if gone else f"the link can't be followed: {_reason(error)}"
    return _problem(name, "symlink", message, "remove the link, or let it lead to a file or folder")


def _not_a_file(name: str, mode: int) -> Problem:
    kind = next((words for test, words in _KINDS if test(mode)), "something else")
    hint = "rename it: files of this suffix are read as declarations"
    return _problem(name, "not-a-file", f"this is {kind}, not a file", hint)


def _too_big(name: str) -> Problem:
    return _problem(name, "file-size", f"the file is larger than {MAX_BYTES // 1024 // 1024} MiB", "split it")


def _unreadable(name: str, error: OSError) -> Problem:
    return _problem(name, "unreadable", f"can't be read: {_reason(error)}")


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
