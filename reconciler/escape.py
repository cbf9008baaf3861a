"""Text from files and from the API, made safe to show.

Pure. A terminal obeys control characters, and bidirectional ones make text read as what it is not.
"""

from __future__ import annotations


def visible(text: str) -> str:
    r"""Return the text with control, bidirectional and other unprintable characters as `\xNN` or `\uNNNN`."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(ord(character)) for character in text)


def _escape(code: int) -> str:
    if code <= 0xFF:  # noqa: PLR2004 - the last code that two digits hold
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - as above, four digits
