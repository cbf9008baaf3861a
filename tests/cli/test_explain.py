"""`explain`: each code has what it means, an example that is true, and what to do about it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from reconciler.cli.explain import EXPLANATIONS, explanations
from reconciler.config.layers import configure
from reconciler.declarations.loader import load
from reconciler.errors import ConfigError, DeclarationError, ExitCode, Problem, ProblemCode
from reconciler.planning.guards import RefusalCode
from tests.command import Workplace
from tests.conftest import ROOT
from tests.golden import assert_golden, assert_table
from tests.known import RULES

TEXT = EXPLANATIONS.read_text(encoding="utf-8")
SAID = explanations()
EXIT_CODES = [str(int(code)) for code in ExitCode]
EXAMPLE = re.compile(r"```(yaml|json)\n(.*?)```", re.DOTALL)
EXAMPLES = {code: found.groups() for code, said in SAID.items() if (found := EXAMPLE.search(said))}


def test_each_code_is_explained_once() -> None:
    """Every code that a problem, a guard or an exit may have has a section, and no other."""
    codes = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    assert len(codes) == len(set(codes))
    assert set(codes) == {*get_args(ProblemCode), *get_args(RefusalCode), *EXIT_CODES}
    assert [code for code in codes if code.isdigit()] == EXIT_CODES
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "reconciler").rglob("*.py"))
    assert [code for code in get_args(ProblemCode) if sources.count(f'"{code}"') == 1] == []


@pytest.mark.parametrize("code", [code for code in SAID if code != "0"])
def test_an_explanation_says_what_to_do(code: str) -> None:
    """First what it means, then what to do, each as a sentence; fences are closed."""
    first, *rest = SAID[code].split("\n\n")
    assert first.endswith(".")
    assert rest[-1].endswith(".")
    assert SAID[code].count("```") in {0, 2}


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_is_one(tmp_path: Path, code: str) -> None:
    """A file as in the example has the problem that it is an example of, and no other."""
    form, example = EXAMPLES[code]
    assert [problem.code for problem in problems(tmp_path, code, form, example)] == [code]


def problems(folder: Path, code: str, form: str, example: str) -> tuple[Problem, ...]:
    """Return what is wrong with an example."""
    configuration = TEXT.index(f"## {code}\n") > TEXT.index("# Problems of the configuration")
    path = folder / ("reconciler.yaml" if configuration else f"x.{form}")
    path.write_text(example, encoding="utf-8")
    try:
        if configuration:
            configure(folder, {})
            return ()
        return load(path, RULES, base=folder).warnings
    except (ConfigError, DeclarationError) as error:
        return error.problems


def test_the_docs_say_the_same() -> None:
    """docs/explain.md has all of it, docs/exit-codes.md the codes of an exit as a table."""
    head = "# What codes mean\n\nAs `reconciler explain CODE` says it. `make golden` writes this page anew.\n\n"
    assert_golden(head + re.sub(r"^#", "##", TEXT, flags=re.MULTILINE), ROOT / "docs" / "explain.md")
    rows = [[code, *SAID[code].split("\n\n")] for code in EXIT_CODES]
    table = "".join(f"| {row[0]} | {row[1]} | {row[-1] + ' ' if row[2:] else ''}|\n" for row in rows)
    assert_table(f"| code | meaning | what to do |\n|---|---|---|\n{table}", ROOT / "docs" / "exit-codes.md")


@pytest.mark.parametrize("columns", [60, 80, 100, 160])
def test_all_codes_are_listed(place: Workplace, columns: int) -> None:
    """Without a code, each has a line, within the terminal."""
    shown = place.run("explain", env={"COLUMNS": str(columns)}).out
    assert re.findall(r"^  ([\w-]+) ", shown, re.MULTILINE) == list(SAID)
    assert max(map(len, shown.splitlines())) <= columns


@pytest.mark.parametrize("given", ["unquoted", "[unquoted]", "Unquoted"])
def test_a_code_is_explained(place: Workplace, given: str) -> None:
    """As it stands in a message or not, the example as it would be typed."""
    ran = place.run("explain", given)
    assert ran.code == 0
    assert ran.out.startswith("unquoted\n\nA number, boolean or null stands where a text belongs.")
    assert "\n    interactions: [{externalid: a, " in ran.out
    assert "```" not in ran.out


def test_another_code(place: Workplace) -> None:
    """A code that there is not is met with what was meant perhaps."""
    ran = place.run("explain", "unqoted")
    assert (ran.code, ran.err) == (
        64,
        "Error: there is no code 'unqoted'\n  Did you mean unquoted? What there is: reconciler explain\n",
    )


@pytest.mark.parametrize("arguments", [["validate"], ["plan"], ["apply", "--auto-approve"]])
def test_a_problem_leads_to_its_explanation(place: Workplace, arguments: list[str]) -> None:
    """Below the problems stands the command that explains the first."""
    place.declare("interactions: [{externalid: 7, route: R}]\n")
    assert "\n  What unquoted means: reconciler explain unquoted\n" in place.run(*arguments).err


def test_guards_and_settings_lead_to_their_explanation(place: Workplace) -> None:
    """So it is with a refusal, and with what is wrong in the configuration."""
    place.declare("interactions: [{externalid: a, route: R}]\n")
    refused = place.run("apply", "--auto-approve", env={"RECONCILER_MAX_DISPATCHES": "0"})
    assert refused.err.endswith("  What max-dispatches means: reconciler explain max-dispatches\n")
    wrong = place.run("plan", env={"RECONCILER_TIMEOUT": "soon"})
    assert wrong.err.endswith("  What wrong-type means: reconciler explain wrong-type\n")
