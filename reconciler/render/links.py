"""Where a line of a declaration can be looked at, in a browser or in an editor.

Pure: what is known of the repository or the machine comes from the caller.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class SourceLinks:
    """A commit of a repository, or a host: `blob` is the address of its files, `prefix` where ours are below its root.

    `anchor` stands before the number of a line.
    """

    blob: str
    prefix: str = ""
    anchor: str = "L"

    def line(self, file: str, line: int) -> str | None:
        """Return the address of a line; None for a file outside the repository."""
        path = posixpath.normpath(posixpath.join(self.prefix, file))
        if path.startswith(("../", "/")):
            return None
        return f"{self.blob}/{quote(path, safe='/', errors='surrogateescape')}#{self.anchor}{line}"
