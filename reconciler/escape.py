"""Text from files, from the operating system and from the API, made safe to show.

Pure. A terminal obeys control characters, and bidirectional ones make text read as what it is not. Names of the
operating system are bytes: Python has those that its locale can't decode as surrogates, which no file of ours can hold.
"""

from __future__ import annotations

import re
from typing import Final

_LONGEST: Final = 80
_BYTES: Final = re.compile("[\udc80-\udcff]+")


def visible(text: str) -> str:
    r"""Return the text with control, bidirectional and other unprintable characters as `\xNN` or `\uNNNN`."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(ord(character)) for character in readable(text))


def readable(text: str) -> str:
    r"""Return the text with the bytes of a name read as UTF-8, whatever the locale; those that are not, as `\xNN`."""
    if text.isascii():
        return text
    named = _BYTES.sub(lambda run: run[0].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"), text)
    return named.encode("utf-8", "backslashreplace").decode("utf-8")


def brief(text: str) -> str:
    """Return a name as messages show it: visible, and not endless."""
    return visible(text) if len(text) <= _LONGEST else visible(text[:_LONGEST]) + "…"


def _escape(code: int) -> str:
    if code <= 0xFF:  # noqa: PLR2004 - the last code that two digits hold
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - as above, four digits
