"""From a parser's events to plain values and positions, in one pass.

Pure: it is handed a parser's events and their classes, and knows neither libyaml nor ruamel.yaml. What it decides
itself, and so the same for both: the meaning of scalars, anchors, aliases, merge keys, duplicate keys, tags.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from sys import intern
from typing import Any, Final, NamedTuple

from reconciler.errors import Problem, ProblemCode
from reconciler.yamlfile.document import Document, Mark, Parsed
from reconciler.yamlfile.scalars import SPECIAL, describe, resolve

MAX_DEPTH: Final = 64
"""How deep values may nest, aliases followed."""
MAX_ALIASED: Final = 1_000_000
"""How many values may be reached through aliases in one document; 64 characters of text count as one more."""

_MERGE: Final = object()
_OPEN: Final = object()
_NAME: Final = re.compile(r"[a-z_]{1,40}").fullmatch


class YamlRefused(Exception):
    """The rest of the file can't be read."""

    def __init__(self, mark: Mark, code: ProblemCode, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.mark, self.code, self.hint = mark, code, hint


class _Anchored(NamedTuple):
    value: Any
    text: str | None


class _Weight(NamedTuple):
    nodes: int
    height: int
    value: Any  # held, so that its id stays its own


def _is_text(event: Any) -> bool:
    """Whether a scalar is a string and nothing else, which most are."""
    value = event.value
    return bool(event.tag is None and event.anchor is None and (event.style or (value and value[0] not in SPECIAL)))


class Builder:
    """Builds the documents of one file; what is wrong without being fatal is collected in `parsed`."""

    __slots__ = ("_aliased", "_anchors", "_document", "_events", "_get", "_marks", "_name", "_weights", "parsed")

    def __init__(self, get_event: Callable[[], Any], events: Any, name: str) -> None:
        """`events` holds the classes of the parser's events, which both parsers name alike and mypy can't know."""
        self.parsed = Parsed()
        self._get = get_event
        self._events = events
        self._name = name

    def build(self) -> Parsed:
        """Read every event; a fatal problem ends the reading. The parser's own exceptions pass through."""
        get, start = self._get, self._events.DocumentStartEvent
        try:
            while (event := get()) is not None:
                if type(event) is start:
                    self._one_document(event)
        except YamlRefused as refused:
            self._problem(refused.mark, refused.code, str(refused), refused.hint)
        return self.parsed

    def _one_document(self, start: Any) -> None:
        if start.version == (1, 1):
            hint = "remove the %YAML line, and quote words such as yes and no where they are meant as text"
            self._problem(start.start_mark, "yaml-version", "files are read as YAML 1.2, not 1.1", hint)
        event = self._get()
        document = self._document = Document(None, event.start_mark)
        self._marks = document.marks
        self._anchors: dict[str, Any] = {}
        self._weights: dict[int, _Weight] = {}
        self._aliased = 0
        document.value = self._node(event, 0)
        self.parsed.documents.append(document)

    def _problem(self, mark: Mark, code: ProblemCode, message: str, hint: str = "") -> None:
        self.parsed.problems.append(Problem(self._name, mark.line + 1, mark.column + 1, code, message, hint))

    def _node(self, event: Any, depth: int) -> Any:
        events, kind = self._events, type(event)
        if kind is events.ScalarEvent:
            return self._scalar(event)
        if kind is events.AliasEvent:
            return self._alias(event, depth)
        if depth >= MAX_DEPTH:
            raise YamlRefused(event.start_mark, "too-deep", f"values nest deeper than {MAX_DEPTH} levels")
        if event.tag is not None:
            self._tag(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = _OPEN
        build = self._mapping if kind is events.MappingStartEvent else self._sequence
        value: Any = build(event, depth + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(value, None)
        return value

    def _sequence(self, start: Any, depth: int) -> list[Any]:
        get, end = self._get, self._events.SequenceEndEvent
        values: list[Any] = []
        marks = self._marks[id(values)] = [start.start_mark]
        while type(event := get()) is not end:
            values.append(self._node(event, depth))
            marks.append(event.start_mark)
        return values

    def _mapping(self, start: Any, depth: int) -> dict[str, Any]:
        # The hot loop: what can only be a string is taken as it is.
        get, scalar, end = self._get, self._events.ScalarEvent, self._events.MappingEndEvent
        values: dict[Any, Any] = {}
        marks, merge = [start.start_mark], None
        self._marks[id(values)] = marks
        while type(event := get()) is not end:
            mark = event.start_mark
            key = intern(event.value) if type(event) is scalar and _is_text(event) else self._key(event, depth)
            event = get()
            value = event.value if type(event) is scalar and _is_text(event) else self._node(event, depth)
            if key is _MERGE and merge is None:
                merge = (value, event.start_mark)
            elif key in values or key is _MERGE:
                self._duplicate(key, mark, values)
            elif key is not None:
                values[key] = value
                marks.append(mark)
                marks.append(event.start_mark)
        if merge is not None:
            self._merge(values, marks, *merge)
        return values

    def _scalar(self, event: Any) -> Any:
        value: Any = event.value
        text = None
        if event.tag is not None:
            self._tag(event)
        elif not event.style:
            value, text = self._plain(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchored(value, text)
        return value

    def _plain(self, event: Any) -> tuple[Any, str | None]:
        text = event.value
        try:
            value = resolve(text)
        except ValueError:
            message = f"a number of {len(text)} characters can't be read"
            self._problem(event.start_mark, "long-number", message, "if it is meant as text, write it in quotes")
            return text, None
        if value is text:
            return text, None
        if value is None:
            self._document.has_null = True
        self._document.texts[id(event.start_mark)] = text
        return value, text

    def _key(self, event: Any, depth: int) -> Any:
        """Return the key, `_MERGE` for a merge key, or None for one that was reported."""
        if type(event) is self._events.ScalarEvent and event.value == "<<" and not event.style and event.tag is None:
            return _MERGE
        before = len(self.parsed.problems)
        key = self._node(event, depth)
        if isinstance(key, str):
            return key
        if len(self.parsed.problems) == before:
            hint = "" if isinstance(key, dict | list) else "if it is meant as text, write it in quotes"
            self._problem(event.start_mark, "key-type", f"a key must be a string, this is {describe(key)}", hint)
        return None

    def _alias(self, event: Any, depth: int) -> Any:
        mark = event.start_mark
        anchored = self._anchors.get(event.anchor)
        if anchored is None:
            self._problem(mark, "unknown-alias", "no anchor of this name stands before the alias in its document")
            return None
        if anchored is _OPEN:
            self._problem(mark, "recursive-alias", "the alias stands inside the value that it names")
            return None
        weight = self._weigh(anchored.value)
        self._aliased += weight.nodes
        if self._aliased > MAX_ALIASED:
            raise YamlRefused(mark, "alias-bomb", f"aliases repeat more than {MAX_ALIASED:,} values")
        if depth + weight.height > MAX_DEPTH:
            raise YamlRefused(mark, "too-deep", f"values nest deeper than {MAX_DEPTH} levels through aliases")
        if anchored.text is not None:
            self._document.texts[id(mark)] = anchored.text
        return anchored.value

    def _weigh(self, value: Any) -> _Weight:
        # Nested aliases were weighed when they were met, so the recursion is no deeper than the text.
        if not isinstance(value, dict | list):
            return _Weight(1 + len(value) // 64 if isinstance(value, str) else 1, 0, value)
        if (known := self._weights.get(id(value))) is not None:
            return known
        parts = [self._weigh(part) for part in (value.values() if isinstance(value, dict) else value)]
        nodes = 1 + len(parts) + sum(part.nodes for part in parts)
        weight = _Weight(nodes, 1 + max((part.height for part in parts), default=0), value)
        self._weights[id(value)] = weight
        return weight

    def _merge(self, values: dict[Any, Any], marks: list[Mark], merged: Any, mark: Mark) -> None:
        for source in merged if isinstance(merged, list) else [merged]:
            if not isinstance(source, dict):
                message = f"a merge key takes a mapping or a list of mappings, this is {describe(source)}"
                self._problem(mark, "merge-key", message)
                continue
            source_marks = self._marks[id(source)]
            for index, (key, value) in enumerate(source.items()):
                if key not in values:
                    values[key] = value
                    marks += source_marks[2 * index + 1 : 2 * index + 3]

    def _duplicate(self, key: Any, mark: Mark, values: dict[Any, Any]) -> None:
        if key is _MERGE:
            hint = "merge a list: <<: [*a, *b]"
            self._problem(mark, "duplicate-key", "the key '<<' stands twice in this mapping", hint)
            return
        # A key that isn't a plain name may be a value that slipped: it isn't shown, for it may be sensitive.
        name = f"the key '{key}'" if _NAME(key) else "this key"
        first = self._marks[id(values)][2 * list(values).index(key) + 1]
        message = f"{name} stands twice in this mapping, first at line {first.line + 1}, column {first.column + 1}"
        self._problem(mark, "duplicate-key", message, "keep one of the two")

    def _tag(self, event: Any) -> None:
        hint = "remove it; quotes make a string"
        self._problem(event.start_mark, "tag", "tags (`!…`) are not allowed", hint)
