"""Text that nobody vouches for, made safe to show."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.escape import readable, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本", "plain é 日本"),
        ("a\x1b[0m", "a\\x1b[0m"),
        ("\u202e", "\\u202e"),
        ("\U000e0001", "\\U000e0001"),
        # As Python has names of the operating system, under a locale that knows ASCII only, and under UTF-8.
        ("d\udcc3\udca9j\udcc3\udca0", "déjà"),
        ("caf\udce9.yaml", "caf\\xe9.yaml"),
        ("\udcc2\udc9b0m", "\\x9b0m"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_can_not_be_shown_is_spelled(text: str, shown: str) -> None:
    """Control and bidirectional characters and bytes that are no UTF-8 are escapes; what people can read stays."""
    assert visible(text) == shown


@given(st.text(st.characters()) | st.binary().map(lambda data: data.decode("ascii", "surrogateescape")))
def test_whatever_comes_can_be_written(text: str) -> None:
    """What is shown is printable, what is readable is UTF-8, and making it so again changes neither."""
    assert visible(text).isprintable()
    assert readable(text) == readable(readable(text)) == readable(text).encode().decode()
    assert visible(visible(text)) == visible(text)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_name_is_the_same_under_every_locale(text: str) -> None:
    """The bytes of a name are read as UTF-8, whether the locale could decode them or not."""
    assert readable(text.encode().decode("ascii", "surrogateescape")) == text
