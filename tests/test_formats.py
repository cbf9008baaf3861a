"""Each documented format: its schema and its table are those of the code, and agree with what is read and written."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from reconciler.config.layers import configure
from reconciler.config.settings import KEYS
from reconciler.errors import ConfigError, ReconcilerError
from reconciler.planning.guards import Approvals, refusals
from reconciler.planning.policy import Excepted
from reconciler.planning.saved_plan import SavedPlan
from reconciler.planning.saved_plan import encode as encode_plan
from reconciler.render.machine import plan_json, problems_json
from reconciler.render.story import listing_json, story_json
from reconciler.schemas import FORMATS, schema_text
from reconciler.state.codec import decode, encode
from reconciler.state.model import State
from tests.command import Workplace
from tests.conftest import ROOT
from tests.formats import (
    SCHEMAS,
    Node,
    check,
    configuration_table,
    events_table,
    interaction_schema,
    policy_table,
    table,
)
from tests.golden import assert_golden, assert_table
from tests.known import LIMITS
from tests.render import plans
from tests.render.test_machine import ERROR, WARNING
from tests.render.test_text import everything
from tests.states import EVERYTHING, states
from tests.test_imports import loaded

DOCS: Final = ROOT / "docs"
PACKAGE: Final = ROOT / "reconciler" / "schemas"


@cache
def validator(name: str) -> Draft202012Validator:
    """Return an independent judge of a format."""
    return Draft202012Validator(SCHEMAS[name]())


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_is_a_schema(name: str) -> None:
    """It is JSON Schema 2020-12 with a title and a description; the docs have it to read, the package small."""
    schema = SCHEMAS[name]()
    Draft202012Validator.check_schema(schema)
    assert {"title", "description"} <= schema.keys()
    assert_golden(json.dumps(schema, separators=(",", ":")) + "\n", PACKAGE / f"{name}.json")
    assert_golden(schema_text(name), DOCS / "schemas" / f"{name}.json")


def test_every_schema_is_printed_and_there_are_no_others(tmp_path: Path) -> None:
    """`schema NAME` prints each, `schema` says what there is, and another name is refused."""
    place = Workplace(tmp_path)
    assert [line.split()[0] for line in place.run("schema").out.splitlines()] == list(FORMATS) == list(SCHEMAS)
    for name in FORMATS:
        assert place.run("schema", name).json == SCHEMAS[name]()
    assert {path.stem for folder in (PACKAGE, DOCS / "schemas") for path in folder.glob("*.json")} == set(FORMATS)
    assert place.run("schema", "plans").code == 64


def test_to_print_a_schema_loads_nothing_heavy(tmp_path: Path) -> None:
    """The schemas are files: none is made when it is asked for."""
    assert {"pydantic", "yaml", "orjson"} & loaded("schema", "declarations", folder=tmp_path) == set()


def test_the_tables_of_the_docs() -> None:
    """They are made from where each format is described."""
    assert_table(configuration_table(), DOCS / "configuration.md")
    assert_table(policy_table(), DOCS / "policy.md")
    assert_table(table("field", interaction_schema()), DOCS / "declarations.md")
    assert_table(table("key of the problems", SCHEMAS["validate"]()), DOCS / "declarations.md")
    assert_table(table("key of the plan", SCHEMAS["plan"]()), DOCS / "plan.md")
    assert_table(table("key of the state", SCHEMAS["state"]()), DOCS / "state.md")
    assert_table(table("key of the history", SCHEMAS["history"]()), DOCS / "state.md")
    assert_table(table("key of the list", SCHEMAS["state-list"]()), DOCS / "state.md")
    assert_table(table("key of the result", SCHEMAS["apply"]()), DOCS / "scripts.md")
    assert_table(events_table(), DOCS / "scripts.md")


def test_every_code_of_an_error_is_documented() -> None:
    """docs/exit-codes.md names each, with the exit code that comes with it."""
    page = (DOCS / "exit-codes.md").read_text(encoding="utf-8")
    kinds = [ReconcilerError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        assert f"| `{kind.code}` | {kind.exit_code} |" in page


# -- what is printed ---------------------------------------------------------------------------------------------


def test_what_is_printed_is_as_documented() -> None:
    """Plans, problems, lists and stories have the keys and types that their schemas say, and no others."""
    plan = everything()
    refused = refusals(plan, LIMITS, Approvals())
    free = (Excepted("A", "crm-only", "the move", "2027-01-31", "interactions/crm.yaml:3"),)
    check("plan", plan_json(SavedPlan(plan, Approvals(), refused, (WARNING, ERROR), "prod", exceptions=free)))
    check("saved-plan", encode_plan(SavedPlan(plan, Approvals(), refused, (WARNING,), "prod", exceptions=free)))
    check("validate", problems_json([WARNING, ERROR]))
    check("state-list", listing_json(EVERYTHING))
    for address in EVERYTHING.interactions:
        check("state-show", story_json(EVERYTHING, address, None))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(plans.HOSTILE) | st.text(max_size=30), min_size=1, max_size=2))
def test_plans_are_as_documented(values: list[str]) -> None:
    """So they are whatever is declared."""
    saved = plans.hostile(values)
    check("plan", plan_json(saved))
    check("saved-plan", encode_plan(saved))


# -- the state ---------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(states)
def test_every_state_is_as_documented(state: State) -> None:
    """What the codec writes is what the schema says."""
    validator("state").validate(orjson.loads(b"".join(encode(state))))


VALUES: Final[list[Any]] = [None, True, -1, 7, 0.5, "", "x", "burn", "once:x", [], ["x"], [[]], {}, {"x": {}}]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_schema_takes_no_state_that_the_codec_refuses(data: st.DataObject) -> None:
    """A state in which a value was replaced, removed or added is refused by the schema if the codec refuses it."""
    raw = orjson.loads(b"".join(encode(data.draw(st.just(EVERYTHING) | states))))
    mutate(raw, data)
    if validator("state").is_valid(raw):
        decode(orjson.dumps(raw), "s")


def mutate(node: Any, data: st.DataObject) -> None:
    """Replace, remove or add a value somewhere below."""
    keys: list[Any] = list(node) if isinstance(node, dict) else list(range(len(node)))
    key = data.draw(st.sampled_from([*keys, None]))
    if key is None:
        value = deepcopy(data.draw(st.sampled_from(VALUES)))
        node.update({"more": value}) if isinstance(node, dict) else node.append(value)
    elif isinstance(node[key], dict | list) and data.draw(st.integers(0, 3)):
        mutate(node[key], data)
    elif data.draw(st.booleans()):
        node[key] = deepcopy(data.draw(st.sampled_from(VALUES)))
    else:
        del node[key]


# -- the configuration -------------------------------------------------------------------------------------------


def examples(schema: Node) -> list[Any]:
    """Return what a key may hold, and what is next to that."""
    some = [*schema.get("examples", ()), *filter(None, schema.get("enum", ()))]
    some += [schema[limit] + step for limit in ("minimum", "maximum") if limit in schema for step in (-1, 0, 1)]
    return [*some, schema.get("default")]


def configurations() -> st.SearchStrategy[Node]:
    """Return configurations, right and wrong; without what only the loader can tell: where a URL leads."""
    keys = {key: part for key, part in SCHEMAS["config"]()["properties"].items() if not key.endswith("_url")}
    odd: st.SearchStrategy[Any] = st.sampled_from(
        [None, True, 0, -1, 5, 0.5, 1e300, "", " ", "5", "a b", "hold", [], ["a"], [""], [5], {}]
    )
    one = {key: st.sampled_from(examples(part)) | odd for key, part in keys.items()}
    part = st.fixed_dictionaries({}, optional={key: one[key] for key in KEYS if key in one} | {"regoin": odd})
    names = st.sampled_from(["prod", "a-b_1", "a b", "-a", "", "é"])
    environments = st.dictionaries(names, part | odd, max_size=2) | odd
    return st.fixed_dictionaries({}, optional={**one, "environments": environments, "zzz": odd})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for all examples."""
    return tmp_path_factory.mktemp("configuration")


@settings(max_examples=150, deadline=None)
@given(document=configurations())
def test_the_schema_and_the_loader_agree_on_configurations(folder: Path, document: Node) -> None:
    """What the schema takes, the loader takes, and the other way around."""
    (folder / "reconciler.yaml").write_text(json.dumps(document), encoding="utf-8")
    if validator("config").is_valid(document):
        configure(folder, {})
    else:
        with pytest.raises(ConfigError):
            configure(folder, {})
