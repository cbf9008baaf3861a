"""The policy: what each requirement demands, whom a rule is about, and which exceptions hold."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.interaction import Interaction, Place, PolicyException
from reconciler.planning.policy import REQUIREMENTS, PolicyRule, excepted, judge
from tests.known import interaction, opened

TODAY: Final = date(2026, 11, 24)
CLID: Final = {"type": "clid", "value": "1"}
OWNER: Final = {"type": "object", "owner": "Case", "key": "Owner", "value": "ada"}


def rule(**parts: Any) -> PolicyRule:
    """Return a rule."""
    return PolicyRule(**{"id": "r", "message": "Because.", **parts})


def skilled(*names: str, kind: str | None = None) -> Interaction:
    """Return an interaction that needs skills."""
    routing: dict[str, Any] = {"skills": [{"name": name} for name in names]}
    return interaction(routingdata=routing | ({"interactiontype": kind} if kind else {}))


def flaws(rules: list[PolicyRule], *declared: Interaction) -> list[str]:
    """Return what breaks rules, without the rest of the messages."""
    return [problem.message.removesuffix(": Because.") for problem in sorted(judge(rules, declared, (), TODAY))]


@pytest.mark.parametrize(
    ("demand", "declared", "expected"),
    [
        ({"identities": ["A"]}, interaction(), []),
        ({"identities": ["CASE-*", "once:*"]}, interaction(), ["has the name 'A' (allowed: CASE-*, once:*)"]),
        ({"identities": ["CASE-*", "once:*"]}, interaction("once:sms"), []),
        ({"providers": ["C*"]}, interaction(), []),
        ({"providers": ["Sms"]}, interaction(), ["has the provider 'Crm' (allowed: Sms)"]),
        ({"providers": ["Sms"]}, interaction(provider=None), ["has no provider (allowed: Sms)"]),
        ({"providers": ["Sms", ""]}, interaction(provider=None), []),
        ({"providers": [""]}, interaction(), ["has the provider 'Crm' (allowed: none)"]),
        ({"providers": []}, interaction(), ["has the provider 'Crm' (allowed: nothing)"]),
        ({"routes": ["D[ae]y"]}, interaction(), []),
        ({"routes": ["Night"]}, interaction(), ["has the route 'Day' (allowed: Night)"]),
        ({"routes": ["day"]}, interaction(), ["has the route 'Day' (allowed: day)"]),
        ({"routes": ["[x]"]}, interaction(route="[x]"), []),
        ({"interaction_types": ["nonlive"]}, skilled(kind="nonlive"), []),
        ({"interaction_types": ["chat"]}, skilled(kind="live"), ["has the interactiontype 'live' (allowed: chat)"]),
        ({"interaction_types": ["nonlive"]}, interaction(), ["has no interactiontype (allowed: nonlive)"]),
        ({"required_skills": ["language-*"]}, skilled("vip", "language-en"), []),
        ({"required_skills": ["l*", "vip"]}, skilled("x"), ["lacks the skill 'l*'", "lacks the skill 'vip'"]),
        ({"required_skills": ["vip"]}, interaction(), ["lacks the skill 'vip'"]),
        ({"forbidden_skills": ["v*"]}, skilled("vip", "x", "vat"), ["has the skill 'vat'", "has the skill 'vip'"]),
        ({"forbidden_skills": ["v*"]}, interaction(), []),
        ({"required_linkeddata": ["clid", "object:Owner"]}, interaction(linkeddata=[CLID, OWNER]), []),
        ({"required_linkeddata": ["object"]}, interaction(linkeddata=[OWNER]), []),
        ({"required_linkeddata": ["object:x"]}, interaction(linkeddata=[OWNER]), ["lacks the linkeddata 'object:x'"]),
        ({"required_linkeddata": ["clid"]}, interaction(), ["lacks the linkeddata 'clid'"]),
        ({"most": 1}, interaction(), []),
        ({"most": 0}, interaction(), ["1 interaction, more than 0"]),
        ({"most_per_route": 0}, interaction(), ["1 interaction of the route 'Day', more than 0"]),
    ],
)  # fmt: skip
def test_each_requirement(demand: dict[str, Any], declared: Interaction, expected: list[str]) -> None:
    """A requirement is met, or what is wrong names what is there and what is allowed."""
    assert [flaw.removeprefix(f"'{declared.address}' ") for flaw in flaws([rule(**demand)], declared)] == expected


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        (None, ["A", "B", "once:C"]),
        ([], []),
        (["A"], ["A"]),
        (["once:*", "B"], ["B", "once:C"]),
        (["route:N*"], ["B"]),
        (["provider:"], ["once:C"]),
        (["file:interactions/sub"], ["B"]),
        (["nothing"], []),
    ],
)
def test_a_rule_is_about_what_it_selects(about: list[str] | None, expected: list[str]) -> None:
    """Selectors are those of `--target`; without any it is about all."""
    declared = [
        interaction(),
        interaction("B", route="Night", place=Place("interactions/sub/b.yaml", 1)),
        interaction("once:C", provider=None),
    ]
    assert flaws([rule(about=about, forbidden_skills=[], most=0)], *declared) == (
        [f"{len(expected)} interaction{'s' * (len(expected) > 1)}, more than 0"] if expected else []
    )
    assert set(flaws([rule(about=about, identities=[])], *declared)) == {
        f"'{address}' has the name '{address}' (allowed: nothing)" for address in expected
    }


def test_a_violation_has_its_place_and_its_owner() -> None:
    """It is an error where the interaction stands, or a warning; the hint names the rule, whom to ask, and the way."""
    place = Place("interactions/crm.yaml", 7, 5)
    [problem] = judge([rule(routes=["X"], owner="ops", severity="warn")], [interaction(place=place)], (), TODAY)
    assert (problem.place, problem.code, problem.warning) == ("interactions/crm.yaml:7:5", "policy", True)
    assert problem.hint.startswith(
        "rule r of ops; to except an interaction for a while: lifecycle: {exceptions: [{rule: r"
    )
    [problem] = judge([rule(routes=["X"])], [interaction(place=place)], (), TODAY)
    assert not problem.warning


@pytest.mark.parametrize(
    ("found", "expected", "holds"),
    [
        (PolicyException("r", "why", "2026-11-24"), [], True),
        (PolicyException("r", "why", "2026-11-23"), ["policy-exception", "policy"], False),
        (PolicyException("R", "why", "2027-01-01"), ["policy-exception", "policy"], False),
    ],
)
def test_an_exception_holds_to_its_last_day(found: PolicyException, expected: list[str], holds: bool) -> None:  # noqa: FBT001
    """It holds on its last day; one that has ended, or is from no rule, is told, and the rule counts."""
    declared = [interaction(exceptions=(found,))]
    rules = [rule(routes=["X"])]
    assert [problem.code for problem in judge(rules, declared, (), TODAY)] == expected
    assert [each.address for each in excepted(rules, declared, TODAY)] == (["A"] if holds else [])


def test_an_exception_from_what_was_a_rule_is_told_without_rules() -> None:
    """Where no rule is left, what excepts from one still says nothing."""
    declared = [interaction(exceptions=(PolicyException("r", "why", "2027-01-01"),))]
    [problem] = judge([], declared, (), TODAY)
    assert (problem.code, problem.warning, problem.hint) == ("policy-exception", True, "remove it")


def test_what_is_excepted_does_not_count() -> None:
    """A ceiling leaves out what is excepted from it, and nothing else."""
    free = PolicyException("r", "why", "2027-01-01")
    declared = [interaction("A", exceptions=(free,)), interaction("B"), interaction("C")]
    assert flaws([rule(most=2)], *declared) == []
    assert flaws([rule(most=1), rule(id="q", most=2)], *declared) == [
        "2 interactions, more than 1",
        "3 interactions, more than 2",
    ]


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdef"), st.sampled_from(["R", "S"]), st.booleans()), unique_by=lambda each: each[0]
    ),
    st.integers(0, 4),
)
def test_a_ceiling_counts_what_is_sealed(found: list[tuple[str, str, bool]], most: int) -> None:
    """Whether a file is read or sealed, and in which order, a ceiling is broken by the same, in the same place."""
    declared = [interaction(name, route=route, place=Place(f"{name}.yaml", 1)) for name, route, _ in found]
    rules = [rule(most=most), rule(id="q", most_per_route=most, about=["route:R", "a", "file:b.yaml"])]
    sealed = [(each.address, opened(each)) for each, (*_, is_sealed) in zip(declared, found, strict=True) if is_sealed]
    read = [each for each, (*_, is_sealed) in zip(declared, found, strict=True) if not is_sealed]
    assert sorted(judge(rules, read[::-1], sealed, TODAY)) == sorted(judge(rules, declared, (), TODAY))


def test_every_requirement_is_tried() -> None:
    """The table above has each."""
    assert REQUIREMENTS == (
        "identities",
        "providers",
        "routes",
        "interaction_types",
        "required_skills",
        "forbidden_skills",
        "required_linkeddata",
        "most",
        "most_per_route",
    )
