"""The shape's schema is what pydantic builds from TypedDicts that read like the documentation."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from reconciler.declarations.schema import complaints

STRICT = ConfigDict(strict=True, extra="forbid")
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0, le=2_147_483_647)]


@with_config(STRICT)
class LinkedData(TypedDict):
    """One item of `linkeddata`."""

    type: Text
    value: str
    label: NotRequired[str]
    owner: NotRequired[Text]
    key: NotRequired[Text]


@with_config(STRICT)
class PersonalQueue(TypedDict, total=False):
    """`routingdata.personalqueue`."""

    agent: Text | None
    loggedintimeout: Count | None
    loggedouttimeout: Count | None


@with_config(STRICT)
class Skill(TypedDict):
    """One item of `routingdata.skills`."""

    name: Text
    expiryafter: NotRequired[Count]


@with_config(STRICT)
class RoutingData(TypedDict, total=False):
    """`routingdata`."""

    interactiontype: Literal["live", "nonlive", "chat"] | None
    personalqueue: PersonalQueue | None
    skills: list[Skill] | None


@with_config(STRICT)
class Lifecycle(TypedDict, total=False):
    """`lifecycle`."""

    prevent_release: bool | None
    on_change: Literal["replace", "keep", "again"] | None


@with_config(STRICT)
class Defaults(TypedDict, total=False):
    """`defaults`."""

    provider: Text | None
    route: Text | None
    linkeddata: list[LinkedData] | None
    routingdata: RoutingData | None
    lifecycle: Lifecycle | None


@with_config(STRICT)
class Declared(Defaults, total=False):
    """One interaction."""

    externalid: str
    once: str


@with_config(STRICT)
class Declaration(TypedDict):
    """A document."""

    interactions: list[Declared] | None
    provider: NotRequired[Text | None]
    defaults: NotRequired[Defaults | None]


BY_TYPES = TypeAdapter(Declaration)

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 3),
    st.sampled_from([2**31 - 1, 2**31, 10**30, 1.0, 1.5, float("nan")]),
    st.sampled_from(["", "a", "live", "again", "keep", "\ud83d"]),
)


def maps(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return maps with some of the fields, right or wrong, now and then one that isn't known, or no map at all."""
    optional = {name: st.one_of(strategy, strategy, strategy, scalars) for name, strategy in fields.items()}
    return st.one_of(*[st.fixed_dictionaries({}, optional={**optional, "odd": scalars})] * 4, scalars)


def lists(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return short lists."""
    return st.lists(items, max_size=2)


texts, counts = st.sampled_from(["a", ""]), st.integers(0, 9)
linkeddata = lists(maps(type=texts, value=texts, label=texts, owner=texts, key=texts))
queues = maps(agent=texts, loggedintimeout=counts, loggedouttimeout=counts)
routing = maps(
    interactiontype=st.sampled_from(["live", "chat", "no"]),
    personalqueue=queues,
    skills=lists(maps(name=texts, expiryafter=counts)),
)
lifecycles = maps(prevent_release=st.booleans(), on_change=st.sampled_from(["keep", "replace", "never"]))
shared = {"provider": texts, "route": texts, "linkeddata": linkeddata, "routingdata": routing, "lifecycle": lifecycles}
documents = maps(
    provider=texts, defaults=maps(**shared), interactions=lists(maps(externalid=texts, once=texts, **shared))
)


def by_types(value: object) -> list[tuple[str, tuple[str | int, ...]]]:
    """Return what pydantic finds wrong by the types above."""
    try:
        BY_TYPES.validate_python(value)
    except ValidationError as error:
        return [(detail["type"], detail["loc"]) for detail in error.errors(include_url=False, include_input=False)]
    return []


@settings(max_examples=500, deadline=None)
@given(documents)
def test_the_schema_finds_what_the_types_find(document: object) -> None:
    """Both find the same wrong at the same places, whatever the document."""
    assert sorted(complaints(document), key=repr) == sorted(by_types(document), key=repr)


def test_a_whole_document_is_right() -> None:
    """A document that uses every field has nothing wrong."""
    fields = {
        "provider": "P",
        "route": "R",
        "linkeddata": [{"type": "t", "value": "", "label": "", "owner": "o", "key": "k"}],
        "routingdata": {
            "interactiontype": "live",
            "personalqueue": {"agent": "a", "loggedintimeout": 0, "loggedouttimeout": 2_147_483_647},
            "skills": [{"name": "s", "expiryafter": 0}, {"name": "s"}],
        },
        "lifecycle": {"prevent_release": True, "on_change": "keep"},
    }
    interactions = [{"externalid": "a", **fields}, {"once": "b", **dict.fromkeys(fields)}]
    assert complaints({"provider": None, "defaults": fields, "interactions": interactions}) == []
    assert complaints({"interactions": None}) == []
