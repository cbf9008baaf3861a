"""Where we are in a repository, as GitHub's or GitLab's environment tells it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from reconciler.errors import Problem
from reconciler.render.links import SourceLinks

_URL: Final = re.compile(r"https?://[A-Za-z0-9._~:/%-]+")
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def links(folder: Path, environ: Mapping[str, str]) -> SourceLinks | None:
    """Return how to link to declarations, which are named relative to `folder`; None where it isn't known.

    `RECONCILER_COMMIT` says which commit, where the platform's own (a pull request's merge) won't be there for long.
    """
    for blob, root in ((_github(environ), "GITHUB_WORKSPACE"), (_gitlab(environ), "CI_PROJECT_DIR")):
        prefix = position(folder, environ.get(root))
        if blob and prefix is not None:
            return SourceLinks(blob, prefix)
    return None


def _github(environ: Mapping[str, str]) -> str | None:
    server, repository = environ.get("GITHUB_SERVER_URL", ""), environ.get("GITHUB_REPOSITORY", "")
    commit = _commit(environ, "GITHUB_SHA")
    if commit and _URL.fullmatch(server) and _REPOSITORY.fullmatch(repository):
        return f"{server}/{repository}/blob/{commit}"
    return None


def _gitlab(environ: Mapping[str, str]) -> str | None:
    project, commit = environ.get("CI_PROJECT_URL", ""), _commit(environ, "CI_COMMIT_SHA")
    return f"{project}/-/blob/{commit}" if commit and _URL.fullmatch(project) else None


def _commit(environ: Mapping[str, str], variable: str) -> str | None:
    commit = environ.get("RECONCILER_COMMIT") or environ.get(variable, "")
    return commit if _COMMIT.fullmatch(commit) else None


def located(problems: Sequence[Problem], folder: Path, environ: Mapping[str, str]) -> list[Problem]:
    """Return problems whose files are named from the repository's root; as they are where there is no repository.

    Declarations are named relative to `folder`, the configuration relative to the working folder.
    """
    return [replace(problem, file=_in_repository(problem.file, folder, environ)) for problem in problems]


def _in_repository(file: str, folder: Path, environ: Mapping[str, str]) -> str:
    # os.path's own: Path's raises for names that no file can have.
    nearer = os.path.exists(folder / file) or not os.path.exists(file)  # noqa: PTH110
    path = folder / file if nearer else Path(file)
    return position(path, environ.get("GITHUB_WORKSPACE") or environ.get("CI_PROJECT_DIR")) or file


def position(path: Path, root: str | None) -> str | None:
    """Return where a path is below a repository's root, with `/`; None if it isn't."""
    if not root:
        return None
    for found in (os.path.abspath, os.path.realpath):  # a runner may name its workspace by a link
        with suppress(OSError, ValueError):
            return Path(found(path)).relative_to(found(root)).as_posix()
    return None
