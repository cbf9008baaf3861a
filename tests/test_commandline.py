"""Commands that are suggested: what a shell makes of them."""

from __future__ import annotations

import os
import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.commandline import CommandLine, operands, quoted

# What an operating system may hand over as a name: any bytes but NUL, those that are no UTF-8 as surrogates.
NAMES = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    st.binary(max_size=20).map(lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")),
)


@given(st.lists(NAMES, min_size=1, max_size=50))
@settings(max_examples=25, deadline=None)
def test_a_shell_reads_the_words_that_were_meant(words: list[str]) -> None:
    """Whatever the words hold, what is shown is printable, and bash makes the same words of it again."""
    shown = CommandLine(tuple(words))()
    assert shown.isprintable()
    script = "printf '%s\\0' " + shown
    ran = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
    read = ran.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
    assert read == ["reconciler", *words]


def test_the_options_in_force_come_first() -> None:
    """A command repeats the options, then says its words; a name that looks like an option stands behind `--`."""
    command = CommandLine(("-C", "a folder", "--env", "prod"))
    assert command("apply", *operands("plan.json")) == "reconciler -C 'a folder' --env prod apply plan.json"
    assert command("apply", *operands("-p")) == "reconciler -C 'a folder' --env prod apply -- -p"


def test_what_can_not_be_shown_is_spelled() -> None:
    """A control character, or a byte that is no UTF-8, is spelled as a shell reads it; a plain word stays plain."""
    assert quoted("plain-word/1.yaml") == "plain-word/1.yaml"
    assert quoted("it's\n\udce9") == r"$'it\'s\x0a\xe9'"
    assert os.fsencode("\udce9") == b"\xe9"
