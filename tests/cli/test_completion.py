"""Completion, in the shells themselves: what is offered at the cursor."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api import SandboxServer
from tests.command import Workplace, clean_environment

BASH = """\
source {script}
COMP_WORDS=({words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_shtab_reconciler
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
ZSH = """\
zmodload zsh/zpty
zpty one zsh -f -i
zpty -w one 'PS1=; unsetopt beep; autoload -Uz compinit; compinit -u -D'
zpty -w one 'source {script}; compdef _shtab_reconciler reconciler'
zpty -w one 'echo rea""dy'
zpty -r -m one shown '*ready*'
zpty -n -w one '{line}'$'\\t'
zpty -r -m one shown '*{expected}*' && print -r -- $shown
"""
HOSTILE = "$(touch hacked)"


@pytest.fixture
def known(place: Workplace) -> Workplace:
    """Give a place with environments, and interactions that are open."""
    place.declare(f"interactions:\n{item('crm-1')}{item('crm-2')}{item(HOSTILE)}{item('`id`')}")
    assert place.run("apply", "--auto-approve").code == 0
    assert place.run("--env", "staging", "init").code == 0
    return place


def item(name: str) -> str:
    """Return a declaration."""
    return f"  - {{externalid: '{name}', route: R}}\n"


def completed(place: Workplace, shell: str, *words: str) -> list[str]:
    """Return what a shell offers for the last of the words."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = place.folder / f"script.{shell}"
    script.write_text(place.run("completion", shell).out, encoding="utf-8")
    line = " ".join(words) if words[-1] else f"{' '.join(words[:-1])} "
    command = {
        "bash": ["bash", "-c", BASH.format(script=script, words=" ".join(word or "''" for word in words))],
        "fish": ["fish", "--no-config", "-c", f'source {script}; complete -C "{line}"'],
    }[shell]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**clean_environment(), **place.env, "PATH": path, "HOME": str(place.folder)}
    ran = subprocess.run(command, cwd=place.folder, env=env, capture_output=True, text=True, check=True, timeout=60)
    return sorted(line.partition("\t")[0].rstrip() for line in ran.stdout.splitlines() if line)


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_a_shell_completes(known: Workplace, shell: str, server: SandboxServer) -> None:
    """Commands, options, environments, files; addresses as the state has them, but none that a shell would run."""
    offered = {
        ("state", "reso"): ["resolve"],
        ("apply", "--auto"): ["--auto-approve"],
        ("plan", "--format", "mark"): ["markdown"],
        ("--env", "st"): ["staging"],
        ("state", "show", "crm"): ["crm-1", "crm-2"],
        ("show", "recon"): ["reconciler.staging.state.json", "reconciler.state.json", "reconciler.yaml"],
    }
    for words, expected in offered.items():
        found = completed(known, shell, "reconciler", *words)
        assert [each for each in found if ".lock" not in each and ".backup" not in each] == expected, words
    assert HOSTILE not in completed(known, shell, "reconciler", "state", "show", "")
    assert not (known.folder / "hacked").exists()
    assert server.emulator.open.keys() >= {HOSTILE}


def test_zsh_completes(known: Workplace) -> None:
    """In zsh, of which a terminal is needed, a command and an address are completed as they are typed."""
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    script = known.folder / "script.zsh"
    script.write_text(known.run("completion", "zsh").out, encoding="utf-8")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**clean_environment(), **known.env, "PATH": path, "HOME": str(known.folder), "TERM": "dumb"}
    for line, expected in (("reconciler valid", "validate"), ("reconciler state show cr", "crm-")):
        text = ZSH.format(script=script, line=line, expected=expected)
        ran = subprocess.run(
            ["zsh", "-f", "-c", text],
            cwd=known.folder,
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert expected in ran.stdout, ran


def test_what_is_before_the_cursor_counts(known: Workplace) -> None:
    """Addresses are those of the folder and environment that the command line names; where there are none, no error."""
    above = Workplace(known.folder.parent, known.env)
    asked = ["completion", "addresses", "--"]
    assert above.run(*asked, "-C", known.folder.name, "state", "show").out == "crm-1\ncrm-2\n"
    assert above.run("completion", "environments", "--", "-C", known.folder.name).out == "staging\n"
    for options in (["--env", "staging"], ["-C", "nowhere"], ["--log-format", "xml"], ["--state", "reconciler.yaml"]):
        ran = known.run(*asked, *options, "state", "show")
        assert (ran.code, ran.out if options[0] != "--log-format" else "") == (0, "")
    assert above.run("completion", "environments", "--", "-C", "nowhere").out == ""
