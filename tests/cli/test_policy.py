"""The policy from end to end: what it denies is told by `validate`, and nothing is sent; exceptions are shown."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.api import SandboxServer
from tests.command import Workplace
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
RULES = """\
  - {id: day-only, message: Nobody is there then., owner: ops@example.com, routes: [Day*]}
  - {id: few, message: Too many., severity: warn, most: 2}
"""
APPLY = ("apply", "--auto-approve")
FREE = "lifecycle: {exceptions: [{rule: day-only, reason: 'the <b>move</b>', until: 2999-01-31}]}"


@pytest.fixture
def governed(place: Workplace) -> Workplace:
    """Give a folder with a policy, and a declaration that breaks it."""
    configuration = place.folder / "reconciler.yaml"
    configuration.write_text(f"policy:\n{RULES}", encoding="utf-8")
    place.declare("interactions:\n  - {externalid: A, route: Night}\n  - {externalid: B, route: Day}\n")
    return place


def test_what_is_denied_is_told_and_not_sent(governed: Workplace, server: SandboxServer) -> None:
    """`validate`, a plan with exit codes and an apply end with 5, name place and rule, and nothing is sent."""
    said = "interactions/crm.yaml:2:5: error: 'A' has the route 'Night' (allowed: Day*): Nobody is there then. [policy]"
    ran = governed.run("validate")
    assert (ran.code, ran.out.splitlines()[0]) == (5, said)
    assert "hint: rule day-only of ops@example.com; to except" in ran.out
    assert ran.err.endswith(
        "1 problem with the policy; nothing was sent.\n  What policy means: reconciler explain policy\n"
    )
    told = governed.run("validate", "--format", "json").json
    assert (told["valid"], [problem["code"] for problem in told["problems"]]) == (False, ["policy"])
    assert governed.run("plan").code == 0
    ran = governed.run("plan", "--detailed-exitcode", "--format", "json")
    assert (ran.code, [refusal["code"] for refusal in ran.json["refusals"]]) == (5, ["policy"])
    assert ran.json["refusals"][0]["override"] is None
    ran = governed.run(*APPLY)
    assert (ran.code, server.emulator.open) == (5, {})
    assert (
        "Refused: interactions/crm.yaml:2:5: 'A' has the route 'Night' (allowed: Day*): Nobody is there then."
        in ran.out
    )


def test_wrong_declarations_and_what_is_denied_come_in_one_run(governed: Workplace) -> None:
    """All of it is told at once, with the exit code of what is wrong."""
    governed.declare("interactions: [{externalid: 7, route: Day}]\n", "wrong.yaml")
    for ran in (governed.run("validate"), governed.run("plan")):
        assert ran.code == 1
        assert "[unquoted]" in ran.out + ran.err
        assert "[policy]" in ran.out + ran.err


def test_a_warning_stops_nothing(governed: Workplace, server: SandboxServer) -> None:
    """A rule that only warns is told each time, in the plan too, and the apply goes on."""
    governed.declare("interactions:\n" + "".join(f"  - {{externalid: {name}, route: Day}}\n" for name in "ABC"))
    said = "interactions/crm.yaml: warning: 3 interactions, more than 2: Too many. [policy]"
    ran = governed.run("validate")
    assert ran.code == 0
    assert said in ran.err
    for _ in range(2):
        ran = governed.run(*APPLY)
        assert (ran.code, len(server.emulator.open)) == (0, 3)
        assert said in ran.err
    assert [warning["code"] for warning in governed.run("plan", "--format", "json").json["warnings"]] == ["policy"]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("text", "Exception: A need not keep day-only until 2999-01-31: the <b>move</b> (interactions/crm.yaml:2)\n"),
        (
            "markdown",
            "### 1 exception from the policy\n\n- A need not keep day-only until `2999-01-31:` the `<b>move</b>` (",
        ),
        (
            "html",
            "keep day-only until 2999-01-31: the &lt;b&gt;move&lt;/b&gt; (<code>interactions/crm.yaml:2</code>)",
        ),
    ],
)
def test_an_exception_is_shown(governed: Workplace, server: SandboxServer, form: str, said: str) -> None:
    """Who need not keep a rule is applied, and stands in every plan from then on, with reason and last day."""
    governed.declare(f"interactions:\n  - {{externalid: A, route: Night, {FREE}}}\n")
    for _ in range(2):
        assert said in governed.run("plan", "--format", form).out
        assert governed.run(*APPLY).code == 0
    assert set(server.emulator.open) == {"A"}
    assert governed.run("validate").code == 0


def test_a_saved_plan_carries_its_exceptions(governed: Workplace) -> None:
    """What a reviewer is shown later is what was planned; one that has ended by the apply is refused."""
    path = governed.declare(f"interactions:\n  - {{externalid: A, route: Night, {FREE}}}\n")
    governed.run("plan", "--out", "p")
    place = "interactions/crm.yaml:2"
    expected = {"address": "A", "rule": "day-only", "reason": "the <b>move</b>", "until": "2999-01-31", "place": place}
    assert governed.run("show", "p", "--format", "json").json["exceptions"] == [expected]
    path.write_text(path.read_text(encoding="utf-8").replace("2999-01-31", "2020-01-31"), encoding="utf-8")
    ran = governed.run("apply", "p")
    assert ran.code == 5
    assert "does not hold: it ended with 2020-01-31 [policy-exception]" in ran.err


@pytest.mark.parametrize(
    ("exceptions", "said"),
    [
        (
            "[{rule: r, reason: x, until: 2027-02-29}]",
            "exceptions[0].until of 'A' must be a day such as 2027-01-31 [date]",
        ),
        ("[{rule: r, reason: x, until: 20270101}]", "exceptions[0].until of 'A' must be a string, this is an integer"),
        ("[{rule: r, until: 2027-01-01}]", "exceptions[0] of 'A' has no 'reason' [missing-field]"),
        ("[{rule: r, reason: '', until: 2027-01-01}]", "exceptions[0].reason of 'A' is empty [empty]"),
        ("[{rul: r, reason: x, until: 2027-01-01}]", "did you mean 'rule'?"),
        ("{rule: r}", "lifecycle.exceptions of 'A' must be a list, this is a mapping [wrong-type]"),
    ],
)
def test_a_mistake_in_an_exception(governed: Workplace, exceptions: str, said: str) -> None:
    """It is named as any other of a declaration."""
    governed.declare(f"interactions: [{{externalid: A, route: Day, lifecycle: {{exceptions: {exceptions}}}}}]\n")
    ran = governed.run("validate")
    assert ran.code == 1
    assert said in ran.out


def test_an_exception_sends_nothing(governed: Workplace) -> None:
    """It is no content: declared or removed, nothing changes of what is open."""
    governed.declare("interactions:\n  - {externalid: A, route: Day}\n")
    assert governed.run(*APPLY).code == 0
    governed.declare(f"interactions:\n  - {{externalid: A, route: Day, {FREE}}}\n")
    ran = governed.run("plan", "--detailed-exitcode", "--format", "json")
    assert (ran.code, ran.json["changes"]) == (0, [])


def test_a_new_rule_reads_what_was_sealed(governed: Workplace) -> None:
    """A seal holds under the rules in force: with another rule, files that fitted are judged anew."""
    for name in "AB":
        governed.declare(f"interactions: [{{externalid: {name}, route: Day}}]\n", f"{name}.yaml")
    governed.declare("interactions: []\n")
    assert governed.run(*APPLY).code == 0
    assert "2 of 3 files are sealed" in governed.run("plan", "--timings").err
    for rules in (RULES.replace("most: 2", "most: 1").replace("warn", "deny"), RULES.replace("Day*", "Night")):
        (governed.folder / "reconciler.yaml").write_text(f"policy:\n{rules}", encoding="utf-8")
        assert governed.run("plan", "--detailed-exitcode").code == 5


def test_an_environment_has_a_policy_of_its_own(governed: Workplace) -> None:
    """As any key, it is overruled as a whole; a variable can't set it."""
    path: Path = governed.folder / "reconciler.yaml"
    path.write_text(f"policy:\n{RULES}environments: {{lab: {{policy: []}}}}\n", encoding="utf-8")
    assert governed.run("--env", "lab", "validate").code == 0
    ran = governed.run("validate", env={"RECONCILER_POLICY": "[]"})
    assert ran.code == 1
    assert (
        "RECONCILER_POLICY: error: policy: it can't be set here [wrong-value]\n  hint: set it in reconciler.yaml"
        in ran.err
    )


def test_the_page_is_true(place: Workplace) -> None:
    """What docs/policy.md shows of rules, of what breaks them and of an exception is so."""
    rules, broken, told, free, *_ = re.findall(r"```(?:yaml|console)\n(.*?)```", PAGE, re.DOTALL)
    (place.folder / "reconciler.yaml").write_text(rules, encoding="utf-8")
    place.declare(broken)
    ran = place.run("validate")
    assert (ran.code, ran.out) == (5, told.removeprefix("$ reconciler validate\n"))
    place.declare(free)
    assert place.run("validate").code == 0
    assert "CASE-1 need not keep day-only until 2999-01-31: the hotline of the move" in place.run("plan").out


def test_a_refusal_of_the_policy_is_an_event(governed: Workplace) -> None:
    """Whoever follows the run is told by the same code."""
    governed.run("plan", "--events", "events")
    lines = [json.loads(line) for line in (governed.folder / "events").read_text(encoding="utf-8").splitlines()]
    [planned] = [line for line in lines if line["event"] == "planned"]
    assert [refusal["code"] for refusal in planned["plan"]["refusals"]] == ["policy"]
