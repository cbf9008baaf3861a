"""`validate --format` for the tools that show problems beside the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from junitparser import JUnitXml

from tests.command import Workplace

SPACED = "linkeddata: [{type: interactionproperty, key: a b, value: x}]"
WRONG = f"interactions:\n  - {{externalid: 7, route: R}}\n  - {{externalid: b, {SPACED}}}\n"
FORMATS = ("sarif", "junit", "github", "gitlab")


def codes(form: str, shown: str) -> list[str]:
    """Return the codes of what is shown, in order."""
    match form:
        case "sarif":
            return [result["ruleId"] for result in json.loads(shown)["runs"][0]["results"]]
        case "junit":
            return [case.name.split()[-1] for suite in JUnitXml.fromstring(shown) for case in suite]
        case "gitlab":
            return [entry["check_name"] for entry in json.loads(shown)]
    return re.findall(r"^::\w+ .*title=([\w-]+)::", shown, re.MULTILINE)


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_tells_the_same(place: Workplace, form: str) -> None:
    """Every problem stands in it, with the exit code of the text, and the JSON besides where it was asked for."""
    place.declare(WRONG)
    ran = place.run("validate", "--format", form, "--json-into", "problems.json")
    told = json.loads((place.folder / "problems.json").read_text(encoding="utf-8"))
    assert ran.code == 1
    assert sorted(codes(form, ran.out)) == sorted(problem["code"] for problem in told["problems"])
    assert ran.err == ""


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_is_wrong(place: Workplace, form: str) -> None:
    """Each format has a form in which nothing is wrong; for JUnit that is a test that passes."""
    place.declare("interactions: [{externalid: a, route: R}]\n")
    ran = place.run("validate", "--format", form)
    assert (ran.code, codes(form, ran.out)) == (0, ["valid"] if form == "junit" else [])


@pytest.mark.parametrize(
    ("form", "variable"), [("github", "GITHUB_WORKSPACE"), ("sarif", "GITHUB_WORKSPACE"), ("gitlab", "CI_PROJECT_DIR")]
)
def test_paths_are_those_of_the_repository(place: Workplace, form: str, variable: str) -> None:
    """The platform finds the file, wherever in the repository the configuration is; its runner takes our commands."""
    place.declare(WRONG)
    above = Workplace(place.folder.parent, place.env)
    env = {variable: str(place.folder.parent), "GITHUB_ACTIONS": str(form == "github").lower()}
    ran = above.run("-C", place.folder.name, "validate", "--format", form, env=env)
    assert f"{place.folder.name}/interactions/crm.yaml" in ran.out
    assert "::error" not in ran.err
    if form == "github":
        assert ran.out.startswith("::error file=")


@pytest.mark.parametrize("form", FORMATS)
def test_a_mistake_in_the_configuration_is_told_as_well(place: Workplace, form: str) -> None:
    """It has its place in reconciler.yaml, in the tool's format and once as text."""
    (place.folder / "reconciler.yaml").write_text("region: eu\n", encoding="utf-8")
    ran = place.run("validate", "--format", form, env={"GITHUB_ACTIONS": "true"})
    assert (ran.code, codes(form, ran.out)) == (1, ["wrong-value"])
    assert "reconciler.yaml" in ran.out
    assert ran.err.count("region must be one of") == (1 if form == "github" else 2)


def test_github_is_given_all_of_them(place: Workplace) -> None:
    """A step shows ten; as data there are all, and warnings come once, as data."""
    place.declare("interactions:\n" + "  - {externalid: 7}\n" * 25)
    assert place.run("validate", "--format", "github").out.count("title=unquoted") == 25
    place.declare(WRONG.replace("7", "a").replace("{externalid: b", "{route: R, externalid: b"))
    ran = place.run("validate", "--format", "github", env={"GITHUB_ACTIONS": "true"})
    assert (ran.code, ran.out.count("::warning"), ran.err.count("::warning")) == (0, 1, 0)


def test_an_output_goes_onto_nothing_else(place: Workplace, tmp_path: Path) -> None:
    """The JSON besides must not overwrite what is declared."""
    declared = place.declare(WRONG)
    assert place.run("validate", "--format", "sarif", "--json-into", str(declared.relative_to(tmp_path))).code == 64
    assert declared.read_text(encoding="utf-8") == WRONG
