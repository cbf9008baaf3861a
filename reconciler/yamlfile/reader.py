"""The bytes of a YAML or JSON file to documents with positions; where the YAML parsers are called to read.

A name that ends in `.json` is read as JSON, which YAML 1.2 contains and no YAML parser reads whole. All else is YAML:
events come from libyaml through PyYAML's C parser. What libyaml refuses is judged by ruamel.yaml's pure parser, whose
messages and positions are the better ones; the values are built by the same `Builder` either way.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from reconciler.errors import Complaint, Problem
from reconciler.escape import visible
from reconciler.yamlfile.builder import Builder, YamlRefused
from reconciler.yamlfile.document import Mark, Parsed
from reconciler.yamlfile.encoding import text_problem
from reconciler.yamlfile.misread import EventChecker, Misread, suspicious

JUDGED_BYTES: Final = 256 * 1024
"""The largest file that the pure parser judges: it reads about 100 KB a second, and has to end."""
_MAX_TAG_DIRECTIVES: Final = 16
_idle_ends: Final = re.compile(rb"(?m)(\A|^\.\.\.(?:[ \t\r].*)?\n)((?:(?:\.\.\.(?=\s))?[ \t\r]*(?:#.*)?\n)+)").sub
_UNCLOSED: Final = "scanning a quoted scalar, found unexpected"
_HINTS: Final = {
    "mapping values are not allowed": "a value that holds `: ` must be quoted; keys of one mapping are indented alike",
    "escape": "write the character itself",
    "expected <block end>, but found '<scalar>'": "nothing may follow a quoted value on its line",
    "expected <block end>": "entries of one list, and keys of one mapping, are indented alike",
    "parsing a flow node": "close every bracket that opens",
    "parsing a flow": "close the bracket that opens in line {start}, or put a comma between entries",
}
_LIBYAML: Final = (0, 2, 5)
_OTHER_VERSION: Final = "found incompatible YAML document"
_IN_BLOCK: Final = "while scanning a block scalar"
_MAX_TABS: Final = 100


def parse(data: bytes, name: str, *, json: bool = False) -> Parsed:
    """Return the documents of a file, with positions, and the problems met in reading it; raises MemoryError only.

    `json`: it is JSON, whatever its name says.
    """
    if (problem := text_problem(data, name)) is not None:
        return Parsed(problems=[problem])
    return _parse_json(data, name) if json or name.lower().endswith(".json") else _parse_yaml(data, name)


def _parse_json(data: bytes, name: str) -> Parsed:
    from yaml import events  # noqa: PLC0415 - as below

    from reconciler.yamlfile.jsonevents import json_events  # noqa: PLC0415

    stream = json_events(data.decode(), events)
    return Builder(lambda: next(stream, None), events, name).build()


def _parse_yaml(data: bytes, name: str) -> Parsed:
    from yaml import MarkedYAMLError, events  # noqa: PLC0415 - not every command reads declarations

    if b"%TAG" in data and data.count(b"%TAG") > _MAX_TAG_DIRECTIVES:  # libyaml compares each with every other
        return Parsed(problems=[Problem(name, 1, 1, "tag", "tags and %TAG lines are not allowed", "remove them")])
    data = _normal(data)
    if (parser := libyaml()) is not None:
        for _ in range(_MAX_TABS):
            get_event = parser(data).get_event
            checked = EventChecker(get_event, data.decode()).get_event if suspicious(data) else get_event
            builder = Builder(checked, events, name)
            try:
                return builder.build()
            except (MarkedYAMLError, Misread) as error:
                if len(data) > JUDGED_BYTES or error.problem == _OTHER_VERSION:
                    return _unreadable(builder, error, name)
                data, before = _without_tab(data, error), data
            if data is before:
                break
    return parse_pure(data, name)


def parse_pure(data: bytes, name: str) -> Parsed:
    """Parse through ruamel.yaml's pure parser; the data must have passed `text_problem`."""
    from ruamel.yaml import YAML  # noqa: PLC0415 - slow to import, and needed for broken files only
    from ruamel.yaml import events as pure_events  # noqa: PLC0415

    text = data.decode()
    stream = _joined(YAML(typ="safe", pure=True).parse(text))
    builder = Builder(EventChecker(lambda: next(stream, None), text).get_event, pure_events, name)
    try:
        return builder.build()
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - ruamel.yaml raises ValueError, IndexError and others on broken input
        return _unreadable(builder, error, name)


def _normal(data: bytes) -> bytes:
    """Return what is read alike by all: a last line that ends, and no ends of documents that didn't begin."""
    if not data.endswith(b"\n"):  # at the end of a block scalar, YAML counts it whether it is there or not
        data += b"\n"
    return _idle_ends(_as_comments, data) if b"..." in data else data


def _as_comments(found: re.Match[bytes]) -> bytes:
    return found[1] + found[2].replace(b"...", b"#..")


def _without_tab(data: bytes, error: Any) -> bytes:
    """Return the data without the white space of the line that libyaml stopped at, if it is a tab on a blank line.

    YAML has no meaning for it there, but in a block scalar.
    """
    lines = data.splitlines(keepends=True)
    number = error.problem_mark.line
    if number >= len(lines) or lines[number].strip() or b"\t" not in lines[number] or error.context == _IN_BLOCK:
        return data
    lines[number] = lines[number].strip(b" \t")
    return b"".join(lines)


@cache
def libyaml() -> Any:
    """Return the parser class of PyYAML's binding to libyaml, or None if that is too old to read every valid file."""
    try:
        from yaml import _yaml  # noqa: PLC0415 - PyYAML may be built without libyaml
    except ImportError:
        return None
    return _yaml.CParser if _yaml.get_version() >= _LIBYAML else None


def libyaml_version() -> str:
    """Return the version of libyaml that reads here; nothing where none does."""
    if libyaml() is None:
        return "none"
    from yaml import _yaml  # noqa: PLC0415 - as above

    return str(_yaml.get_version_string())


def _joined(stream: Iterator[Any]) -> Iterator[Any]:
    r"""Yield the events with surrogate pairs (`"\ud83d\ude00"`, as JSON writes an emoji) joined to one character."""
    for event in stream:
        if not getattr(event, "value", "").isascii():
            try:
                event.value = event.value.encode("utf-16", "surrogatepass").decode("utf-16")
            except UnicodeDecodeError:
                message = "half a surrogate pair is no character"
                raise YamlRefused(event.start_mark, "surrogate", message, "write the character itself") from None
        yield event


def _unreadable(builder: Builder, error: Exception, name: str) -> Parsed:
    """Return the problems met so far and the parser's own, in its words but without lines of the file."""
    start: Mark | None = getattr(error, "context_mark", None)
    mark: Mark | None = getattr(error, "problem_mark", None) or start
    words = [getattr(error, "context", None), getattr(error, "problem", None)]
    message = ", ".join(visible(word) for word in words if word) or "this is not YAML"
    if _UNCLOSED in message:  # what follows may be far away
        mark, message = start, "the quote that opens here is not closed"
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    problem = Problem(name, line, column, *_syntax(message, start.line + 1 if start is not None else line))
    return Parsed(problems=[*builder.parsed.problems, problem])


def _syntax(message: str, start: int) -> Complaint:
    """Return code, message and hint of a parser's message; `start` is the line where what it is about starts."""
    if "\\t" in message or "tab" in message:
        return "tab", "a tab can't indent", "indent with spaces"
    if message == _OTHER_VERSION:
        return "yaml-version", "files are read as YAML 1.2", "remove the %YAML line"
    hint = next((hint for part, hint in _HINTS.items() if part in message), "")
    return "yaml-syntax", message, hint.format(start=start)
