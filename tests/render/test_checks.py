"""Problems in the formats of other tools, each judged by its schema or by a library that reads it."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final, get_args
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator  # type: ignore[import-untyped]
from junitparser import JUnitXml

from reconciler.cli.explain import explanations
from reconciler.errors import Problem, ProblemCode
from reconciler.escape import readable, visible
from reconciler.render.checks import code_quality, junit, sarif
from tests.conftest import ROOT
from tests.render.browser import require

SCHEMA: Final = ROOT / ".venv/node/node_modules/@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json"
HOSTILE: Final = (
    "<!-- ]]></failure> & \"' %0A ::error:: [x](http://evil) \x00\x1b[31m\u202e\ud800\udcff \U0001f600\n::warning::"
)
TEXTS: Final = st.one_of(st.text(max_size=20), st.sampled_from([HOSTILE, "a", "a b%.yaml", "é/ü.yaml"]))
PROBLEMS: Final = st.lists(
    st.builds(
        Problem,
        TEXTS,
        st.integers(0, 9),
        st.integers(1, 9),
        st.sampled_from(get_args(ProblemCode)),
        TEXTS,
        TEXTS,
        st.booleans(),
    ),
    max_size=4,
)
MEANINGS: Final = explanations()


@cache
def judge() -> Any:
    """Return the judge of SARIF."""
    schema = require(SCHEMA, "the schema of SARIF is missing: run make test, which installs it")
    return Draft7Validator(json.loads(schema.read_text(encoding="utf-8")))


@given(PROBLEMS)
@settings(max_examples=40, deadline=None)
def test_sarif(problems: list[Problem]) -> None:
    """Every log fits the schema, whatever was declared; each result leads to its rule and its place."""
    log = sarif(problems, MEANINGS)
    assert log.isascii()
    [run] = json.loads(log)["runs"]
    rules = run["tool"]["driver"]["rules"]
    for problem, result in zip(problems, run["results"], strict=True):
        [location] = result["locations"]
        place = location["physicalLocation"]
        assert (rules[result["ruleIndex"]]["id"], result["ruleId"]) == (problem.code, problem.code)
        assert result["level"] == ("warning" if problem.warning else "error")
        assert unquote(place["artifactLocation"]["uri"]) == readable(problem.file)
        assert place.get("region", {}).get("startLine", 0) == problem.line
        assert "](" not in result["message"]["text"]
    judge().validate(json.loads(log))


@given(PROBLEMS)
@settings(max_examples=40, deadline=None)
def test_junit(problems: list[Problem]) -> None:
    """A library reads each problem as a test: a failure, or a warning that passes; there is always a test."""
    report = junit(problems)
    assert report.isascii()
    read = JUnitXml.fromstring(report)
    [suite] = list(read)
    cases = list(suite)
    failures = sum(not problem.warning for problem in problems)
    assert (read.tests, read.failures, suite.errors) == (len(problems) + (not failures), failures, 0)
    for problem, case in zip(problems, cases[: len(problems)], strict=True):
        assert case.name == f"{visible(problem.place)} {problem.code}"
        assert case.is_passed is problem.warning
        assert [(found.type, found.message) for found in case.result] == (
            [] if problem.warning else [(problem.code, visible(problem.message))]
        )


@given(PROBLEMS)
@settings(max_examples=40, deadline=None)
def test_code_quality(problems: list[Problem]) -> None:
    """Each entry has what GitLab needs, and a fingerprint that no other one has and no other line changes."""
    entries = json.loads(code_quality([*problems, *problems]))
    assert len({entry["fingerprint"] for entry in entries}) == len(entries) == 2 * len(problems)
    for problem, entry in zip(problems, entries[: len(problems)], strict=True):
        assert set(entry) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert (entry["check_name"], entry["severity"]) == (problem.code, "minor" if problem.warning else "major")
        assert entry["location"] == {"path": readable(problem.file), "lines": {"begin": max(1, problem.line)}}
    moved = [Problem(each.file, each.line + 1, 1, each.code, each.message) for each in problems]
    assert [entry["fingerprint"] for entry in json.loads(code_quality(moved))] == [
        entry["fingerprint"] for entry in entries[: len(problems)]
    ]


@pytest.mark.parametrize("render", [junit, code_quality, lambda problems: sarif(problems, MEANINGS)])
def test_none_can_act_on_a_terminal(render: Any) -> None:
    """Control characters, bidirectional ones and halves of characters are spelled."""
    shown = render([Problem(HOSTILE, 1, 1, "tab", HOSTILE, HOSTILE)])
    assert shown.isascii()
    assert "\x1b" not in shown
