"""What a terminal can do besides letters: colour, and places that are links. Plain text is the default.

Pure: whether there is a terminal, and which, comes from the caller.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from reconciler.render.links import SourceLinks

BOLD, RED, GREEN, YELLOW, ALARM = "1", "31", "32", "33", "1;31"


class Style(NamedTuple):
    """How a text is drawn: in colour or not, and with which links to files, if any."""

    colour: bool = False
    links: SourceLinks | None = None

    def paint(self, text: str, code: str) -> str:
        """Return the text in a colour, if there is any."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and code else text

    def linked(self, text: str, file: str, line: int) -> str:
        """Return the text as a link (OSC 8) to a line; its address is quoted, so that no name can end the sequence."""
        address = self.links.line(file, line) if self.links and line else None
        return f"\x1b]8;;{address}\x1b\\{text}\x1b]8;;\x1b\\" if address else text


PLAIN: Final = Style()
