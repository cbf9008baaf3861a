"""Problems of declarations in the formats that other tools show beside the code.

Pure: returns strings. Each is ASCII, and what was declared can act neither on a terminal nor on the format.
SARIF 2.1.0: https://docs.oasis-open.org/sarif/sarif/v2.1.0/; JUnit: https://github.com/testmoapp/junitxml;
code quality: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote
from xml.etree import ElementTree as ET

from reconciler import __version__
from reconciler.errors import Problem
from reconciler.escape import readable, visible
from reconciler.render.machine import to_json

_SARIF: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ROOT: Final = "%SRCROOT%"


def sarif(problems: Sequence[Problem], meanings: Mapping[str, str]) -> str:
    """Return a log of SARIF; `meanings` are what each code means, as Markdown, its first sentence being a summary."""
    codes = sorted({problem.code for problem in problems})
    driver = {"name": "reconciler", "version": __version__, "rules": [_rule(code, meanings[code]) for code in codes]}
    results = [_result(problem, codes.index(problem.code)) for problem in problems]
    return to_json({"$schema": _SARIF, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]})


def _rule(code: str, meaning: str) -> dict[str, Any]:
    summary = re.split(r"(?<=[.:;])\s", meaning)[0]
    return {
        "id": code,
        "shortDescription": {"text": summary},
        "fullDescription": {"text": meaning.partition("\n\n")[0]},
        "help": {"text": meaning, "markdown": meaning},
    }


def _result(problem: Problem, rule: int) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(readable(problem.file)), "uriBaseId": _ROOT}}
    if problem.line:
        place["region"] = {"startLine": problem.line, "startColumn": problem.column}
    return {
        "ruleId": problem.code,
        "ruleIndex": rule,
        "level": "warning" if problem.warning else "error",
        "message": {"text": _said(problem).replace("](", "] (")},  # else it would be a link
        "locations": [{"physicalLocation": place}],
    }


def junit(problems: Sequence[Problem]) -> str:
    """Return a report of JUnit: each problem is a test, which fails unless it is a warning; no error is a test too."""
    failures = sum(not problem.warning for problem in problems)
    cases = [*map(_case, problems)]
    if not failures:
        cases.append(ET.Element("testcase", classname="declarations", name="valid"))
    counts = {"tests": str(len(cases)), "failures": str(failures), "errors": "0"}
    suites = ET.Element("testsuites", counts)
    ET.SubElement(suites, "testsuite", {"name": "declarations", **counts}).extend(cases)
    ET.indent(suites)
    body: str = ET.tostring(suites, "us-ascii").decode("ascii")
    return body + "\n"


def _case(problem: Problem) -> ET.Element:
    place = visible(problem.place)
    case = ET.Element("testcase", classname=visible(problem.file), name=f"{place} {problem.code}")
    if problem.line:
        case.set("file", visible(problem.file))
        case.set("line", str(problem.line))
    said = f"{place}: {_said(problem)}"
    if problem.warning:
        ET.SubElement(case, "system-out").text = f"warning: {said}"
    else:
        ET.SubElement(case, "failure", type=problem.code, message=visible(problem.message)).text = said
    return case


def code_quality(problems: Sequence[Problem]) -> str:
    """Return a report of GitLab's code quality; a problem is the same one on whatever line it stands."""
    return to_json([*_entries(problems)])


def _entries(problems: Sequence[Problem]) -> Iterator[dict[str, Any]]:
    before: Counter[str] = Counter()
    for problem in problems:
        what = json.dumps([problem.code, problem.file, problem.message])
        before[what] += 1
        yield {
            "description": _said(problem),
            "check_name": problem.code,
            "fingerprint": sha256(f"{what}{before[what]}".encode()).hexdigest(),
            "severity": "minor" if problem.warning else "major",
            "location": {"path": readable(problem.file), "lines": {"begin": max(1, problem.line)}},
        }


def _said(problem: Problem) -> str:
    """Return what is wrong, and what to do about it."""
    return "\n".join(visible(line) for line in f"{problem.message}\n{problem.hint}".rstrip().split("\n"))
