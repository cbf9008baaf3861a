"""Colour, links and widths: what the terminal, the environment and the flags say of them."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.cli.terminal import has_colour, has_links, links_to, width
from reconciler.render.style import Style
from tests.command import Workplace

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LINK = re.compile(r"\x1b\]8;;(file://[!-~]*)\x1b\\(.*?)\x1b\]8;;\x1b\\", re.DOTALL)
ONE = "interactions: [{externalid: a, route: R}]\n"


@pytest.mark.parametrize(
    ("environ", "terminal", "piped"),
    [
        ({}, True, False),
        ({"NO_COLOR": "1"}, False, False),
        ({"NO_COLOR": ""}, True, False),
        ({"NO_COLOR": "0"}, False, False),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}, False, False),
        ({"FORCE_COLOR": "1"}, True, True),
        ({"FORCE_COLOR": "3", "TERM": "dumb"}, True, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"FORCE_COLOR": ""}, True, False),
        ({"CLICOLOR_FORCE": "1"}, True, True),
        ({"CLICOLOR_FORCE": "0"}, True, False),
        ({"CLICOLOR": "0"}, False, False),
        ({"CLICOLOR": "0", "CLICOLOR_FORCE": "1"}, True, True),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_colour(environ: dict[str, str], *, terminal: bool, piped: bool) -> None:
    """NO_COLOR counts before FORCE_COLOR and CLICOLOR_FORCE, and these before what the terminal is."""
    assert has_colour(environ, terminal=True) is terminal
    assert has_colour(environ, terminal=False) is piped


@pytest.mark.parametrize(
    ("environ", "linked"),
    [
        ({}, False),
        ({"TERM": "xterm-256color"}, False),
        ({"TERM": "xterm-kitty"}, True),
        ({"TERM": "alacritty"}, True),
        ({"TERM": "xterm-256color", "VTE_VERSION": "7006"}, True),
        ({"VTE_VERSION": "5000"}, False),
        ({"VTE_VERSION": "4999"}, False),
        ({"VTE_VERSION": ""}, False),
        ({"VTE_VERSION": "new"}, False),
        ({"TERM_PROGRAM": "vscode", "TERM_PROGRAM_VERSION": "1.99.3"}, True),
        ({"TERM_PROGRAM": "vscode", "TERM_PROGRAM_VERSION": "1.71.0"}, False),
        ({"TERM_PROGRAM": "vscode"}, False),
        ({"TERM_PROGRAM": "iTerm.app", "TERM_PROGRAM_VERSION": "3.5.0"}, True),
        ({"TERM_PROGRAM": "WezTerm", "TERM_PROGRAM_VERSION": "20240203-110809-5046fc22"}, True),
        ({"TERM_PROGRAM": "Apple_Terminal", "TERM_PROGRAM_VERSION": "455"}, False),
        ({"TERM": "screen-256color", "VTE_VERSION": "7006"}, False),
        ({"TERM": "xterm-kitty", "TMUX": "/run/tmux,1,0"}, False),
        ({"TERM": "dumb", "VTE_VERSION": "7006"}, False),
        ({"FORCE_HYPERLINK": "0", "TERM": "xterm-kitty"}, False),
        ({"FORCE_HYPERLINK": "1"}, True),
        ({"FORCE_HYPERLINK": "", "TERM": "xterm-kitty"}, True),
    ],
)
def test_links(environ: dict[str, str], *, linked: bool) -> None:
    """Only terminals that are known to have links get some, pipes none, and FORCE_HYPERLINK decides."""
    assert has_links(environ, terminal=True) is linked
    assert has_links(environ, terminal=False) is (environ.get("FORCE_HYPERLINK") == "1")


@contextmanager
def terminal_of(columns: int) -> Iterator[int]:
    """Give a terminal of so many columns."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    try:
        yield slave
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.parametrize(("columns", "said", "expected"), [(0, "", 80), (100, "", 100), (9, "", 40), (100, "60", 60)])
def test_the_width_of_a_terminal(columns: int, said: str, expected: int) -> None:
    """It is the terminal's, or what COLUMNS says; 80 where neither knows."""
    with terminal_of(columns) as slave, open(slave, "w", encoding="utf-8", closefd=False) as stream:
        assert width({"COLUMNS": said} if said else {}, stream) == expected
    assert width({}, None) == 80


def test_colour_and_links_are_all_that_is_added(place: Workplace) -> None:
    """A plan, a problem and a report with colour and links are the plain ones, but for colour and links."""
    place.declare(ONE)
    forced = {"FORCE_COLOR": "1", "FORCE_HYPERLINK": "1"}
    for arguments in (
        ["plan"],
        ["plan", "--full"],
        ["validate", "--interactions", "nowhere"],
        ["apply", "--auto-approve"],
    ):
        plain = place.run(*arguments) if arguments[0] != "apply" else None
        styled = place.run(*arguments, env=forced)
        assert COLOUR.search(styled.out)
        assert plain is None or LINK.sub(r"\2", COLOUR.sub("", styled.out)) == plain.out
    assert "\x1b" not in place.run("plan", "--format", "json", env=forced).out
    assert "\x1b" not in place.run("plan", "--format", "markdown", env=forced).out


def test_no_color_on_the_command_line_counts_most(place: Workplace) -> None:
    """`--no-color` takes colour away, whatever is forced, from a mistake on the same command line too."""
    place.declare(ONE)
    assert "\x1b" not in place.run("plan", "--no-color", env={"FORCE_COLOR": "1"}).out
    assert place.run("--no-color", "plann", env={"FORCE_COLOR": "1"}).err.startswith("Error: ")
    assert place.run("plann", env={"FORCE_COLOR": "1"}).err.startswith("\x1b[1;31mError:\x1b[0m ")


@pytest.mark.parametrize("arguments", [["plann"], ["plan", "--lock-timeout"], ["apply", "--allow-releases", "x"]])
def test_wrong_usage_in_a_json_log_is_json(place: Workplace, arguments: list[str]) -> None:
    """Whoever asks for a JSON log gets nothing else, though the rest of the command line is wrong."""
    ran = place.run("--log-format", "json", *arguments)
    (said,) = map(json.loads, ran.err.splitlines())
    assert (ran.code, said["level"]) == (64, "error")
    assert said["hint"].endswith("--help")


HOSTILE = ["a b.yaml", "é;%41#9?.yaml", "x\x1b\\\x1b]8;;evil\x07.yaml", "\u202efdp.yaml", 'q"<>`$.yaml']


@pytest.mark.parametrize("name", HOSTILE)
def test_a_link_leads_to_its_line(place: Workplace, name: str) -> None:
    """The address of a link is that of the file, whatever its name; nothing in the name acts on the terminal."""
    place.declare("interactions:\n  - {externalid: a, route: R}\n", name)
    shown = place.run("plan", env={"FORCE_HYPERLINK": "1"}).out
    ((address, text),) = LINK.findall(shown)
    parts = urlsplit(address)
    assert parts.fragment == "2"
    assert Path(os.fsdecode(unquote_to_bytes(parts.path))) == place.folder / "interactions" / name
    assert text.isprintable()
    assert LINK.sub("", shown).replace("\n", "").isprintable()


def test_a_mistake_in_the_configuration_is_linked(place: Workplace) -> None:
    """Its place is relative to the working folder, unlike those of declarations."""
    (place.folder / "reconciler.yaml").write_text("region: mars\n", encoding="utf-8")
    above = Workplace(place.folder.parent, place.env)
    ran = above.run("-C", place.folder.name, "plan", env={"FORCE_HYPERLINK": "1"})
    ((address, _),) = LINK.findall(ran.err)
    assert urlsplit(address).path == str(place.folder / "reconciler.yaml")


@given(st.text(), st.integers(min_value=1, max_value=10**6))
def test_no_name_ends_a_link(name: str, line: int) -> None:
    """Whatever a file is called, the address holds printable ASCII only."""
    shown = Style(links=links_to(Path("/x"))).linked("here", name, line)
    assert shown == "here" or LINK.fullmatch(shown)
