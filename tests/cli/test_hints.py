"""What to do next, as a command: it can be pasted, and it is about the folder, environment and state of this run."""

from __future__ import annotations

import re
import shlex

import pytest

from reconciler.cli.arguments import in_force, parse
from tests.command import Ran, Workplace

ONE = "interactions: [{externalid: a, route: R}]\n"
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
        (["apply", "--auto-approve"], 5, [["init"]]),
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
