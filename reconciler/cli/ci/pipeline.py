"""What the commands of a pipeline share: platform, repository, and plans of commits that are not checked out."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from reconciler.ci.platform import Platform
from reconciler.ci.platforms import platform_here
from reconciler.ci.repository import GitError, Repository
from reconciler.ci.rest import PlatformError
from reconciler.cli.arguments import in_force, parse
from reconciler.cli.console import Console
from reconciler.cli.review import Review, review
from reconciler.cli.workspace import Workspace, open_workspace
from reconciler.config.layers import FILE_NAME, configure
from reconciler.errors import UsageError
from reconciler.planning.guards import Refusal
from reconciler.render.markdown.plan import marker
from reconciler.state.model import State

_APPROVAL: Final = re.compile(r"--allow-[a-z-]+(=[0-9a-f]+)?|[0-9a-f]+")


@dataclass(frozen=True)
class Pipeline:
    """A run of a pipeline: where it runs, for which workspace, as which options of `plan` and `apply`."""

    platform: Platform
    repository: Repository
    workspace: Workspace
    options: argparse.Namespace
    console: Console

    @property
    def environment(self) -> str | None:
        """The environment of reconciler.yaml."""
        return self.workspace.settings.environment

    @property
    def context(self) -> str:
        """The name of the status that says what a plan came to."""
        return f"reconciler ({self.environment})" if self.environment else "reconciler"

    @property
    def first_words(self) -> str:
        """How our comment begins."""
        return marker(self.environment)

    @property
    def approval(self) -> str:
        """The environment of the platform whose reviewers are asked."""
        return f"reconciler-{self.environment}-approval" if self.environment else "reconciler-approval"

    @property
    def declarations(self) -> str:
        """Where the declarations are below the repository's root."""
        return self.repository.position(self.workspace.settings.interactions)

    @contextmanager
    def at(self, tree: str, *, configured: bool = False) -> Iterator[Workspace]:
        """Give the workspace with the declarations of a commit or tree, as plain files of a folder that goes again.

        `configured`: with the configuration of that commit as well; never for one that nobody vouches for.
        """
        settings, position = self.workspace.settings, self.repository.position
        with tempfile.TemporaryDirectory(prefix="reconciler-") as name:
            root = Path(name)
            self.repository.extract(tree, self.declarations, root)
            folder = root / position(settings.folder)
            if configured:
                file = position(Path(self.options.directory or ".") / (self.options.config or FILE_NAME))
                self.repository.extract(tree, file, root)
                there = root / file if (root / file).exists() else None
                own = configure(folder, self.workspace.environ, file=there, environment=settings.environment)
                settings = replace(own, state=settings.state)
            inside = root / self.declarations
            yield replace(self.workspace, settings=replace(settings, interactions=inside, folder=folder))

    def review(self, workspace: Workspace, state: State, standing: tuple[Refusal, ...] = ()) -> Review:
        """Return the plan of a workspace."""
        return review(workspace, state, self.options, self.console, standing=standing)

    def tells(self, said: str) -> _Told:
        """Return what lets a run go on where the platform refuses to be told."""
        return _Told(self.console, said)


class _Told:
    """A refusal of the platform is a warning here: what was planned or applied stays so."""

    def __init__(self, console: Console, said: str) -> None:
        self._console, self._said = console, said

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if not isinstance(error, PlatformError | GitError):
            return False
        self._console.warn(f"{self._said}: {error}", error.hint)
        return True


@contextmanager
def open_pipeline(options: argparse.Namespace, console: Console, command: str, *more: str) -> Iterator[Pipeline]:
    """Give the run that we are in; `command` and `more` are words as of `reconciler plan` or `apply`."""
    platform = platform_here(os.environ)
    given = parse([command, *in_force(options), *more, *_approvals(options)])
    workspace = open_workspace(given, console)
    user, token = platform.git_login
    repository = Repository(workspace.settings.folder, user, token)
    try:
        yield Pipeline(platform, repository, workspace, given, console)
    finally:
        platform.close()


def _approvals(options: argparse.Namespace) -> list[str]:
    """Return the words that a person gave to overrule a guard, and nothing else."""
    words = shlex.split(getattr(options, "allow", None) or "")
    for word in words:
        if not _APPROVAL.fullmatch(word):
            raise UsageError(f"--allow: {word!r} overrules no guard", hint="Give it as the guard names it: --allow-… N")
    return words
