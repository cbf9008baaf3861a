"""The JSON Schema of declarations says what the loader says, as far as it can: an independent validator judges."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from reconciler.declarations.json_schema import declarations_schema
from reconciler.declarations.schema import LINKEDDATA_TYPES
from reconciler.declarations.validation import validate
from reconciler.interaction import LINKED_BY
from reconciler.yamlfile.document import Document
from reconciler.yamlfile.reader import parse
from tests.conftest import ROOT
from tests.known import RULES

SCHEMA: Final = declarations_schema()
JUDGE: Final = Draft202012Validator(SCHEMA)
FILES: Final = sorted(
    path
    for folder in ("interactions", "tests/declarations/bad")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".yaml", ".json"}
)
UNSAID: Final = {
    "unknown-type": "`linkeddata_types` in reconciler.yaml may allow it",
    "dangerous-url": "how a browser finds a scheme behind white space and invisible characters is no pattern",
    "duplicate-identity": "it takes the interactions of all files",
    "too-large": "it takes the request's bytes, and `request_bytes` in reconciler.yaml",
}
"""What only the loader can say, and why. It also says alone what is wrong with YAML, and that 1.0 is no integer."""
INHERITED: Final = {"missing-field", "on-change"}
"""What only the loader can say where `defaults` have a part in it."""


def codes(document: Document) -> set[str]:
    """Return the codes of what the loader refuses in a document."""
    return {problem.code for problem in validate(document, "x", RULES).problems if not problem.warning}


def read(value: object) -> Document:
    """Return a value as a document; JSON is YAML."""
    (document,) = parse(json.dumps(value).encode(), "x").documents
    return document


def check(document: Document) -> None:
    """Check that the schema refuses a document where the loader does, and nowhere else."""
    value, found = document.value, codes(document)
    said = found - UNSAID.keys()
    if JUDGE.is_valid(value):
        inherits = isinstance(value, dict) and isinstance(value.get("defaults"), dict)
        assert said <= (INHERITED if inherits else set())
    else:
        assert said


def test_the_schema_is_one() -> None:
    """The schema is valid itself, says which kind it is, and closes every mapping that it describes."""
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    closed = [each["additionalProperties"] for each in (SCHEMA, *SCHEMA["$defs"].values()) if "properties" in each]
    assert closed == [False] * 9


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_schema_and_loader_agree_on_every_file(path: Path) -> None:
    """Every example is right, and every broken file that is YAML at all is wrong, to both."""
    parsed = parse(path.read_bytes(), path.name)
    if not parsed.problems:
        for document in parsed.documents:
            check(document)
    if path.parent.name == "interactions":
        assert all(JUDGE.is_valid(document.value) for document in parsed.documents)


def maps(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return maps with some of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


TEXTS: Final = st.sampled_from(["a", "日本 é"])
COUNTS: Final = st.sampled_from([0, 9, 2**31 - 1])
ITEM: Final = st.fixed_dictionaries(
    {"type": st.sampled_from(list(LINKEDDATA_TYPES)), "value": TEXTS, "owner": TEXTS, "key": TEXTS}
)
QUEUE: Final = st.fixed_dictionaries({"agent": TEXTS}, optional={"loggedintimeout": COUNTS, "loggedouttimeout": COUNTS})
SKILL: Final = st.fixed_dictionaries({"name": TEXTS}, optional={"expiryafter": COUNTS})
SHARED: Final = {
    "provider": TEXTS,
    "linkeddata": st.lists(ITEM, max_size=2),
    "routingdata": maps(
        interactiontype=st.sampled_from(["live", "nonlive", "chat"]),
        personalqueue=QUEUE | st.none(),
        skills=st.lists(SKILL, max_size=2),
    ),
    "lifecycle": maps(prevent_release=st.booleans(), on_change=st.sampled_from(["keep", "keep", "replace", "again"])),
}
INTERACTION: Final = st.sampled_from(["externalid", "once"]).flatmap(
    lambda identity: st.fixed_dictionaries({identity: st.sampled_from(["A", "B"]), "route": TEXTS}, optional=SHARED)
)
DOCUMENTS: Final = st.fixed_dictionaries(
    {"interactions": st.lists(INTERACTION, min_size=1, max_size=2)},
    optional={"provider": TEXTS | st.none(), "defaults": maps(**SHARED, route=TEXTS)},
)
NAMES: Final = st.sampled_from(["", " A", "A\n", "A\u00a0", "A\x07B", "A\u200bB", "once:A", "Once:A", "externalid"])
OTHERS: Final[st.SearchStrategy[Any]] = NAMES | st.sampled_from(
    [None, True, 0, -1, 1.5, 2**31, "live", "again", "replace", "true", "5", [], {}, [3]]
).map(deepcopy)


def holders(value: Any) -> Iterator[Any]:
    """Yield every map and list in a value, itself included."""
    if isinstance(value, dict | list):
        yield value
        for part in value.values() if isinstance(value, dict) else value:
            yield from holders(part)


@st.composite
def changed(draw: st.DrawFn) -> object:
    """Return a document that is nearly right: of one or two of its values, some are others, gone, or one too many."""
    document = draw(DOCUMENTS)
    for _ in range(draw(st.integers(1, 2))):
        holder = draw(st.sampled_from(list(holders(document))))
        if isinstance(holder, list):
            holder.append(draw(OTHERS))
        elif holder and draw(st.booleans()):
            del holder[draw(st.sampled_from(list(holder)))]
        else:
            holder[draw(st.sampled_from([*holder, "odd", "route", "once"]))] = draw(OTHERS)
    return document


@settings(max_examples=300, deadline=None)
@given(changed())
def test_schema_and_loader_agree(value: object) -> None:
    """Whatever the document, the schema refuses it where the loader does, but for what it can't say."""
    check(read(value))


def interaction(**fields: Any) -> dict[str, Any]:
    """Return a document of one interaction."""
    return {"interactions": [fields]}


@pytest.mark.parametrize(
    "value",
    [
        interaction(route="R"),
        interaction(externalid="A"),
        interaction(externalid="A", route=None),
        {"defaults": {"route": "R"}, **interaction(externalid="A", route=None)},
        {"defaults": {"route": None}, **interaction(externalid="A")},
        interaction(externalid="A", once="B", route="R", lifecycle={"on_change": "again"}),
        interaction(externalid="A", route="R", lifecycle={"on_change": "again"}),
        interaction(once="A", route="R", lifecycle={"on_change": "replace"}),
        interaction(once="A", route="R", routingdata={"personalqueue": {}}),
        interaction(once="A", route="R", linkeddata=[{"type": "object", "key": "k", "value": "v"}]),
        interaction(once="A", route="R", linkeddata=[{"type": "interactionproperty", "value": "v"}]),
        *[interaction(externalid=name, route="R") for name in ("", " A", "A\n", "A\u00a0", "\x07", "\u200b", "once:A")],
        *[interaction(once=name, route="R") for name in ("", " A", "A\n", "A\u00a0", "\x07", "\u200b")],
    ],
)
def test_both_refuse_what_is_between_fields(value: object) -> None:
    """What the types alone don't say, the schema says as the loader does."""
    assert not JUDGE.is_valid(value)
    assert codes(read(value)) - UNSAID.keys()


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"interactions": None},
        {"defaults": None, **interaction(once="once:A", route="R")},
        {"defaults": {"route": "R"}, **interaction(externalid="Once:A b", routingdata=None, lifecycle=None)},
        interaction(once="A", route="R", lifecycle={"on_change": None, "prevent_release": None}),
    ],
)
def test_both_take_what_is_rare(value: object) -> None:
    """Empty documents, nulls and odd identities are right to both."""
    assert JUDGE.is_valid(value)
    assert codes(read(value)) == set()


def test_what_the_schema_says_helps_in_an_editor() -> None:
    """Every field says what it is for, for editors don't look behind a reference; a default is named."""
    fields = [each for part in (SCHEMA, *SCHEMA["$defs"].values()) for each in part.get("properties", {}).items()]
    assert [name for name, schema in fields if "description" not in schema] == []
    assert all("description" in each for each in SCHEMA["$defs"].values())
    assert SCHEMA["$defs"]["Lifecycle"]["properties"]["prevent_release"]["default"] is False
    assert "quotes" in SCHEMA["$defs"]["LinkedDataItem"]["properties"]["value"]["description"]


def test_what_code_goes_by_is_declared() -> None:
    """Fields that the code knows by name, because it does something with them, are fields of the schema."""
    types = SCHEMA["$defs"]
    assert set(LINKED_BY) <= types["LinkedDataItem"]["properties"].keys()
    assert {"linkeddata", "routingdata", "lifecycle", "provider"} <= types["InteractionDefaults"]["properties"].keys()
    assert {"name", "expiryafter"} <= types["Skill"]["properties"].keys()
