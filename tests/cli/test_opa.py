"""The worked policies of docs/policy, judged by a real evaluator on real plans."""

from __future__ import annotations

import json
import platform
import re
import sys
from collections.abc import Iterable
from typing import Any

import pytest

from tests.command import Workplace
from tests.conftest import ROOT

POLICIES = ROOT / "docs" / "policy"
FRIDAY, SATURDAY = 1795132800, 1795219200
APPLY = ("apply", "--auto-approve")
BUILT = sys.platform == "linux" and platform.machine() == "x86_64"
pytestmark = pytest.mark.skipif(not BUILT, reason="the evaluator is built for Linux on x86-64 only")


def denied(name: str, plan: Any, day: int = FRIDAY) -> list[str]:
    """Return what a policy denies of a plan, on some day."""
    import regorus  # noqa: PLC0415  # it is not there on each platform

    engine = regorus.Engine()
    engine.add_policy_from_file(str(POLICIES / f"{name}.rego"))
    when = f"package asked\nimport rego.v1\nsaid := x if {{ x := data.reconciler.{name}.deny with time.now_ns as t }}\n"
    engine.add_policy("asked.rego", f"{when}t := {day}000000000\n")
    engine.set_input_json(json.dumps(plan))
    return sorted(engine.eval_rule("data.asked.said"))


def declare(place: Workplace, addresses: Iterable[str], route: str = "Day", skill: str = "owner-crm") -> None:
    """Declare interactions of one route and skill."""
    skills = f"routingdata: {{skills: [{{name: {skill}}}]}}"
    lines = [f"  - {{externalid: {address}, route: {route}, {skills}}}\n" for address in addresses]
    place.declare("interactions:\n" + "".join(lines) if lines else "interactions: []\n", f"{route}.yaml")


def test_no_mass_release_on_a_working_day(place: Workplace) -> None:
    """More than twenty releases of one route are denied from Monday to Friday; replaces count, other routes don't."""
    declare(place, [f"d{number}" for number in range(25)])
    declare(place, [f"n{number}" for number in range(20)], "Night")
    assert place.run(*APPLY).code == 0
    declare(place, [f"d{number}" for number in range(10)], skill="owner-other")
    declare(place, [], "Night")
    plan = place.run("plan", "--format", "json").json
    said = "25 interactions of the route Day to release, more than 20 on a working day"
    assert denied("releases", plan) == [said]
    assert denied("releases", plan, SATURDAY) == []
    place.run("plan", "--out", "p")
    assert denied("releases", place.run("show", "p", "--format", "json").json) == [said]


def test_every_dispatch_names_its_owner(place: Workplace) -> None:
    """Without a skill `owner-…` neither a new interaction nor a changed one passes; one with it does, saved or not."""
    declare(place, ["a", "b", "c"])
    assert denied("owners", place.run("plan", "--format", "json").json) == []
    assert place.run(*APPLY).code == 0
    declare(place, ["a", "new"], skill="vip")
    declare(place, ["b"], "Night")
    expected = [
        "a names no skill owner-… (interactions/Day.yaml:2)",
        "new names no skill owner-… (interactions/Day.yaml:3)",
    ]
    assert denied("owners", place.run("plan", "--format", "json").json) == expected
    place.run("plan", "--out", "p")
    assert denied("owners", place.run("show", "p", "--format", "json").json) == expected


def test_the_query_of_the_page_finds_all(place: Workplace) -> None:
    """What docs/policy.md asks an evaluator for is what either policy denies."""
    import regorus  # noqa: PLC0415  # it is not there on each platform

    declare(place, ["a"], skill="vip")
    engine = regorus.Engine()
    for path in POLICIES.iterdir():
        engine.add_policy_from_file(str(path))
    engine.set_input_json(place.run("plan", "--format", "json").out)
    [query] = re.findall(r"--fail-defined '(.*)'", (ROOT / "docs" / "policy.md").read_text(encoding="utf-8"))
    found = engine.eval_query(query)["result"]
    assert [each["bindings"]["message"] for each in found] == ["a names no skill owner-… (interactions/Day.yaml:2)"]


@pytest.mark.parametrize("name", ["releases", "owners"])
def test_a_plan_of_nothing_is_denied_nothing(place: Workplace, name: str) -> None:
    """An empty plan breaks no rule; a policy never fails for what is absent."""
    assert denied(name, place.run("plan", "--format", "json").json) == []
