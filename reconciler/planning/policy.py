"""What an organisation demands of declarations besides what the API does: its rules, and what breaks them.

Pure. `PolicyRule` is the one place for what a rule may hold: reconciler.yaml, its schema for editors and the table in
docs/policy.md are made from it. A rule needs no sensitive value, so that what the state holds of an interaction says
all that a ceiling asks for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from reconciler.errors import Problem
from reconciler.escape import brief
from reconciler.interaction import Interaction, Json, Place, skill_names
from reconciler.planning.selection import Facts, Selection, select
from reconciler.state.model import Open

_Text = Annotated[str, Field(pattern=r"[^ \t\r\n]")]
_Patterns = list[str]
_Ceiling = Annotated[int, Field(ge=0, le=10_000_000)]
_PATTERNS: Final = "each a name or a pattern (`crm-*`)"


class PolicyRule(BaseModel):
    """A rule: what it is called, how much it matters, which interactions it is about, and what it demands of each."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")] = Field(
        description="What it is called, in messages and exceptions.", examples=["crm-only"]
    )
    severity: Literal["deny", "warn"] = Field(
        default="deny", description="What breaks it: nothing is applied, or it is told."
    )
    message: _Text = Field(
        description="What it demands and why, for whoever breaks it.", examples=["Only the CRM may call out."]
    )
    owner: _Text | None = Field(default=None, description="Whom to ask about it.", examples=["telephony@example.com"])
    about: list[_Text] | None = Field(
        default=None,
        description="The interactions that it is about, selected as by `--target`; without it, all.",
        examples=[["route:Crm*", "file:interactions/crm"]],
    )
    identities: _Patterns | None = Field(
        default=None, description=f"The addresses that are allowed, {_PATTERNS}.", examples=[["CASE-*", "once:*"]]
    )
    providers: _Patterns | None = Field(
        default=None,
        description=f"The providers that are allowed, {_PATTERNS}; `''` is none.",
        examples=[["CrmIntegration", ""]],
    )
    routes: _Patterns | None = Field(
        default=None, description=f"The routes that are allowed, {_PATTERNS}.", examples=[["Crm*"]]
    )
    interaction_types: _Patterns | None = Field(
        default=None, description="The interaction types that are allowed; `''` is none.", examples=[["nonlive"]]
    )
    required_skills: _Patterns | None = Field(
        default=None, description=f"The skills that must be there, {_PATTERNS}.", examples=[["language-*"]]
    )
    forbidden_skills: _Patterns | None = Field(
        default=None, description=f"The skills that must not be there, {_PATTERNS}.", examples=[["vip"]]
    )
    required_linkeddata: _Patterns | None = Field(
        default=None,
        description="The `linkeddata` that must be there, by `type` or by `type:key`.",
        examples=[["clid", "object:Owner"]],
    )
    most: _Ceiling | None = Field(default=None, description="How many there may be.", examples=[1000])
    most_per_route: _Ceiling | None = Field(
        default=None, description="How many there may be of each route.", examples=[200]
    )

    @model_validator(mode="after")
    def _demands(self) -> Self:
        if all(getattr(self, name) is None for name in REQUIREMENTS):
            why, hint = "it demands nothing", f"give it one of {', '.join(REQUIREMENTS)}"
            raise PydanticCustomError("rule", "{why}", {"why": why, "hint": hint})
        return self


REQUIREMENTS: Final = tuple(PolicyRule.model_fields)[tuple(PolicyRule.model_fields).index("identities") :]
"""What a rule can demand."""


@dataclass(frozen=True, slots=True)
class Excepted:
    """An interaction that need not keep a rule for now, and where that is declared."""

    address: str
    rule: str
    reason: str
    until: str
    """The last day, in UTC."""
    place: str


Request = Mapping[str, Json]
Check = Callable[[_Patterns, Interaction, Request], Iterator[str]]
"""Yields what is wrong with an interaction and its request, given what a rule demands of each."""


class _Scope(NamedTuple):
    """A rule, the addresses that it is about, all if None, and what it demands of each interaction."""

    rule: PolicyRule
    addresses: Collection[str] | None
    demands: Sequence[tuple[Check, _Patterns]]

    def holds(self, address: str) -> bool:
        return self.addresses is None or address in self.addresses


class _Member(NamedTuple):
    """What counts for a ceiling, by file."""

    file: str
    address: str


_Counted = defaultdict[tuple[str, str | None], list[_Member]]
"""Members by the id of a rule, and by a route where its ceiling is one of each route."""


def judge(
    rules: Sequence[PolicyRule], interactions: Sequence[Interaction], sealed: Iterable[tuple[str, Open]], today: date
) -> Iterator[Problem]:
    """Yield what breaks a rule, and exceptions that say nothing (any more).

    What is `sealed` broke none as it was read, so it only counts. A ceiling is broken where the first interaction too
    many is, in order of file and address.
    """
    for each in interactions:
        yield from _idle(each, rules, today)
    if rules:
        looks = any((rule.about, rule.most, rule.most_per_route) != (None, None, None) for rule in rules)
        yield from _broken(rules, interactions, dict(sealed) if looks else {}, str(today))


def _broken(
    rules: Sequence[PolicyRule], interactions: Sequence[Interaction], sealed: Mapping[str, Open], today: str
) -> Iterator[Problem]:
    scopes = [_scope(rule, interactions, sealed) for rule in rules]
    counted: _Counted = defaultdict(list)
    for each in interactions:
        free = {found.rule for found in each.exceptions if found.until >= today}
        bound = [scope for scope in scopes if scope.holds(each.address) and scope.rule.id not in free]
        request = each.request
        for rule, _, demands in bound:
            for flaw in (flaw for check, wanted in demands for flaw in check(wanted, each, request)):
                yield _problem(rule, each.place, f"'{brief(each.address)}' {flaw}")
        _count(counted, bound, _Member(each.place.file, each.address), request)
    for address, entry in sealed.items():
        bound = [scope for scope in scopes if scope.holds(address)]
        _count(counted, bound, _Member(entry.source, address), orjson.loads(entry.fields))
    yield from _exceeded(rules, counted)


def excepted(rules: Sequence[PolicyRule], interactions: Iterable[Interaction], today: date) -> tuple[Excepted, ...]:
    """Return the exceptions that are in force."""
    known = {rule.id for rule in rules}
    return tuple(
        Excepted(each.address, found.rule, found.reason, found.until, str(each.place))
        for each in interactions
        for found in each.exceptions
        if found.rule in known and found.until >= str(today)
    )


def _idle(each: Interaction, rules: Sequence[PolicyRule], today: date) -> Iterator[Problem]:
    """Yield the exceptions of an interaction that are none."""
    known = [rule.id for rule in rules]
    for found in each.exceptions:
        close = get_close_matches(found.rule, known, 1)
        if found.rule not in known:
            wrong, hint = "there is no such rule", f"did you mean {close[0]}?" if close else "remove it"
        elif found.until < str(today):
            wrong, hint = f"it ended with {found.until}", "remove it, or agree on a later day with the rule's owner"
        else:
            continue
        said = f"the exception of '{brief(each.address)}' from {brief(found.rule)} does not hold: {wrong}"
        yield Problem(*each.place, "policy-exception", said, hint, warning=True)


def _scope(rule: PolicyRule, interactions: Iterable[Interaction], sealed: Mapping[str, Open]) -> _Scope:
    found = ((check, getattr(rule, name)) for name, check in _CHECKS.items())
    demands = [(check, wanted) for check, wanted in found if wanted is not None]
    if rule.about is None:
        return _Scope(rule, None, demands)
    among = {each.address: [Facts(each.provider, each.place.file, each.body)] for each in interactions}
    among |= {address: [Facts(each.provider, each.source, each.fields)] for address, each in sealed.items()}
    return _Scope(rule, select(Selection(tuple(rule.about)), among).addresses if rule.about else (), demands)


# -- requirements ------------------------------------------------------------------------------------------------


def _allowed(what: str, of: Callable[[Interaction, Request], str]) -> Check:
    """Return the check of one name against those that are allowed."""

    def check(allowed: _Patterns, each: Interaction, request: Request) -> Iterator[str]:
        value = of(each, request)
        if not _fits(value, allowed):
            has = f"has the {what} '{brief(value)}'" if value else f"has no {what}"
            yield f"{has} (allowed: {_listed(allowed)})"

    return check


def _lacks_skills(wanted: _Patterns, _: Interaction, request: Request) -> Iterator[str]:
    skills = skill_names(request)
    return (f"lacks the skill '{brief(name)}'" for name in wanted if not any(_fits(skill, [name]) for skill in skills))


def _has_skills(forbidden: _Patterns, _: Interaction, request: Request) -> Iterator[str]:
    return (f"has the skill '{brief(skill)}'" for skill in skill_names(request) if _fits(skill, forbidden))


def _lacks_linkeddata(wanted: _Patterns, _: Interaction, request: Request) -> Iterator[str]:
    found = [name for item in request.get("linkeddata") or () for name in _names(item)]
    return (
        f"lacks the linkeddata '{brief(name)}'" for name in wanted if not any(_fits(each, [name]) for each in found)
    )


_CHECKS: Final[Mapping[str, Check]] = {
    "identities": _allowed("name", lambda each, _: each.address),
    "providers": _allowed("provider", lambda each, _: each.provider or ""),
    "routes": _allowed("route", lambda _, request: request.get("route", "")),
    "interaction_types": _allowed(
        "interactiontype", lambda _, request: (request.get("routingdata") or {}).get("interactiontype") or ""
    ),
    "required_skills": _lacks_skills,
    "forbidden_skills": _has_skills,
    "required_linkeddata": _lacks_linkeddata,
}


def _fits(name: str, patterns: _Patterns) -> bool:
    return name in patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _names(item: Mapping[str, Any]) -> Iterator[str]:
    yield item["type"]
    if "key" in item:
        yield f"{item['type']}:{item['key']}"


def _listed(patterns: Iterable[str]) -> str:
    return ", ".join(brief(pattern) or "none" for pattern in patterns) or "nothing"


# -- ceilings ----------------------------------------------------------------------------------------------------


def _count(counted: _Counted, bound: Iterable[_Scope], member: _Member, request: Request) -> None:
    """Count an interaction for the ceilings of the rules that it is bound by."""
    for rule, *_ in bound:
        if rule.most is not None:
            counted[rule.id, None].append(member)
        if rule.most_per_route is not None:
            counted[rule.id, request.get("route", "")].append(member)


def _exceeded(rules: Iterable[PolicyRule], counted: _Counted) -> Iterator[Problem]:
    by_id = {rule.id: rule for rule in rules}
    for (name, route), members in counted.items():
        rule = by_id[name]
        most = rule.most if route is None else rule.most_per_route
        if most is not None and len(members) > most:
            many = "1 interaction" if len(members) == 1 else f"{len(members)} interactions"
            of = "" if route is None else f" of the route '{brief(route)}'"
            yield _problem(rule, Place(sorted(members)[most].file, 0, 0), f"{many}{of}, more than {most}")


def _problem(rule: PolicyRule, place: Place, flaw: str) -> Problem:
    owner = f" of {rule.owner}" if rule.owner else ""
    hint = (
        f"rule {rule.id}{owner}; to except an interaction for a while: "
        f"lifecycle: {{exceptions: [{{rule: {rule.id}, reason: …, until: YYYY-MM-DD}}]}}"
    )
    return Problem(*place, "policy", f"{flaw}: {rule.message}", hint, warning=rule.severity == "warn")
