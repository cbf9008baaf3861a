"""Imported interactions into a file that is there: what it says of anything else stays as it is, letter by letter.

Pure. Only the lines of what changes are written anew, through ruamel.yaml where they aren't as we write them. Where
they don't stand alone (between brackets, or with an alias), so is the document. The result is read and compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final, NamedTuple

from reconciler.declarations.rules import DeclarationRules
from reconciler.declarations.schema import SENT
from reconciler.declarations.validation import merge, validate
from reconciler.errors import Problem
from reconciler.importing.intake import Imported, Item, lifecycle, whole
from reconciler.interaction import Interaction, Place
from reconciler.yamlfile.document import Document, Path
from reconciler.yamlfile.formatting import formatted
from reconciler.yamlfile.reader import parse
from reconciler.yamlfile.roundtrip import append_value, replace_value, round_trip
from reconciler.yamlfile.writing import items_text, scalar_text

_ABSENT: Final = object()
_dash: Final = re.compile(r" *- +").fullmatch
_NO_CONTENT: Final = re.compile(r"\s*(#.*)?").fullmatch


class Change(NamedTuple):
    """An interaction that is declared, and what it is to be."""

    known: Interaction
    imported: Imported


@dataclass(slots=True)
class Edits:
    """What is to become of a file: `changes` of interactions that it declares, and what is `added`."""

    changes: list[Change] = field(default_factory=list)
    added: list[Imported] = field(default_factory=list)


class _Found(NamedTuple):
    """A file as it was read, and what is to become of it."""

    text: str
    documents: Sequence[Document]
    changes: Sequence[Change]
    added: Sequence[Imported]

    def items(self) -> Iterator[tuple[Document, int, Change]]:
        """Yield each change with its document and its number there."""
        places = {
            (mark.line + 1, mark.column + 1): (document, index)
            for document in self.documents
            if document.value and document.value["interactions"]
            for index, mark in enumerate(document.marks[id(document.value["interactions"])][1:])
        }
        for change in self.changes:
            yield *places[change.known.place[1:]], change


def merged(
    data: bytes, name: str, declared: Iterable[Interaction], edits: Edits, rules: DeclarationRules
) -> bytes | list[Problem]:
    """Return a file after its edits, or why that can't be; `declared` is what it declares by now."""
    found = _Found(data.decode(), parse(data, name).documents, edits.changes, edits.added)
    wanted = {each.address: (each.digest, *lifecycle(each)) for each in declared} | dict(_wanted(edits))
    for way in (_by_lines, _by_document):
        try:
            text = way(found)
        except Exception:  # noqa: BLE001, S112 - ruamel.yaml raises errors of many kinds; the other way may do
            continue
        now = _contents(text, name, rules)
        if now.keys() == wanted.keys() and all(now[each][: len(part)] == part for each, part in wanted.items()):
            return text.encode()
    message, hint = "it can't be changed here without a change to something else", "change it by hand"
    places = [change.known.place for change in edits.changes] or [Place(name, 0, 0)]
    return [Problem(*place, "not-merged", message, hint) for place in places]


def document_text(provider: str | None, items: Sequence[Item]) -> str:
    """Return a new document of interactions."""
    return document_head(provider) + items_text(own_item({}, item, {}, provider) for item in items)


def document_head(provider: str | None) -> str:
    """Return what stands before the interactions of a new document; those that name none have this provider."""
    return (f"provider: {scalar_text(provider)}\n" if provider is not None else "") + "interactions:\n"


def own_item(item: Item, wanted: Item, base: Item, inherited: str | None) -> Item:
    """Return what an interaction must say itself to be as wanted, beside defaults and a provider that it inherits."""
    result = {name: item.get(name, part) for name, part in wanted.items() if name in {"externalid", "once"}} | item
    if result.get("provider", inherited) != wanted.get("provider"):
        result["provider"] = wanted.get("provider")
    for name in (name for name in (*wanted, *SENT) if name not in {"externalid", "once", "provider"}):
        _put(result, name, _own(item.get(name, _ABSENT), base.get(name, _ABSENT), wanted.get(name, _ABSENT)))
    return result


def _own(own: Any, base: Any, want: Any) -> Any:
    """Return what must be said over a base to mean what is wanted; what is said now, if that does."""
    if _effective(own, base) == want:
        return own
    if want is _ABSENT:
        return _ABSENT if base is _ABSENT else None
    if not isinstance(want, dict):
        return want
    said, under = ({} if not isinstance(each, dict) else each for each in (own, base))
    result = dict(said)
    for name in {**said, **under, **want}:
        _put(result, name, _own(said.get(name, _ABSENT), under.get(name, _ABSENT), want.get(name, _ABSENT)))
    return result


def _effective(own: Any, base: Any) -> Any:
    if own is _ABSENT:
        return base
    return _ABSENT if own is None else merge(base if base is not _ABSENT else {}, own)


def _put(item: Item, name: str, value: Any) -> None:
    if value is _ABSENT:
        item.pop(name, None)
    else:
        item[name] = value


def _contents(text: str, name: str, rules: DeclarationRules) -> dict[str, tuple[Any, ...]]:
    """Return digest and lifecycle of each interaction; nothing where anything is wrong."""
    parsed = parse(text.encode(), name)
    found = [validate(document, name, rules) for document in parsed.documents]
    if parsed.problems or any(not problem.warning for each in found for problem in each.problems):
        return {}
    interactions = [one for each in found for one in each.interactions]
    contents = {one.address: (one.digest, *lifecycle(one)) for one in interactions}
    return contents if len(contents) == len(interactions) else {}


def _wanted(edits: Edits) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield what is to become of each: its digest and, unless that may come from defaults, its lifecycle."""
    for known, imported in (*edits.changes, *((None, each) for each in edits.added)):
        lives = imported.interaction if "lifecycle" in imported.item else known
        yield imported.interaction.address, (imported.interaction.digest, *(lifecycle(lives) if lives else ()))


def _inherited(document: Document) -> tuple[Item, str | None]:
    """Return a document's defaults, and the provider of what names none."""
    defaults = document.value.get("defaults") or {}
    return merge({}, defaults), defaults.get("provider", document.value.get("provider"))


# -- line by line --------------------------------------------------------------------------------------------------


class _Span(NamedTuple):
    """The lines of one interaction, and the column of its dash."""

    first: int
    end: int
    column: int


def _by_lines(found: _Found) -> str:
    newline = "\r\n" if "\r\n" in found.text else "\n"
    lines = [line if line.endswith(("\n", "\r")) else line + newline for line in found.text.splitlines(keepends=True)]
    edits = [_edit(lines, document, index, change) for document, index, change in found.items()]
    if found.added:
        edits.append(_addition(lines, found))
    for first, end, text in sorted(edits, key=itemgetter(0), reverse=True):
        lines[first:end] = [text.replace("\n", newline)]
    return "".join(lines)


def _edit(lines: list[str], document: Document, index: int, change: Change) -> tuple[int, int, str]:
    item = document.value["interactions"][index]
    own = own_item(item, whole(change.imported), *_inherited(document))
    span = _span(lines, document, index)
    before = "".join(lines[span.first : span.end]).replace("\r\n", "\n")
    if before == items_text([item], span.column):
        return span.first, span.end, items_text([own], span.column)
    after = _changed(before, lambda root: replace_value(root, (0,), item, own))
    margin = re.match(" *", after)
    shift = span.column - len(margin[0] if margin else "")
    text = "".join(
        " " * shift + line if shift > 0 and line.strip() else line[-shift if shift < 0 else 0 :]
        for line in after.splitlines(keepends=True)
    )
    return span.first, span.end, text


def _addition(lines: list[str], found: _Found) -> tuple[int, int, str]:
    """Return new interactions after the last one in a block, else in a document of their own."""
    items = [whole(imported) for imported in found.added]
    document = found.documents[-1] if found.documents else None
    if document is not None and document.value and document.value["interactions"]:
        span = _span(lines, document, len(document.value["interactions"]) - 1)
        base, provider = _inherited(document)
        end = _end_of_list(lines, span)
        return end, end, items_text((own_item({}, item, base, provider) for item in items), span.column)
    head = "---\n" if any(document.value is not None for document in found.documents) else ""
    return len(lines), len(lines), head + document_text(items[0].get("provider"), items)


def _span(lines: list[str], document: Document, index: int) -> _Span:
    """Return where an interaction stands; raises ValueError unless it has a dash and lines of its own."""
    mark = document.marks[id(document.value["interactions"])][index + 1]
    lead = lines[mark.line][: mark.column]
    if not _dash(lead):
        raise ValueError("it does not stand alone")
    column, end = lead.index("-"), mark.line + 1
    for number, line in enumerate(lines[end:], end):
        if not _NO_CONTENT(line):
            if len(line) - len(line.lstrip(" ")) <= column:
                break
            end = number + 1
    return _Span(mark.line, end, column)


def _end_of_list(lines: list[str], last: _Span) -> int:
    """Return the line below an interaction and the comments that are in its list."""
    end = last.end
    for number, line in enumerate(lines[end:], end):
        comment = line.strip()
        if comment and not (comment.startswith("#") and line.index("#") >= last.column):
            break
        end = number + 1 if comment else end
    return end


def _changed(text: str, change: Callable[[Any], None]) -> str:
    """Return a text after a change, in its canonical form; raises ValueError if it has none."""
    done = formatted((round_trip(text, change) or "").encode(), "")
    if not isinstance(done, bytes):
        raise TypeError("it has no canonical form")
    return done.decode()


# -- as a whole ----------------------------------------------------------------------------------------------------


def _by_document(found: _Found) -> str:
    """Return the one document of a file, changed through ruamel.yaml."""
    (document,) = found.documents
    base, provider = _inherited(document)
    at: Path = ("interactions",)

    def change(root: Any) -> None:
        for _, index, each in found.items():
            item = document.value["interactions"][index]
            replace_value(root, (*at, index), item, own_item(item, whole(each.imported), base, provider))
        for imported in found.added:
            append_value(root, at, own_item({}, whole(imported), base, provider))

    return _changed(found.text, change)
