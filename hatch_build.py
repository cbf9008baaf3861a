"""What the wheel has besides the package, made of the parser: a man page, and what completes commands in shells."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PLACES: Final = {
    "bash": "share/bash-completion/completions/reconciler",
    "fish": "share/fish/vendor_completions.d/reconciler.fish",
    "zsh": "share/zsh/site-functions/_reconciler",
}
"""Where each shell looks, below where the wheel is installed."""


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]  # as hatchling's docs have it
    """Writes the files of `share/` and has the wheel take them."""

    _folder: TemporaryDirectory[str]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See hatchling; an installation that can be edited goes without."""
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        self._folder = TemporaryDirectory()
        for place, text in shared().items():
            file = Path(self._folder.name, place)
            file.parent.mkdir(parents=True)
            file.write_text(text, encoding="utf-8")
            build_data["shared_data"][str(file)] = place


def shared() -> dict[str, str]:
    """Return the text of each file; needs the package on the path."""
    from reconciler.cli.arguments import parser  # noqa: PLC0415  # there once the path is set
    from reconciler.cli.shells import script  # noqa: PLC0415

    scripts = {place: script(parser(), shell) for shell, place in PLACES.items()}
    return {"share/man/man1/reconciler.1": _manual(), **scripts}


def _manual() -> str:
    from argparse_manpage.manpage import Manpage  # noqa: PLC0415  # a build's own

    from reconciler import DISTRIBUTION, __version__  # noqa: PLC0415
    from reconciler.cli.arguments import parser  # noqa: PLC0415

    os.environ["COLUMNS"] = "72"  # how wide the lines of a manual are, once they are indented
    top = parser()
    about = {"project_name": DISTRIBUTION, "version": __version__, "manual_title": "User Commands"}
    undated = {"date": " ", "description": str(top.description).rstrip(".")}  # the same text whenever it is built
    page = str(Manpage(top, {**about, **undated}))
    return re.sub(r"^(?=\.[a-z]{3})", r"\\&", page, flags=re.MULTILINE)  # a line of text, .gitignore say, is no macro
