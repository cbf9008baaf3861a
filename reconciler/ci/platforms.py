"""The platforms that are known, and the one that this runs on. Another one is a module, and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from reconciler.ci import github
from reconciler.ci.platform import Platform
from reconciler.ci.rest import PlatformError

_KNOWN: Final = ((github.here, github.GitHub),)


def platform_here(environ: Mapping[str, str]) -> Platform:
    """Return the platform of this run; raises PlatformError where there is none."""
    for here, connect in _KNOWN:
        if here(environ):
            return connect(environ)
    raise PlatformError(
        "this is no run of a pipeline that reconciler knows",
        hint="`reconciler ci plan`, comment, apply and retry run in a job of GitHub Actions or GitLab CI.",
    )
