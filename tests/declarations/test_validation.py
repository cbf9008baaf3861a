"""What a document may declare, where each problem stands, and what must never be shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.declarations.linkeddata import scheme
from reconciler.declarations.result import ValidationResult
from reconciler.declarations.rules import DeclarationRules
from reconciler.declarations.validation import merge, validate
from reconciler.errors import Problem
from reconciler.interaction import Interaction, OnChange, content_digest
from reconciler.render.problems import problems_text
from reconciler.yamlfile.reader import parse
from tests.known import RULES

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)
SECRET = "+447700900123"


def check(text: str, rules: DeclarationRules | None = None) -> ValidationResult:
    """Validate one document."""
    parsed = parse(text.encode(), "x.yaml")
    assert parsed.problems == []
    return validate(parsed.documents[0], "x.yaml", rules or RULES)


def one(text: str, rules: DeclarationRules | None = None) -> Interaction:
    """Return the one interaction of a document without errors."""
    checked = check(text, rules)
    assert [problem for problem in checked.problems if not problem.warning] == []
    (interaction,) = checked.interactions
    return interaction


def found(text: str, rules: DeclarationRules | None = None) -> list[tuple[int, int, str]]:
    """Return place and code of each problem, in order; nothing is said twice."""
    problems = sorted(check(text, rules).problems)
    assert len(set(problems)) == len(problems)
    return [(problem.line, problem.column, problem.code) for problem in problems]


def item(fields: str) -> str:
    """Return a document with one `linkeddata` item."""
    return f"interactions: [{{externalid: A, route: R, linkeddata: [{{{fields}}}]}}]\n"


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merging_is_that_of_rfc_7396(target: Any, patch: Any, result: Any) -> None:
    """Every example of the RFC's appendix gives the RFC's result."""
    assert merge(target, patch) == result


@given(JSON, JSON)
def test_merging_changes_neither_side(target: Any, patch: Any) -> None:
    """Defaults are shared by many interactions, so merging into them must leave them as they were."""
    before = orjson.dumps([repr(target), repr(patch)])
    merge(target, patch)
    assert orjson.dumps([repr(target), repr(patch)]) == before


@pytest.mark.parametrize(
    ("head", "own", "provider"),
    [
        ("", "", None),
        ("provider: P\n", "", "P"),
        ("provider: P\n", ", provider: Q", "Q"),
        ("provider: P\n", ", provider: null", None),
        ("defaults: {provider: D}\n", "", "D"),
        ("provider: P\ndefaults: {provider: D}\n", "", "D"),
        ("provider: P\ndefaults: {provider: null}\n", "", None),
        ("provider: P\ndefaults: {provider: null}\n", ", provider: Q", "Q"),
        ("defaults: {provider: D}\n", ", provider: null", None),
    ],
)
def test_the_nearest_provider_counts(head: str, own: str, provider: str | None) -> None:
    """An interaction's provider is nearer than its defaults', that nearer than the document's; null means none."""
    assert one(f"{head}interactions: [{{externalid: A, route: R{own}}}]\n").provider == provider


def test_defaults_and_inline_declare_the_same() -> None:
    """Where a field is written doesn't matter: body and digest are the same."""
    inline = one(
        "interactions: [{externalid: A, provider: P, route: R,"
        " routingdata: {interactiontype: live, skills: [{name: S}]}}]\n"
    )
    shared = one(
        "provider: P\ndefaults: {route: R, routingdata: {interactiontype: live, personalqueue: {agent: X}}}\n"
        "interactions: [{externalid: A, routingdata: {personalqueue: null, skills: [{name: S}]}}]\n"
    )
    assert (inline.body, inline.digest) == (shared.body, shared.digest)
    assert inline.digest == content_digest("P", inline.body)


@pytest.mark.parametrize(
    ("identity", "lifecycle", "expected"),
    [
        ("externalid", "", OnChange.REPLACE),
        ("externalid", "{on_change: keep}", OnChange.KEEP),
        ("externalid", "{on_change: null}", OnChange.REPLACE),
        ("once", "", OnChange.KEEP),
        ("once", "{on_change: again}", OnChange.AGAIN),
        ("once", "{prevent_release: false}", OnChange.KEEP),
    ],
)
def test_what_a_change_does_depends_on_the_identity(identity: str, lifecycle: str, expected: OnChange) -> None:
    """An externalid is replaced by default, a `once` kept; each has the other choices of its own."""
    interaction = one(f"interactions: [{{{identity}: A, route: R, lifecycle: {lifecycle}}}]\n")
    assert interaction.on_change is expected
    assert b"lifecycle" not in interaction.body


def test_a_problem_in_a_default_is_reported_once_where_it_stands() -> None:
    """Three interactions inherit the mistakes; each mistake is named once, at the default."""
    text = (
        "defaults:\n  route: R\n  linkeddata: [{type: object, key: k, value: v}]\n"
        "  routingdata: {personalqueue: {loggedintimeout: 1}}\n"
        "interactions: [{externalid: A}, {externalid: B}, {externalid: C}]\n"
    )
    problems = set(check(text).problems)
    assert sorted((problem.line, problem.column, problem.code) for problem in problems) == [
        (3, 16, "missing-field"),
        (4, 32, "missing-field"),
    ]


def test_defaults_may_be_completed_by_an_interaction() -> None:
    """An agent that only the interaction names, and a route that only it has, complete the defaults."""
    interaction = one(
        "defaults: {routingdata: {personalqueue: {loggedintimeout: 5}}}\n"
        "interactions: [{externalid: A, route: R, routingdata: {personalqueue: {agent: X}}}]\n"
    )
    assert interaction.request["routingdata"] == {"personalqueue": {"agent": "X", "loggedintimeout": 5}}


def test_an_interaction_is_as_large_as_its_invocation() -> None:
    """The size is that of the whole Invocation as sent, requestid and provider included, to the byte."""
    for head, provider in (("", {}), ("provider: Pé\n", {"provider": "Pé"})):
        text = f"{head}interactions: [{{externalid: A, route: R}}]\n"
        request = {**one(text).request, "requestid": "13141f79-79bb-4e4f-a7bc-a96f3a08d1bb"}
        size = len(orjson.dumps({**provider, "requests": [request]}))
        assert found(text, replace(RULES, request_bytes=size)) == []
        assert found(text, replace(RULES, request_bytes=size - 1)) == [(2 if head else 1, 16, "too-large")]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://vonage.com", "https"),
        ("JavaScript:x", "javascript"),
        (" \t\njava\tscript\n:x", "javascript"),
        ("\x00\x1fjava\x00script:x", "javascript"),
        ("\u200bjava\u00adscript :x", "javascript"),
        ("\u00a0data:x", "data"),
        ("/path", ""),
        ("", ""),
        ("//host/javascript:x", "//host/javascript"),
    ],
)
def test_a_scheme_is_read_as_browsers_read_it(url: str, expected: str) -> None:
    """White space, control and invisible characters, and case, hide no scheme."""
    assert scheme(url) == expected


def test_only_url_items_have_their_value_checked() -> None:
    """A name may well be `data: all of it`; an address may not."""
    assert found(item('type: name, value: "data: all of it"')) == []
    assert [code for _, _, code in found(item('type: url, value: "data:x"'))] == ["dangerous-url"]


def test_further_types_are_allowed_by_configuration() -> None:
    """A type of `linkeddata_types` is as good as a known one; the hint for others names the key."""
    assert found(item("type: fax, value: x"), replace(RULES, linkeddata_types=frozenset({"fax"}))) == []
    (problem,) = check(item("type: fax, value: x")).problems
    assert "linkeddata_types" in problem.hint


@pytest.mark.parametrize("count", ["0", "2147483647", "0x10"])
def test_times_within_the_range_are_fine(count: str) -> None:
    """From zero to the largest 32-bit integer."""
    skills = f"[{{name: S, expiryafter: {count}}}]"
    assert found(f"interactions: [{{externalid: A, route: R, routingdata: {{skills: {skills}}}}}]\n") == []


@pytest.mark.parametrize("text", ["a b", "é", "ObjectId/1?x=y#z", "a:b", "Once:x", "日本", "😀"])
def test_identities_may_be_most_texts(text: str) -> None:
    """An identity is the CRM's own, so whatever is visible is allowed."""
    assert one(f'interactions: [{{externalid: "{text}", route: R}}]\n').address == text
    assert one(f'interactions: [{{once: "{text}", route: R}}]\n').address == f"once:{text}"


@pytest.mark.parametrize(
    "text", ["", " a", "a\\u00a0", "a\\nb", "a\\u202eb", "a\\u200bb", "a\\u2066", "a\\u0085", "once:a", "\\0"]
)
def test_identities_that_deceive_are_refused(text: str) -> None:
    """Empty, padded, control, bidirectional and invisible: none of these can be an externalid."""
    assert found(f'interactions: [{{externalid: "{text}", route: R}}]\n') == [(1, 29, "identity")]


@pytest.mark.parametrize(
    "fields",
    [
        f"type: clid, value: {SECRET}",
        f"type: clid, label: 1, value: {SECRET}",
        f"type: interactionproperty, key: k, value: {SECRET}",
        f"value: {SECRET}",
        f"type: 3, value: {SECRET}",
        f"type: [], value: {SECRET}",
        f"type: clidd, value: {SECRET}",
        f"type: {SECRET}, value: clid",
        f'type: "{SECRET}", value: clid',
        f'type: clid, "value{SECRET}": x',
        f'type: clid, "{SECRET}": null',
        f"type: clid, value: [{SECRET}]",
        f"type: clid, value: {{x: {SECRET}}}",
        f"type: object, owner: o, Key: Phone, value: {SECRET}",
    ],
)
def test_no_sensitive_value_is_shown(fields: str) -> None:
    """However an item is broken, no message and no hint holds more than its value's first two characters."""
    rules = replace(RULES, sensitive=frozenset({"clid", "interactionproperty", "object:Phone"}))
    text = problems_text(check(item(fields), rules).problems)
    assert text
    assert SECRET[3:] not in text


def test_a_masked_hint_shows_how_the_value_starts() -> None:
    """The hint shows two characters and a dot for each further one; of a public field it shows all."""
    problems: list[Problem] = sorted(check(item(f"type: clid, label: 0123, value: {SECRET}")).problems)
    assert [problem.hint for problem in problems] == [
        'write it in quotes: "0123"',
        'write it in quotes: "+4•••••••••••"',
    ]


def test_identities_of_broken_interactions_are_still_claimed() -> None:
    """An interaction with another problem keeps its identity, so that a duplicate of it is found in the same run."""
    checked = check("interactions: [{externalid: A, route: 1}, {once: B}]\n")
    assert [address for address, _ in checked.invalid_identities] == ["A", "once:B"]
