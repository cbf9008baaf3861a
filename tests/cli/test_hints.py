"""What to do next, as a command: it can be pasted, and it is about the folder, environment and state of this run."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
from collections.abc import Iterable

import pytest

from reconciler.cli.arguments import in_force, parse
from reconciler.commandline import operands
from tests.api import SandboxServer
from tests.command import Ran, Workplace
from tests.conftest import ROOT

ONE = "interactions: [{externalid: a, route: R}]\n"
HOSTILE = [
    "a b",
    "it's",
    'say "x"',
    "$(reboot) `id` $HOME",
    "-x",
    "--as",
    "; rm -rf *",
    "漢字 é",
    "a\\b",
    "~",
    "#x",
    "a|b&c",
    "!!",
]
"""Names that a declaration may hold, and that a shell would make something of."""
IN_FORCE = ["-C", "a folder", "--config", "other.yaml", "--env", "prod", "--state", "s.json"]


def suggested(ran: Ran) -> list[list[str]]:
    """Return the words of the commands that a run suggests, each at the end of its line."""
    return [shlex.split(found) for found in re.findall(r": reconciler (.*)", ran.out + ran.err)]


@pytest.fixture
def elsewhere(place: Workplace) -> Workplace:
    """Give a place where a run says with options what it is about."""
    folder = place.folder / "a folder"
    (folder / "interactions").mkdir(parents=True)
    (folder / "interactions" / "one.yaml").write_text(ONE, encoding="utf-8")
    (folder / "other.yaml").write_text("account: here\n", encoding="utf-8")
    return place


@pytest.mark.parametrize(
    ("command", "code", "next_ones"),
    [
        (["plan"], 0, [["apply", "--new-state"], ["init"]]),
        (["apply", "--auto-approve"], 5, [["init"], ["explain", "no-state"]]),
        (["state", "list"], 5, [["init"]]),
        (["apply", "nothing.json"], 1, []),
        (["apply", "interactions/one.yaml"], 1, [["plan", "--out", "FILE"]]),
        (["show", "interactions/one.yaml"], 1, [["plan", "--out", "FILE"]]),
    ],
)
def test_a_suggested_command_repeats_the_options_in_force(
    elsewhere: Workplace, command: list[str], code: int, next_ones: list[list[str]]
) -> None:
    """What a command suggests begins with the options that this one was given, and is a command that there is."""
    ran = elsewhere.run(*IN_FORCE, *command)
    assert (ran.code, suggested(ran)) == (code, [[*IN_FORCE, *words] for words in next_ones]), ran
    for words in suggested(ran):
        assert list(in_force(parse(words))) == IN_FORCE


def test_without_a_state_each_suggestion_leads_on(elsewhere: Workplace) -> None:
    """`plan` suggests to make a state; then `plan --out` says how to apply just that; and both do as they are told."""
    *_, first = suggested(elsewhere.run(*IN_FORCE, "plan"))
    assert elsewhere.run(*first).code == 0
    (then,) = suggested(elsewhere.run(*IN_FORCE, "plan", "--out=-p.json"))
    assert then[-3:] == ["apply", "--", "-p.json"]
    assert elsewhere.run(*then).code == 0
    assert elsewhere.run(*IN_FORCE, "plan", "--detailed-exitcode").code == 0


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-C-odd", "--env=-odd", "--state", "it's\udce9\n"],
        ["--sandbox", "--interactions", "x y", "--config", "*"],
    ],
)
def test_options_survive_being_repeated(options: list[str]) -> None:
    """Whatever the options' values are, repeating them gives the same options again."""
    parsed = parse([*options, "plan"])
    again = parse([*in_force(parsed), "plan"])
    assert vars(again) | {"parser": None} == vars(parsed) | {"parser": None}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "What there is: reconciler --help"),
        ("pln", "Did you mean plan? What there is: reconciler --help"),
        ("-C x stat list", "Did you mean state? What there is: reconciler --help"),
        ("state lst", "Did you mean list? What there is: reconciler state --help"),
        ("apply --auto-aprove", "Did you mean --auto-approve? What there is: reconciler apply --help"),
        ("--sandbx plan", "Did you mean --sandbox? What there is: reconciler plan --help"),
        ("plan --format jsn", "Did you mean json? What there is: reconciler plan --help"),
        ("init --region eema", "Did you mean emea? What there is: reconciler init --help"),
        ("state rm a --lock-timeot=5", "Did you mean --lock-timeout? What there is: reconciler state rm --help"),
        ("state resolve a", "What there is: reconciler state resolve --help"),
        ("plan --lock-timeout", "What there is: reconciler plan --help"),
        ("validate more", "What there is: reconciler validate --help"),
    ],
)
def test_wrong_usage_points_to_the_commands_own_help(place: Workplace, arguments: str, said: str) -> None:
    """A word that is no command, choice or option is met with what was meant perhaps, and the help of the command."""
    ran = place.run(*arguments.split())
    assert (ran.code, ran.err.splitlines()[-1]) == (64, f"  {said}"), ran


def test_a_secret_given_as_an_option_is_not_shown(place: Workplace) -> None:
    """There is no option for a secret, and an error about one that was tried says its name only."""
    for arguments in (["--client-secret=planted"], ["--client-secret", "planted"]):
        ran = place.run("apply", *arguments)
        assert (ran.code, "planted" in ran.err) == (64, False), ran


# -- what waits for a person -------------------------------------------------------------------------------------------


def read_by_a_shell(commands: Iterable[str]) -> list[list[str]]:
    """Return the words that a real shell makes of commands, each as if it was pasted."""
    script = "reconciler() { printf '%s\\0' \"$@\"; printf '\\0\\n\\0'; }\n" + "\n".join(commands)
    said = subprocess.run(["bash", "-c", script], capture_output=True, check=True, text=True).stdout
    return [words.removesuffix("\0").split("\0") for words in said.split("\0\n\0")[:-1]]


def pasteable(text: str) -> list[str]:
    """Return the commands of an output: a line of its own each, or the end of one, or a code span of Markdown."""
    spans = [span.strip() for span in re.findall(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)", text) for span in span[1:]]
    lines = [found for line in text.splitlines() if (found := re.search(r"(?:^ +|: )(reconciler .*)", line))]
    return [span for span in spans if span.startswith("reconciler ")] or [found[1] for found in lines]


@pytest.fixture
def held(place: Workplace, server: SandboxServer) -> Workplace:
    """Give a place where what became of hostile names is unknown, and held."""
    declared = [{"externalid": name, "route": "R"} for name in HOSTILE] + [{"once": n, "route": "R"} for n in HOSTILE]
    place.declare(json.dumps({"interactions": declared}), "all.json")
    place.env["RECONCILER_ON_UNKNOWN"] = "hold"
    server.faults.add("status=404")
    assert place.run("apply", "--auto-approve").code == 1
    server.faults.clear()
    return place


@pytest.mark.parametrize("arguments", [["plan"], ["plan", "--format", "markdown"], ["apply", "--auto-approve"]])
def test_a_command_about_any_name_can_be_pasted(held: Workplace, arguments: list[str]) -> None:
    """For each interaction that is held, two commands are named; a shell reads them as meant, and they do it."""
    ran = held.run("-C", ".", *arguments)
    words = read_by_a_shell(pasteable(ran.out))
    addresses = {*HOSTILE, *(f"once:{name}" for name in HOSTILE)}
    for answer in ("applied", "not-applied"):
        said = [each for each in words if answer in each]
        assert {each[-1] for each in said} == addresses
        assert all(each[:2] == ["-C", "."] for each in said)
    for each in said:
        assert held.run(*each).code == 0, each
    assert held.state["pending"] == {}


def test_the_environment_is_said_where_a_variable_gave_it(held: Workplace) -> None:
    """A pipeline may set RECONCILER_ENV; whoever pastes a command from its log or comment has not."""
    (held.folder / "reconciler.yaml").write_text("environments: {prod: {}}\n", encoding="utf-8")
    held.state_path.rename(held.folder / "reconciler.prod.state.json")
    ran = held.run("plan", "--out", "p.json", "--markdown-into", "p.md", env={"RECONCILER_ENV": "prod"})
    shown = held.run("show", "p.json")
    page = (held.folder / "p.md").read_text(encoding="utf-8")
    for text in (ran.out, shown.out, page, ran.err):
        words = read_by_a_shell(pasteable(text))
        assert words
        assert all(each[0] == "--env=prod" for each in words)


def test_a_refusal_to_forget_names_the_way_on(held: Workplace) -> None:
    """What must be said first is a command to paste, and then it can be forgotten, whatever its name is."""
    for name in HOSTILE:
        ran = held.run("state", "rm", *operands(name))
        (words,) = read_by_a_shell(pasteable(ran.err))
        assert (ran.code, held.run(*words).code, held.run("state", "rm", *operands(name)).code) == (1, 0, 0)


def test_a_wrong_name_leads_to_the_right_one(place: Workplace) -> None:
    """A once that is asked for without its prefix is found; what is nowhere leads to the list."""
    place.declare(json.dumps({"interactions": [{"once": "-x y", "route": "R"}]}), "all.json")
    assert place.run("apply", "--auto-approve").code == 0
    (words,) = read_by_a_shell(pasteable(place.run("state", "show", "--", "-x y").err))
    assert place.run(*words).out.startswith("once:-x y\n")
    (words,) = read_by_a_shell(pasteable(place.run("state", "show", "nobody").err))
    assert place.run(*words).code == 0


def test_commands_are_spelled_in_one_place() -> None:
    """No text of the package spells out a command of ours: it would miss the options in force, or its quotes."""
    spelled = re.compile(r"reconciler (?:-|init|validate|plan|show|apply|state)\b")
    found = []
    for path in sorted((ROOT / "reconciler").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docs]
        found += [path.name for text in texts if spelled.search(str(text.value))]
    # The example that `init` writes is for whoever reads it, in whatever folder.
    assert found == ["init.py"]
