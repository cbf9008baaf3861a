"""Reading declarations: files to documents to interactions. Shell, and the only user of the YAML parsers.

Events come from libyaml through PyYAML's C parser. What libyaml refuses is judged by ruamel.yaml's pure parser, whose
messages and positions are the better ones; the values are built by the same `Builder` either way.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from reconciler.builder import Builder, Kinds, Refused
from reconciler.document import Mark, Parsed
from reconciler.encoding import refusal
from reconciler.errors import ConfigError, DeclarationError, Problem
from reconciler.files import Source, read, walk
from reconciler.model import Interaction, OnChange, Place
from reconciler.processes import cores, spread
from reconciler.render.escape import visible
from reconciler.validate import Rules, validate

JUDGED_BYTES: Final = 256 * 1024
"""The largest file that the pure parser judges: it reads about 100 KB a second, and has to end."""
SPREAD_FILES: Final = 1_000
"""From so many files on, reading them is spread over processes."""
_CHANGES: Final = {change.value: change for change in OnChange}
_MAX_TAG_DIRECTIVES: Final = 16
_FLOW_KEY: Final = re.compile(rb"(?<![^\s\[{,])\?(?=[^\s,\[\]{}])").search
_LIBYAML: Final = (0, 2, 5)


@dataclass(frozen=True, slots=True)
class Declarations:
    """What all files declare: interactions in order of address, warnings in order of place, how many files."""

    interactions: tuple[Interaction, ...]
    warnings: tuple[Problem, ...] = ()
    files: int = 0


def load(root: Path, rules: Rules, *, base: Path) -> Declarations:
    """Return what the files under `root` (a folder or a file) declare; files are named relative to `base`.

    Raises DeclarationError with every problem of every file; if `root` isn't there, with one of code `missing-path`.
    """
    sources, problems = walk(root, base)
    processes = cores() if len(sources) >= SPREAD_FILES else 1
    with _without_garbage_collection():
        found = _Found()
        for part in spread(sources, lambda sources: _read_files(sources, rules).plain(), processes):
            found.add(part)
    problems = sorted({*problems, *found.problems, *found.claimed_twice()})
    if any(not problem.warning for problem in problems):
        raise DeclarationError(tuple(problems))
    interactions = sorted(found.interactions, key=attrgetter("address"))
    return Declarations(tuple(interactions), tuple(problems), len(sources))


def configuration(data: bytes, name: str) -> dict[str, Any]:
    """Return the mapping that a configuration file holds, empty if it is empty. Raises ConfigError."""
    parsed = parse(data, name)
    if parsed.problems:
        raise ConfigError(f"{name} can't be read", problems=tuple(sorted(parsed.problems)))
    if len(parsed.documents) > 1:
        raise ConfigError(f"{name} holds more than one document")
    value = parsed.documents[0].value if parsed.documents else None
    if value is not None and not isinstance(value, dict):
        raise ConfigError(f"{name} must hold a mapping of keys to values")
    return value or {}


def parse(data: bytes, name: str) -> Parsed:
    """Return the documents of a file, with positions, and the problems met in reading it; never raises."""
    if (refused := refusal(data)) is not None:
        return Parsed(problems=[Problem(name, *refused)])
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


@dataclass(slots=True)
class _Found:
    """What files declare. `claims` are the identities of interactions that have problems."""

    interactions: list[Interaction] = field(default_factory=list)
    claims: list[tuple[str, Place]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def plain(self) -> tuple[Any, ...]:
        """Return it in tuples, as it goes from one process to another."""
        interactions = [
            (
                each.address,
                each.provider,
                each.body,
                each.digest,
                tuple(each.place),
                each.prevent_release,
                each.on_change.value,
            )
            for each in self.interactions
        ]
        claims = [(address, tuple(place)) for address, place in self.claims]
        return interactions, claims, [astuple(problem) for problem in self.problems]

    def add(self, plain: tuple[Any, ...]) -> None:
        """Add what `plain` returned elsewhere."""
        interactions, claims, problems = plain
        self.interactions += [
            Interaction(address, provider, body, digest, Place(*place), prevent, _CHANGES[change])
            for address, provider, body, digest, place, prevent, change in interactions
        ]
        self.claims += [(address, Place(*place)) for address, place in claims]
        self.problems += [Problem(*problem) for problem in problems]

    def claimed_twice(self) -> Iterator[Problem]:
        """Yield a problem for each identity that was declared before."""
        claims = [*((each.address, each.place) for each in self.interactions), *self.claims]
        if len({address for address, _ in claims}) == len(claims):
            return
        places: dict[str, Place] = {}
        for address, place in sorted(claims, key=lambda claim: claim[1]):
            first = places.setdefault(address, place)
            if first is not place:
                message = f"'{visible(address)}' is declared twice, first at {first.file}:{first.line}:{first.column}"
                hint = "an identity stands for one interaction: rename or remove one of the two"
                yield Problem(place.file, place.line, place.column, "duplicate-identity", message, hint)


def _read_files(sources: Sequence[Source], rules: Rules) -> _Found:
    found = _Found()
    for source in sources:
        _read_file(source, rules, found)
    return found


def _read_file(source: Source, rules: Rules, found: _Found) -> None:
    data = read(source)
    if isinstance(data, Problem):
        found.problems.append(data)
        return
    parsed = parse(data, source.name)
    spots = {(problem.line, problem.column) for problem in parsed.problems}
    found.problems += parsed.problems
    for document in parsed.documents:
        checked = validate(document, source.name, rules)
        found.interactions += checked.interactions
        found.claims += checked.claims
        if checked.problems:  # what follows from a problem of the parser isn't told twice
            found.problems += [p for p in checked.problems if (p.line, p.column) not in spots]


class _without_garbage_collection:  # noqa: N801 - used as a statement
    """Nothing that is built here holds cycles; looking for them takes a sixth of the time."""

    def __enter__(self) -> None:
        self._was_on = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._was_on:
            gc.enable()
