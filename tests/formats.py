"""The documented formats, as JSON Schema and as tables of the docs: each is made from where it is described.

That is the model of the configuration, the types of the declarations, of the JSON that is printed (render/formats.py),
of the state and of a saved plan; what stands below a field in its class is its description. tests/test_formats.py
writes the files and holds that they agree with what is read and written.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import EnumType
from functools import cache
from itertools import groupby, pairwise
from operator import itemgetter
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic.json_schema import GenerateJsonSchema

from reconciler.config.settings import ConfigurationFile, takes
from reconciler.declarations.json_schema import declarations_schema
from reconciler.importing.mapping import ADAPTER as MAPPING
from reconciler.importing.mapping import CELLS
from reconciler.interaction import LINKED_BY
from reconciler.planning.policy import PolicyRule
from reconciler.planning.saved_plan import VERSION as PLAN_VERSION
from reconciler.planning.saved_plan import SavedPlan
from reconciler.render.formats import (
    ApplyJson,
    EventJson,
    FailureJson,
    HistoryJson,
    MendedJson,
    PlanJson,
    ProblemsJson,
    ShownJson,
    StateJson,
)
from reconciler.state.codec import LAST_SERIAL
from reconciler.state.entries import VERSION as STATE_VERSION
from reconciler.state.model import State

Node = dict[str, Any]
DIALECT: Final = GenerateJsonSchema.schema_dialect
_PLAIN: Final[Mapping[Any, Node]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    Any: {},
}
_TIME: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$"
_UUID: Final = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_SHA_256: Final = "[0-9a-f]{64}$"


# -- from types ----------------------------------------------------------------------------------------------------


def schema_of(kind: Any, *, closed: bool = False) -> Node:
    """Return the schema of what a type is written as; `closed`: objects have no further keys."""
    origin, parts = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    if origin is Literal:
        return {"enum": list(parts)}
    if isinstance(kind, EnumType):
        return {"enum": [str(each) for each in list[Any](kind)]}
    if origin in {Union, UnionType}:
        return _union([schema_of(part, closed=closed) for part in parts if part is not NoneType], parts)
    return _container(kind, origin, parts, closed=closed)


def _union(options: list[Node], parts: tuple[Any, ...]) -> Node:
    joined = options[0] if len(options) == 1 else {"enum": [each for option in options for each in option["enum"]]}
    return or_null(joined) if NoneType in parts else joined


def _container(kind: Any, origin: Any, parts: tuple[Any, ...], *, closed: bool) -> Node:
    if origin in {list, tuple, Sequence}:
        return {"type": "array", "items": schema_of(parts[0], closed=closed)}
    if origin not in {dict, Mapping}:
        return _class(kind, closed=closed)
    keys, value = schema_of(parts[0]), schema_of(parts[1], closed=closed)
    if "enum" in keys:
        return record(dict.fromkeys(keys["enum"], value))
    return {"type": "object", "additionalProperties": value}


def record(properties: Node, required: Sequence[str] | None = None, *, closed: bool = False) -> Node:
    """Return the schema of an object that has these keys."""
    node = {"type": "object", "properties": properties, "required": list(properties if required is None else required)}
    return {**node, "additionalProperties": False} if closed else node


def or_null(schema: Node) -> Node:
    """Return the schema that takes null too."""
    return schema | {
        key: [*(value if isinstance(value, list) else [value]), null]
        for key, null in (("type", "null"), ("enum", None))
        if (value := schema.get(key)) is not None
    }


def _class(kind: Any, *, closed: bool) -> Node:
    """Return the schema of a TypedDict, NamedTuple or dataclass; it is described by its docstring and those below."""
    told = descriptions(kind)
    properties = {}
    for name, hint in get_type_hints(kind).items():
        properties[name] = _FIELDS if hint is bytes else schema_of(hint, closed=closed)
        if name in told:
            properties[name] = properties[name] | {"description": told[name]}
    optional = getattr(kind, "_field_defaults", {})
    required = [name for name in properties if name not in optional]
    return {
        "description": inspect.cleandoc(kind.__doc__).replace("\n", " "),
        **record(properties, required, closed=closed),
    }


def descriptions(kind: type) -> dict[str, str]:
    """Return what stands below the fields of a class, and of those of its bases that stand beside it."""
    module = sys.modules[kind.__module__]
    (parsed,) = ast.parse(inspect.getsource(kind)).body
    assert isinstance(parsed, ast.ClassDef)
    told: dict[str, str] = {}
    for base in parsed.bases:
        beside = getattr(module, getattr(base, "id", ""), None)
        if isinstance(beside, type) and beside.__module__ == module.__name__:
            told |= descriptions(beside)
    for field, below in pairwise(parsed.body):
        if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
            told[ast.unparse(field.target)] = inspect.cleandoc(ast.literal_eval(below.value)).replace("\n", " ")
    return told


_ITEMS: Final = {
    "type": "array",
    "items": {"type": "object", "properties": {part: {"type": "string"} for part in LINKED_BY}},
}
_FIELDS: Final = {"type": "object", "properties": {"linkeddata": _ITEMS}}
"""An interaction's fields in the state: what else they hold may be a later version's."""


# -- the formats ---------------------------------------------------------------------------------------------------


def document(title: str, node: Node) -> Node:
    """Return a schema as a document of its own."""
    return {"$schema": DIALECT, **node, "title": title}


def interaction_schema() -> Node:
    """Return the schema of one declared interaction, with what it refers to in its place."""
    types = declarations_schema()["$defs"]
    return _resolved(types["DeclaredInteraction"], types)


def _resolved(node: Node, types: Node) -> Node:
    if "$ref" in node:
        node = types[node["$ref"].rpartition("/")[2]] | {key: value for key, value in node.items() if key != "$ref"}
    for option in node.get("anyOf", ()):
        node = (or_null(_resolved(option, types)) if option != {"type": "null"} else {}) | node
    if "properties" in node:
        node = node | {"properties": {key: _resolved(part, types) for key, part in node["properties"].items()}}
    return node | {"items": _resolved(node["items"], types)} if "items" in node else node


def import_mapping_schema() -> Node:
    """Return the schema of what `import --mapping` reads: an interaction, in which a cell may stand for a value."""
    node = MAPPING.json_schema(schema_generator=_Generator)
    interaction = interaction_schema()
    del interaction["dependentSchemas"]  # of what a cell may hold
    told = node["properties"]["interaction"]["description"]
    node["properties"]["interaction"] = _with_cells(interaction) | {"description": told}
    cells = [cell.json_schema(schema_generator=_Generator) for cell in CELLS.values()]
    return document("Mapping of an import of reconciler", {**node, "$defs": {"Cell": {"oneOf": cells}}})


def _with_cells(node: Node) -> Node:
    node = {key: part for key, part in node.items() if key != "anyOf"}  # what it refers to is in its place
    if "properties" in node:
        return node | {"properties": {key: _with_cells(part) for key, part in node["properties"].items()}}
    if "items" in node:
        return node | {"items": _with_cells(node["items"])}
    told = {"description": node["description"]} if "description" in node else {}
    return {"anyOf": [node, {"$ref": "#/$defs/Cell"}], **told}


def config_schema() -> Node:
    """Return the schema of reconciler.yaml. A key without a value is not set, so each takes null."""
    node = ConfigurationFile.model_json_schema(schema_generator=_Generator)
    part = node["$defs"]["Configuration"]
    for each in (node, part):
        each["properties"] = {key: _key(schema) for key, schema in each["properties"].items()}
    node["properties"]["environments"]["additionalProperties"] = False
    return document("Configuration of reconciler", {**node, "type": ["object", "null"]})


class _Generator(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002  # the keys say it
        return False


def _key(schema: Node) -> Node:
    options = [part for part in schema.pop("anyOf", ()) if part.get("type") != "null"]
    if schema["default"] is None:
        del schema["default"]
    if len(options) > 1:
        return schema | {"anyOf": [*options, {"type": "null"}]}
    return or_null(schema | (options[0] if options else {}))


def state_schema() -> Node:
    """Return the schema of the state file."""
    node = schema_of(State, closed=True)
    parts = node["properties"] = {"version": {"const": STATE_VERSION}, **node["properties"]}
    parts["stones"] = {"type": "object", "maxProperties": 0, "description": "Kept for a later version."}
    checksum = "BLAKE2b (16 bytes) of all before it. With another one, everything is checked."
    parts["checksum"] = {"type": "string", "description": checksum}
    node["required"] = list(parts)
    parts["lineage"]["pattern"] = _UUID
    pending, *others = (parts[section]["additionalProperties"] for section in ("pending", "interactions", "failed"))
    for entry in (pending, *others):
        entry["properties"]["digest"]["pattern"] = f"^1:{_SHA_256}"
    for number in (parts["serial"], pending["properties"]["order"], others[1]["properties"]["attempts"]):
        number |= {"minimum": 0, "maximum": LAST_SERIAL}
    pending["properties"]["at"]["pattern"] = _TIME
    pending["if"] = {"properties": {"kind": {"const": "burn"}}}
    pending["then"] = {"properties": {"address": {"not": {"pattern": "^once:"}}}}
    return document("State of reconciler", node)


def saved_plan_schema() -> Node:
    """Return the schema of what `plan --out` writes."""
    node = schema_of(SavedPlan, closed=True)
    change = node["properties"]["plan"]["properties"]["changes"]["items"]["properties"]
    for side in ("before", "after"):
        change[side]["properties"]["fields"] = {
            "type": "string",
            "description": "The route and the names of skills, as JSON.",
        }
    sums = {name: {"type": "string", "pattern": f"^{_SHA_256}"} for name in ("fingerprint", "checksum")}
    parts = {"reconciler_plan": {"const": PLAN_VERSION}, **sums, **node["properties"]}
    return document("Saved plan of reconciler", {**node, "properties": parts, "required": list(parts)})


def events_schema() -> Node:
    """Return the schema of a line of what `--events` writes."""
    kinds = [schema_of(kind) for kind in get_args(EventJson)]
    return document("What happens in a run of reconciler", {"description": "One line.", "oneOf": kinds})


SCHEMAS: Final[Mapping[str, Callable[[], Node]]] = {
    "declarations": declarations_schema,
    "config": config_schema,
    "import-mapping": import_mapping_schema,
    "history": lambda: document("What applies of reconciler did", schema_of(HistoryJson)),
    "plan": lambda: document("Plan of reconciler, as JSON", schema_of(PlanJson)),
    "apply": lambda: document("Result of an apply of reconciler", schema_of(ApplyJson)),
    "error": lambda: document("Why a command of reconciler failed", schema_of(FailureJson)),
    "events": events_schema,
    "saved-plan": saved_plan_schema,
    "state": state_schema,
    "state-list": lambda: document("State of reconciler, listed", schema_of(StateJson)),
    "state-show": lambda: document("An interaction in the state of reconciler", schema_of(ShownJson)),
    "state-mended": lambda: document("What was written into the state of reconciler", schema_of(MendedJson)),
    "validate": lambda: document("Problems of declarations", schema_of(ProblemsJson)),
}


# -- a judge ---------------------------------------------------------------------------------------------------------


def closed(node: Any) -> Any:
    """Return the schema that lets no undocumented key pass, as readers must: a new key is no new version."""
    if isinstance(node, list):
        return [closed(part) for part in node]
    if not isinstance(node, dict):
        return node
    more = {"additionalProperties": False} if "required" in node else {}
    return {**more, **{key: closed(part) for key, part in node.items()}}


@cache
def strict(name: str) -> Draft202012Validator:
    """Return a judge that knows every key."""
    return Draft202012Validator(closed(SCHEMAS[name]()))


def check(name: str, text: str | bytes) -> None:
    """Hold that a document is as documented, key by key."""
    strict(name).validate(json.loads(text))


# -- tables of the docs --------------------------------------------------------------------------------------------


def configuration_table() -> str:
    """Return the table of docs/configuration.md: each key, what it takes, its default, what it means."""
    rows = ["| key | takes | default | |", "|---|---|---|---|"]
    for key, schema in ConfigurationFile.model_json_schema()["properties"].items():
        default = schema["default"]
        usual = ", ".join(f"`{part}`" for part in (default if isinstance(default, list) else [default]) if part)
        rows.append(f"| `{key}` | {takes(key)} | {usual} | {schema['description']} |")
    return "\n".join(rows) + "\n"


def policy_table() -> str:
    """Return the table of docs/policy.md: each key of a rule, what it takes, what it means."""
    rows = ["| key of a rule | takes | |", "|---|---|---|"]
    for key, field in PolicyRule.model_fields.items():
        needed = " Needed." if field.is_required() else ""
        usual = f" `{field.default}` is the default." if isinstance(field.default, str) else ""
        rows.append(f"| `{key}` | {takes('policy', 0, key)} | {field.description}{usual}{needed} |")
    return "\n".join(rows) + "\n"


def events_table() -> str:
    """Return the table of docs/scripts.md: each kind of line with its keys, but for those that all have."""
    lines = {}
    for kind in get_args(EventJson):
        node = schema_of(kind)
        (event,) = node["properties"]["event"]["enum"]
        keys = {name: part for name, part in node["properties"].items() if name not in {"event", "time"}}
        for name in keys.keys() & get_type_hints(ApplyJson).keys():
            keys[name] = {"type": "object", "description": f"As `{name}` of the result."}
        lines[event] = {**node, "properties": keys}
    return table("line", {"properties": lines})


def table(head: str, schema: Node) -> str:
    """Return a table with a row for each key of a format, nested ones under the path that leads to them."""
    rows = [f"| {head} | | |", "|---|---|---|"]
    for (words, told), found in groupby(_nested(schema, "", {}), key=itemgetter(1, 2)):
        rows.append(f"| {', '.join(f'`{path}`' for path, *_ in found)} | {words} | {told} |")
    return "\n".join(rows) + "\n"


def _nested(schema: Node, path: str, seen: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield each key's path, what it takes, and what it means; what has the same shape is told of once."""
    for name, node in schema["properties"].items():
        inner, here = node, f"{path}{name}"
        while "items" in inner or isinstance(inner.get("additionalProperties"), dict):
            step, inner = ("[]", inner["items"]) if "items" in inner else (".*", inner["additionalProperties"])
            here += step
        keys = inner.get("properties")
        keys = None if keys is _FIELDS["properties"] else keys
        first = seen.setdefault(repr(keys), here) if keys else here
        told = node.get("description", inner.get("description", ""))
        yield here, _words(node), told if first == here else f"{told} As `{first}`."
        if keys and first == here:
            yield from _nested(inner, here + ".", seen)


def _words(node: Node) -> str:
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return ", ".join(f"`{each}`" if each is not None else "null" for each in node["enum"])
    kinds, usual = node.get("type", []), [each for each in node.get("examples", ()) if isinstance(each, str)]
    if usual and "string" in kinds:
        return f"text, such as {', '.join(f'`{each}`' for each in usual)}"
    words = {"string": "text", "integer": "number", "boolean": "true or false", "array": "list", "object": "map"}
    return " or ".join(words.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))
