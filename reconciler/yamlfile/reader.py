"""The bytes of a YAML or JSON file to documents with positions; the only user of the YAML parsers.

A name that ends in `.json` is read as JSON, which YAML 1.2 contains and no YAML parser reads whole. All else is YAML:
events come from libyaml through PyYAML's C parser. What libyaml refuses is judged by ruamel.yaml's pure parser, whose
messages and positions are the better ones; the values are built by the same `Builder` either way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

from reconciler.errors import Problem
from reconciler.escape import visible
from reconciler.yamlfile import jsonevents
from reconciler.yamlfile.builder import Builder, Kinds, Refused
from reconciler.yamlfile.document import Mark, Parsed
from reconciler.yamlfile.encoding import refusal

JUDGED_BYTES: Final = 256 * 1024
"""The largest file that the pure parser judges: it reads about 100 KB a second, and has to end."""
_MAX_TAG_DIRECTIVES: Final = 16
_FLOW_KEY: Final = re.compile(rb"(?<![^\s\[{,])\?(?=[^\s,\[\]{}])").search
_LIBYAML: Final = (0, 2, 5)


def parse(data: bytes, name: str) -> Parsed:
    """Return the documents of a file, with positions, and the problems met in reading it; never raises."""
    if (refused := refusal(data)) is not None:
        return Parsed(problems=[Problem(name, *refused)])
    return _parse_json(data, name) if name.lower().endswith(".json") else _parse_yaml(data, name)


def _parse_json(data: bytes, name: str) -> Parsed:
    stream = jsonevents.events(data.decode())
    return Builder(lambda: next(stream, None), jsonevents.KINDS, name).build()


def _parse_yaml(data: bytes, name: str) -> Parsed:
    if b"%TAG" in data and data.count(b"%TAG") > _MAX_TAG_DIRECTIVES:  # libyaml compares each with every other
        return Parsed(problems=[Problem(name, 1, 1, "tag", "tags and %TAG lines are not allowed", "remove them")])
    libyaml = _libyaml()
    if libyaml is None:
        return parse_pure(data, name)
    parser_class, error_class, kinds = libyaml
    builder = Builder(_checked(parser_class(data).get_event, data), kinds, name)
    try:
        return builder.build()
    except error_class as error:
        if len(data) <= JUDGED_BYTES:
            return parse_pure(data, name)
        return _unreadable(builder, error, name)


def parse_pure(data: bytes, name: str) -> Parsed:
    """Parse through ruamel.yaml's pure parser; the data must have passed `refusal`. Never raises."""
    from ruamel.yaml import YAML, events  # noqa: PLC0415 - slow to import, and needed for broken files only

    kinds = _kinds(events)
    stream = _joined(YAML(typ="safe", pure=True).parse(data.decode()), events.ScalarEvent)
    builder = Builder(_checked(lambda: next(stream, None), data), kinds, name)
    try:
        return builder.build()
    except Exception as error:  # noqa: BLE001 - ruamel.yaml raises ValueError, IndexError and others on broken input
        return _unreadable(builder, error, name)


def _checked(get_event: Callable[[], Any], data: bytes) -> Callable[[], Any]:
    """Return `get_event`, refusing what both parsers misread: `{?a: 1}` as a key `a` without its question mark."""
    if b"?" not in data or not _FLOW_KEY(data):
        return get_event
    text = data.decode()

    def checked() -> Any:
        event = get_event()
        index = event.start_mark.index if event is not None else 0
        if index and text[index - 1] == "?" and hasattr(event, "anchor"):
            message, hint = "a plain value can't start with '?' between brackets", "write it in quotes"
            raise Refused(event.start_mark, "yaml-syntax", message, hint)
        return event

    return checked


@cache
def _libyaml() -> tuple[Callable[[bytes], Any], type[Exception], Kinds] | None:
    """Return PyYAML's binding to libyaml, or None if it is missing or too old to read every valid file."""
    try:
        from yaml import YAMLError, _yaml, events  # noqa: PLC0415 - PyYAML may be built without libyaml
    except ImportError:
        return None
    if _yaml.get_version() < _LIBYAML:
        return None
    kinds = _kinds(events)
    return _yaml.CParser, YAMLError, kinds


def _kinds(events: Any) -> Kinds:
    """Return the classes of a parser's events, by the names that both parsers share."""
    return Kinds(
        events.DocumentStartEvent,
        events.ScalarEvent,
        events.AliasEvent,
        events.MappingStartEvent,
        events.MappingEndEvent,
        events.SequenceStartEvent,
        events.SequenceEndEvent,
    )


def _joined(events: Iterator[Any], scalar: Any) -> Iterator[Any]:
    r"""Yield the events with surrogate pairs (`"\ud83d\ude00"`, as JSON writes an emoji) joined to one character."""
    for event in events:
        if type(event) is scalar and not event.value.isascii():
            try:
                event.value = event.value.encode("utf-16", "surrogatepass").decode("utf-16")
            except UnicodeDecodeError:
                message = "half a surrogate pair is no character"
                raise Refused(event.start_mark, "surrogate", message, "write the character itself") from None
        yield event


def _unreadable(builder: Builder, error: Exception, name: str) -> Parsed:
    """Return the problems met so far and the parser's own, in its words but without lines of the file."""
    mark: Mark | None = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    words = [getattr(error, "context", None), getattr(error, "problem", None)]
    message = ", ".join(visible(word) for word in words if word) or "this is not YAML"
    problem = Problem(name, line, column, *_syntax(message))
    return Parsed(problems=[*builder.parsed.problems, problem])


def _syntax(message: str) -> tuple[str, str, str]:
    """Return code, message and hint of a parser's message."""
    if "\\t" in message or "tab" in message:
        return "tab", "a tab can't indent", "indent with spaces"
    hint = ""
    if "mapping values are not allowed" in message:
        hint = "a value that holds `: ` must be quoted"
    elif "escape" in message and "code" in message:
        hint = "write the character itself"
    return "yaml-syntax", message, hint
