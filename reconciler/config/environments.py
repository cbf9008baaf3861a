"""A new environment in a reconciler.yaml that is there: added as text, so that nothing else of it changes.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from reconciler.yamlfile.document import Document
from reconciler.yamlfile.reader import parse

_KEY: Final = "environments"


def block(name: str, lines: Sequence[str], indent: str = "  ") -> list[str]:
    """Return the lines of an environment; `lines` are its settings, or comments."""
    return [f"{indent}{name}:", *(f"{indent}  {line}" for line in lines)]


def names(data: bytes) -> list[str]:
    """Return the environments of a file; none where it can't be read."""
    document = _document(data)
    return [*_environments(document)] if document else []


def with_environment(data: bytes, name: str, lines: Sequence[str]) -> bytes | None:
    """Return a file with an environment of this name; as it is, if it has one.

    None where that must be done by hand: the file can't be read, or is not written in block style.
    """
    document = _document(data)
    if document is None or name in _environments(document):
        return data if document else None
    end = "\r\n" if b"\r\n" in data else "\n"
    added = end.join([*_added(document, data.decode().splitlines(), name, lines), ""]).encode()
    return added if _only_adds(document, _document(added), name) else None


def _added(document: Document, text: list[str], name: str, lines: Sequence[str]) -> list[str]:
    """Return the file's lines with those of the environment below the key, before what stands there."""
    if document.value is None or _KEY not in document.value:
        return [*text, f"{_KEY}:", *block(name, lines)]
    first = next(iter(_environments(document)), None)
    indent = document.mark((_KEY, first), key=True).column if first else 2
    at = document.mark((_KEY,), key=True).line + 1
    return [*text[:at], *block(name, lines, " " * indent), *text[at:]]


def _only_adds(before: Document, after: Document | None, name: str) -> bool:
    """Whether a file says all that it said, and has the environment: an anchor or flow style would change that."""
    if after is None or name not in _environments(after):
        return False
    others: dict[str, Any] = {key: value for key, value in _environments(after).items() if key != name}
    said = {**(before.value or {}), _KEY: _environments(before)}
    return {**after.value, _KEY: others} == said


def _environments(document: Document) -> dict[str, Any]:
    return (document.value or {}).get(_KEY) or {}


def _document(data: bytes) -> Document | None:
    """Return the one document of a configuration, a mapping or nothing; None where it is anything else."""
    parsed = parse(data, "")
    documents = parsed.documents or parse(b"{}", "").documents
    known = len(documents) == 1 and isinstance(documents[0].value, dict | None)
    if parsed.problems or not known or not isinstance(_environments(documents[0]), dict):
        return None
    return documents[0]
