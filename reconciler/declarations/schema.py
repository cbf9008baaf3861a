"""What a declaration may hold: every field, its type and what it means. The one place for that.

Pure. Whatever else knows fields has them from here: what is sent, what a type of `linkeddata` needs, defaults, hints,
the JSON Schema, the table in docs/declarations.md. Strict: nothing is coerced, and there are no further fields.
Optional maps and scalars may be null, which removes a default (RFC 7396).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import date
from typing import Annotated, Final, Literal, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, with_config
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from reconciler.interaction import ONCE_PREFIX, Interaction, OnChange

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0, le=2_147_483_647)]

LINKEDDATA_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "clid": (),
    "url": (),
    "name": (),
    "mediatype": (),
    "interactionproperty": ("key",),
    "object": ("owner", "key"),
}
"""The known types of `linkeddata`, and the fields that each needs besides `value`."""
_NEEDED: Final = " ".join(
    f"`{kind}` needs `{'` and `'.join(needs)}`." for kind, needs in LINKEDDATA_TYPES.items() if needs
)

ON_CHANGE: Final[Mapping[str, tuple[OnChange, ...]]] = {
    "externalid": (OnChange.REPLACE, OnChange.KEEP),
    "once": (OnChange.KEEP, OnChange.AGAIN),
}
"""What a change can do to an interaction of either identity; the first is the default."""

PREVENT_RELEASE: Final[bool] = Interaction._field_defaults["prevent_release"]
WHOLE: Final = (((), "route"), (("routingdata", "personalqueue"), "agent"))
"""What an interaction must hold once its defaults are merged: a field, wherever there is the map around it."""

_UNFIT: Final = r"^\s|\s$|[\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"
"""What an identity must not have, as far as a pattern can say: space around it, control and invisible characters."""

_DAY: Final = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

_LOCAL: Final = frozenset({"provider", "lifecycle"})
"""What is not sent as a part of the request: the provider stands in the Invocation, and the lifecycle is ours."""


class LinkedDataItem(TypedDict):
    """Something for the agent to see, or for the interaction plan to work with."""

    type: Annotated[
        Text,
        Field(
            description=f"What it is. {_NEEDED} `linkeddata_types` in reconciler.yaml allows others.",
            examples=list(LINKEDDATA_TYPES),
        ),
    ]
    label: NotRequired[Annotated[str, Field(description="What a `url` is shown as.", examples=["Open the case"])]]
    owner: NotRequired[Annotated[Text, Field(description="What an `object` belongs to.", examples=["Case"])]]
    key: NotRequired[
        Annotated[Text, Field(description="Names an `interactionproperty` or an `object`.", examples=["ToNum"])]
    ]
    value: Annotated[
        str,
        Field(
            description="A string: a number in quotes, or it has lost its `+` or leading zero.",
            examples=["+442079460018", "https://crm.example.com/cases/1"],
        ),
    ]


class PersonalQueue(TypedDict, total=False):
    """The agent who is waited for first, and how long."""

    agent: Annotated[
        Text | None, Field(description="The agent's user name; needed, here or in `defaults`.", examples=["ada"])
    ]
    loggedintimeout: Annotated[
        Count | None, Field(description="Seconds to wait for an agent who is logged in.", examples=[20])
    ]
    loggedouttimeout: Annotated[
        Count | None, Field(description="Seconds to wait for an agent who is not.", examples=[30])
    ]


class Skill(TypedDict):
    """A skill that the agent must or should have."""

    name: Annotated[Text, Field(description="The skill.", examples=["language-en"])]
    expiryafter: NotRequired[
        Annotated[Count, Field(description="0 is optional, N expires after N, absent is mandatory.", examples=[0, 60])]
    ]


class RoutingData(TypedDict, total=False):
    """How the interaction finds its agent."""

    interactiontype: Annotated[
        Literal["live", "nonlive", "chat"] | None, Field(description="The kind of work.", examples=["nonlive"])
    ]
    personalqueue: PersonalQueue | None
    skills: list[Skill] | None


def _day(text: str) -> str:
    with suppress(ValueError):
        if date.fromisoformat(text).isoformat() == text:
            return text
    raise PydanticCustomError("date", "not a day")


class PolicyExceptionItem(TypedDict):
    """A rule of the policy that it need not keep for now."""

    rule: Annotated[Text, Field(description="The rule's id.", examples=["crm-only"])]
    reason: Annotated[Text, Field(description="Why, for whoever reads a plan.", examples=["until the move is done"])]
    until: Annotated[
        str,
        AfterValidator(_day),
        Field(description="The last day, in UTC.", examples=["2027-01-31"], json_schema_extra={"pattern": _DAY}),
    ]


class Lifecycle(TypedDict, total=False):
    """What the reconciler does with the interaction. Local, never sent."""

    prevent_release: Annotated[
        bool | None,
        Field(
            description="A plan that would release it is refused.",
            json_schema_extra={"default": PREVENT_RELEASE},
        ),
    ]
    on_change: Annotated[
        Annotated[OnChange, Field(strict=False)] | None,
        Field(
            description="What a changed declaration does. With an `externalid`: `replace` (default), or `keep`: report"
            " as drift, send nothing. For `once`: `keep` (default), or `again`: dispatch once more.",
        ),
    ]
    exceptions: list[PolicyExceptionItem] | None


class InteractionDefaults(TypedDict, total=False):
    """What is merged under each interaction: all but its identity. `null` removes."""

    provider: Annotated[
        Text | None,
        Field(
            description="The registered provider; `null` is none. The interaction's own counts before the one in"
            " `defaults`, that before the document's. A release always names the provider of its dispatch.",
            examples=["CrmIntegration"],
        ),
    ]
    route: Annotated[
        Text | None,
        Field(
            description="The named route of an interaction plan; needed, here or in `defaults`.",
            examples=["CrmCallRouting"],
        ),
    ]
    linkeddata: list[LinkedDataItem] | None
    routingdata: RoutingData | None
    lifecycle: Lifecycle | None


class _Identity(TypedDict, total=False):
    externalid: Annotated[
        str,
        Field(
            description="Its identity, by which it can be released.",
            examples=["ObjectId_001"],
            json_schema_extra={"minLength": 1, "not": {"pattern": f"{_UNFIT}|^{ONCE_PREFIX}"}},
        ),
    ]
    once: Annotated[
        str,
        Field(
            description="Instead of `externalid`: a name of its own. It is dispatched once and can never be released.",
            examples=["welcome-sms"],
            json_schema_extra={"minLength": 1, "not": {"pattern": _UNFIT}},
        ),
    ]


class DeclaredInteraction(_Identity, InteractionDefaults, total=False):
    """An interaction that should be open: exactly one of `externalid` and `once`, and what is not in `defaults`."""


# The types within have no configuration of their own, so they are checked by this one too.
@with_config(ConfigDict(strict=True, extra="forbid"))
class DeclarationDocument(TypedDict):
    """What should be open."""

    provider: NotRequired[
        Annotated[
            Text | None, Field(description="The provider of the interactions below.", examples=["CrmIntegration"])
        ]
    ]
    defaults: NotRequired[InteractionDefaults | None]
    interactions: list[DeclaredInteraction] | None


SENT: Final = tuple(name for name in InteractionDefaults.__annotations__ if name not in _LOCAL)
"""The fields that are a request's own, as the API names them."""


ADAPTER: Final = TypeAdapter(DeclarationDocument)


Error = tuple[str, tuple[str | int, ...]]
"""One of pydantic's error types, and where it is in a document's value."""
_PART: Final = 1_000


def shape_errors(value: object) -> list[Error]:
    """Return what is wrong with the shape of a document's value; none if it is right."""
    items = value.get("interactions") if isinstance(value, dict) else None
    if not (isinstance(value, dict) and isinstance(items, list) and len(items) > _PART):
        return _errors(value)
    # In parts: pydantic makes a copy of what it looks at.
    found = _errors({**value, "interactions": []})
    for start in range(0, len(items), _PART):
        for kind, at in _errors({"interactions": items[start : start + _PART]}):
            found.append((kind, (at[0], int(at[1]) + start, *at[2:])))
    return found


def _errors(value: object) -> list[Error]:
    try:
        ADAPTER.validator.validate_python(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return [(detail["type"], detail["loc"]) for detail in found]
    return []
