"""The shape of a declaration document, as pydantic's core checks it: strictly, nothing coerced, no further fields.

Pure. It is written as the schema that pydantic would build from TypedDicts (tests/declarations/test_schema.py holds
those, and that both agree): importing pydantic and building it anew takes longer than all else that a plan of a few
files does.
Optional maps and scalars may be null, which removes a default (RFC 7396).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic_core import SchemaValidator, ValidationError
from pydantic_core.core_schema import (
    CoreSchema,
    bool_schema,
    int_schema,
    list_schema,
    literal_schema,
    nullable_schema,
    str_schema,
    typed_dict_field,
    typed_dict_schema,
)


def _map(required: Mapping[str, CoreSchema], optional: Mapping[str, CoreSchema]) -> CoreSchema:
    """Return the schema of a mapping with these fields and no others."""
    fields = {name: typed_dict_field(schema, required=True) for name, schema in required.items()}
    fields |= {name: typed_dict_field(schema, required=False) for name, schema in optional.items()}
    return typed_dict_schema(fields, extra_behavior="forbid", strict=True)


_or_null: Final = nullable_schema
_string: Final = str_schema(strict=True)
_text: Final = str_schema(strict=True, min_length=1)
_count: Final = int_schema(strict=True, ge=0, le=2_147_483_647)

# Which types need `key` and `owner` is checked in `linkeddata`.
_linkeddata: Final = _map({"type": _text, "value": _string}, {"label": _string, "owner": _text, "key": _text})
# Times in seconds; `agent` may come from the defaults.
_personalqueue: Final = _map(
    {}, {"agent": _or_null(_text), "loggedintimeout": _or_null(_count), "loggedouttimeout": _or_null(_count)}
)
_skill: Final = _map({"name": _text}, {"expiryafter": _count})
_routingdata: Final = _map(
    {},
    {
        "interactiontype": _or_null(literal_schema(["live", "nonlive", "chat"])),
        "personalqueue": _or_null(_personalqueue),
        "skills": _or_null(list_schema(_skill, strict=True)),
    },
)
# What the reconciler does with the interaction; never sent.
_lifecycle: Final = _map(
    {},
    {
        "prevent_release": _or_null(bool_schema(strict=True)),
        "on_change": _or_null(literal_schema(["replace", "keep", "again"])),
    },
)
# What defaults may hold, and each interaction.
_shared: Final[dict[str, CoreSchema]] = {
    "provider": _or_null(_text),
    "route": _or_null(_text),
    "linkeddata": _or_null(list_schema(_linkeddata, strict=True)),
    "routingdata": _or_null(_routingdata),
    "lifecycle": _or_null(_lifecycle),
}
# That an interaction has exactly one identity is checked in `validate`.
_interaction: Final = _map({}, {"externalid": _string, "once": _string, **_shared})
_declaration: Final = _map(
    {"interactions": _or_null(list_schema(_interaction, strict=True))},
    {"provider": _or_null(_text), "defaults": _or_null(_map({}, _shared))},
)
_VALIDATE: Final = SchemaValidator(_declaration).validate_python


def complaints(value: object) -> list[tuple[str, tuple[str | int, ...]]]:
    """Return pydantic's error types and where they are in the document's value; none if its shape is right."""
    try:
        _VALIDATE(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return [(detail["type"], detail["loc"]) for detail in found]
    return []
