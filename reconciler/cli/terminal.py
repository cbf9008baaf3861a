"""What the terminal of this run can do, as far as the environment and the system tell; nothing is asked of itself."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TextIO
from urllib.parse import quote

from reconciler.render.links import SourceLinks

_USUAL_WIDTH: Final = 80
_NARROWEST: Final = 40
_LINKING_TERMS: Final = ("xterm-kitty", "xterm-ghostty", "alacritty", "foot", "foot-extra", "contour")
_LINKING_PROGRAMS: Final = {"iTerm.app": (3, 1), "WezTerm": (20200620,), "vscode": (1, 72), "ghostty": (0,)}
"""Since which version."""
_VTE_LINKS: Final = 5001  # 0.50.1: 0.50.0 has them, and crashes over them


def is_terminal(stream: TextIO | None) -> bool:
    """Whether it is a terminal; a process may be started without any stdout at all."""
    return stream is not None and stream.isatty()


def has_colour(environ: Mapping[str, str], *, terminal: bool) -> bool:
    """Whether colour is wanted: NO_COLOR counts before FORCE_COLOR and CLICOLOR_FORCE, and these before what it is."""
    if environ.get("NO_COLOR"):
        return False
    if forced := environ.get("FORCE_COLOR"):
        return forced != "0"
    if environ.get("CLICOLOR_FORCE", "0") not in {"", "0"}:
        return True
    return terminal and environ.get("CLICOLOR") != "0" and environ.get("TERM") != "dumb"


def has_links(environ: Mapping[str, str], *, terminal: bool) -> bool:
    """Whether the terminal is known to have hyperlinks; FORCE_HYPERLINK decides, unless it is empty."""
    if forced := environ.get("FORCE_HYPERLINK"):
        return forced != "0"
    term = environ.get("TERM", "")
    # What runs inside of a terminal (tmux, screen) may inherit its variables, and has links only if it is told to.
    if not terminal or term.startswith(("dumb", "screen", "tmux")) or "TMUX" in environ:
        return False
    since = _LINKING_PROGRAMS.get(environ.get("TERM_PROGRAM", ""))
    version = tuple(int(part[:9]) for part in re.findall(r"[0-9]+", environ.get("TERM_PROGRAM_VERSION", ""))[:3])
    return (
        term in _LINKING_TERMS
        or (since is not None and version >= since)
        or re.sub(r"[^0-9]", "", environ.get("VTE_VERSION", "")).zfill(9) >= f"{_VTE_LINKS:09}"
    )


def links_to(folder: Path) -> SourceLinks:
    """Return how to link to files that are named relative to a folder; the host, as `ls` and terminals want it."""
    path = os.fsencode(os.path.abspath(folder)).decode(errors="surrogateescape")  # noqa: PTH100  # links stay links
    return SourceLinks(f"file://{quote(socket.gethostname())}", path.lstrip("/"), anchor="")


def width(environ: Mapping[str, str], stream: TextIO | None) -> int:
    """Return how many columns there are; a number that no terminal has is no number, and 0 is an unknown one."""
    columns = environ.get("COLUMNS", "")
    if re.fullmatch(r"0*[1-9][0-9]{0,3}", columns, re.ASCII):
        return max(_NARROWEST, int(columns))
    try:
        found = os.get_terminal_size(stream.fileno()).columns if is_terminal(stream) and stream else 0
    except (OSError, ValueError):
        found = 0
    return max(_NARROWEST, found or _USUAL_WIDTH)
