"""The commit that is planned or applied, as the user's git tells of the repository that holds the configuration. Shell.

Where there is no repository, no git, or one that refuses, nothing is known, and nothing depends on it.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from reconciler.cli.workspace import Workspace
from reconciler.config.layers import FILE_NAME
from reconciler.planning.guards import Relation

if TYPE_CHECKING:
    from subprocess import CompletedProcess

_COMMIT: Final = re.compile(r"[0-9a-f]{7,64}")
_OF_HEAD: Final = "# branch.oid "


class Head(NamedTuple):
    """The commit that is checked out, and whether the configuration or a declaration differs from it."""

    commit: str
    dirty: bool


class Checkout:
    """A work tree, asked through git about the configuration and the declarations, `paths`."""

    def __init__(self, root: Path, paths: Sequence[Path]) -> None:
        self._root, self._paths = root, [str(path) for path in paths if path.is_relative_to(root)]

    def head(self) -> Head | None:
        """Return what is checked out; None where git can't tell."""
        ran = self._git("status", "--porcelain=v2", "--branch", "--ignore-submodules=dirty", "--", *self._paths)
        lines = ran.stdout.splitlines() if ran and ran.returncode == 0 else []
        commit = next((line.removeprefix(_OF_HEAD) for line in lines if line.startswith(_OF_HEAD)), "")
        dirty = any(not line.startswith("#") for line in lines)
        return Head(commit, dirty) if _COMMIT.fullmatch(commit) else None

    def follows(self, commit: str) -> bool:
        """Whether what is checked out is this commit or comes after it; where it isn't so, `relation` tells more."""
        return bool(_COMMIT.fullmatch(commit)) and self._succeeds("merge-base", "--is-ancestor", commit, "HEAD")

    def relation(self, commit: str) -> tuple[str, Relation] | None:
        """Return what is checked out, and how it stands to a commit that it doesn't follow; None: git can't tell."""
        asked = self._git("rev-parse", "--is-shallow-repository", "--verify", "HEAD^{commit}")
        if not asked or asked.returncode:
            return None
        shallow, head = asked.stdout.split()
        known = bool(_COMMIT.fullmatch(commit)) and self._succeeds("cat-file", "-e", f"{commit}^{{commit}}")
        if known and self._succeeds("merge-base", "--is-ancestor", "HEAD", commit):
            return head, "older"
        return head, "shallow" if shallow == "true" else "elsewhere" if known else "unknown"

    def changed_since(self, commit: str) -> bool:
        """Whether a commit after this one is about the configuration or the declarations, or nobody can tell."""
        ran = self._git("rev-list", "-1", f"{commit}..HEAD", "--", *self._paths)
        return not ran or bool(ran.returncode or ran.stdout)

    def _succeeds(self, *arguments: str) -> bool:
        ran = self._git(*arguments)
        return ran is not None and ran.returncode == 0

    def _git(self, *arguments: str) -> CompletedProcess[str] | None:
        import subprocess  # noqa: PLC0415  # only in a repository

        from reconciler.state.stores.gitcommand import plain_environment  # noqa: PLC0415  # likewise

        command = ["git", "--literal-pathspecs", "-c", "core.fsmonitor=false", "-C", str(self._root), *arguments]
        try:
            return subprocess.run(  # noqa: S603
                command, env=plain_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
        except (OSError, UnicodeDecodeError):
            return None


def checkout(workspace: Workspace, options: argparse.Namespace) -> Checkout | None:
    """Return the work tree that holds the configuration; None without one, and for the sandbox, which forgives."""
    configuration = Path(os.path.realpath(Path(options.directory or ".") / (options.config or FILE_NAME)))
    root = next((folder for folder in configuration.parents if (folder / ".git").exists()), None)
    if root is None or workspace.sandbox:
        return None
    return Checkout(root, [configuration, Path(os.path.realpath(workspace.settings.interactions))])
