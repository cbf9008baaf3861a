"""Declarations as JSON Schema 2020-12, for editors and other validators; hints know the fields from it too.

Pure. pydantic makes it of the types in schema.py; the rules between fields are added here. It judges one document by
itself: what other files, the configuration or YAML have a say in, only the loader can tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from pydantic.json_schema import GenerateJsonSchema

from reconciler.declarations.schema import ADAPTER, LINKEDDATA_TYPES, ON_CHANGE, WHOLE
from reconciler.yamlfile.document import Path

Node = dict[str, Any]
_GIVEN: Final[Node] = {"not": {"type": "null"}}


def declarations_schema() -> Node:
    """Return the schema of a document of declarations; null is an empty one."""
    schema = ADAPTER.json_schema(schema_generator=_Generator)
    types = schema["$defs"]
    _describe(schema)
    types["LinkedDataItem"]["allOf"] = [
        {"if": {"properties": {"type": {"const": kind}}}, "then": {"required": list(needs)}}
        for kind, needs in LINKEDDATA_TYPES.items()
        if needs
    ]
    types["DeclaredInteraction"]["oneOf"] = [{"required": [identity]} for identity in ON_CHANGE]
    types["DeclaredInteraction"]["dependentSchemas"] = {
        identity: _below(("lifecycle", "on_change"), {"enum": [*changes, None], "default": changes[0]})
        for identity, changes in ON_CHANGE.items()
    }
    return {
        "$schema": _Generator.schema_dialect,
        **schema,
        "title": "Declarations of reconciler",
        "type": ["object", "null"],
        "allOf": [_whole(*needed) for needed in WHOLE],
    }


def known_fields(path: Path) -> tuple[str, ...]:
    """Return the fields of the mapping at a path, in order; none where there is no mapping."""
    return tuple(_at(path).get("properties", ()))


def choices(path: Path) -> tuple[str, ...]:
    """Return the values that the field at a path takes, in order."""
    return tuple(_at(path).get("enum", ()))


def home(field: str) -> str | None:
    """Return where below an interaction a field of this name belongs: `routingdata.personalqueue`."""
    return next((".".join(path) for path, name in _nested(()) if name == field), None)


def _describe(schema: Node) -> None:
    """Say of a field what its type says: editors don't look behind a reference."""
    types = schema["$defs"]
    for field in (field for each in (schema, *types.values()) for field in each.get("properties", {}).values()):
        for option in field.get("anyOf", ()):
            if reference := option.get("$ref") or option.get("items", {}).get("$ref"):
                field.setdefault("description", types[reference.rpartition("/")[2]]["description"])


class _Generator(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002  # the names say it
        return False


def _below(path: tuple[str, ...], schema: Node) -> Node:
    """Return the schema that wants this of the value at a path, wherever there is one."""
    for name in reversed(path):
        schema = {"properties": {name: schema}}
    return schema


def _has(path: tuple[str, ...]) -> Node:
    """Return the schema that wants a value at a path."""
    schema = _GIVEN
    for name in reversed(path):
        schema = {"type": "object", "required": [name], "properties": {name: schema}}
    return schema


def _whole(around: tuple[str, ...], name: str) -> Node:
    """Return the rule for a field that an interaction must have: it needs none where the defaults have one.

    That defaults may hold the map around it, and an interaction neither, would take the merge to see.
    """
    kept = {"properties": {name: _GIVEN}}
    own, inherited = _below(around, {"required": [name], **kept}), _below(around, kept)
    return {
        "if": _has(("defaults", *around, name)),
        "then": _below(("interactions",), {"items": inherited}),
        "else": _below(("interactions",), {"items": own}),
    }


@cache
def _schema() -> Node:
    return declarations_schema()


def _at(path: Path) -> Node:
    node = _plain(_schema())
    for part in path:
        node = _plain(node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {}))
    return node


def _plain(node: Node) -> Node:
    """Return what a schema is besides null, and what it refers to."""
    node = {**node, **next((option for option in node.get("anyOf", ()) if option != {"type": "null"}), {})}
    return _schema()["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node


def _nested(path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the fields of the maps in an interaction, each with the path of its map."""
    for name in known_fields(("defaults", *path)):
        if path:
            yield path, name
        yield from _nested((*path, name))
