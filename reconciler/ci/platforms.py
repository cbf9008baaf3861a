"""The platforms that are known, and the one that this is about. Another one is a module, and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reconciler.ci.github import GitHub
from reconciler.ci.gitlab import GitLab
from reconciler.ci.platform import Platform
from reconciler.ci.rest import PlatformError

KNOWN: Final[Mapping[str, type[GitHub | GitLab]]] = {"github": GitHub, "gitlab": GitLab}


def platform_here(environ: Mapping[str, str]) -> Platform:
    """Return the platform of this run; raises PlatformError where there is none."""
    for connect in KNOWN.values():
        if connect.here(environ):
            return connect(environ)
    raise PlatformError(
        "this is no run of a pipeline that reconciler knows",
        hint="`reconciler ci plan`, comment, apply and retry run in a job of GitHub Actions or GitLab CI.",
    )


def platform_of(name: str, server: str, path: str, environ: Mapping[str, str]) -> Platform:
    """Return the platform of a repository, for a person at a terminal."""
    connect = KNOWN[name]
    return connect(connect.from_outside(server, path, environ))
