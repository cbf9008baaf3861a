"""What the commands of a pipeline share: platform, repository, and plans of commits that are not checked out."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import tempfile
from argparse import Namespace
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
from reconciler.commandline import PLAIN, operands
from reconciler.config.layers import FILE_NAME, configure
from reconciler.errors import ConfigError, UsageError
from reconciler.planning.guards import Refusal
from reconciler.render.markdown.plan import marker
from reconciler.state.model import State

SHARED: Final = "git:reconciler-state"
UNATTENDED: Final = ("--auto-approve", "--lock-timeout=600")
"""A run that was killed holds the lock of a shared state until others have seen it idle for some minutes."""
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
    def at(self, tree: str) -> Iterator[Workspace]:
        """Give the workspace with what a commit or tree declares, as plain files: data that nobody need vouch for."""
        with tempfile.TemporaryDirectory(prefix="reconciler-") as name:
            self.repository.extract(tree, self.declarations, Path(name))
            settings, folder = self.workspace.settings, self.repository.position(self.workspace.settings.folder)
            there = replace(settings, interactions=Path(name) / self.declarations, folder=Path(name) / folder)
            yield replace(self.workspace, settings=there)

    @contextmanager
    def back_at(self, commit: str) -> Iterator[Pipeline]:
        """Give the pipeline as it was at a commit of our own history, with its configuration; the state stays."""
        settings, options = self.workspace.settings, Namespace(**vars(self.options))
        with self.repository.checkout(commit) as root:
            options.directory = str(root / self.repository.position(Path(self.options.directory or ".")))
            file = Path(options.directory) / (options.config or FILE_NAME)
            environ, name = self.workspace.environ, settings.environment
            there = configure(Path(options.directory), environ, file=file if file.exists() else None, environment=name)
            workspace = replace(self.workspace, settings=replace(there, state=settings.state))
            yield replace(self, workspace=workspace, options=options)

    def review(self, workspace: Workspace, state: State, standing: tuple[Refusal, ...] = ()) -> Review:
        """Return the plan of a workspace."""
        return review(workspace, state, self.options, self.console, standing=standing)

    @contextmanager
    def tells(self, said: str) -> Iterator[None]:
        """Take a refusal of the platform for a warning: what was planned or applied stays so."""
        try:
            yield
        except (PlatformError, GitError) as error:
            self.console.warn(f"{said}: {error}", error.hint)


@contextmanager
def open_pipeline(options: argparse.Namespace, console: Console, command: str, *more: str) -> Iterator[Pipeline]:
    """Give the run that we are in; `command` and `more` are words as of `reconciler plan` or `apply`."""
    platform = platform_here(os.environ)
    given = parse([command, *in_force(options), *more, *_approvals(options)])
    workspace = open_workspace(given, console)
    repository = Repository(workspace.settings.folder, *platform.git_login)
    try:
        if lost := lost_with_checkout(workspace, repository):
            raise ConfigError("the state is a file of the checkout, which is gone with this job", hint=lost)
        yield Pipeline(platform, repository, workspace, given, console)
    finally:
        platform.close()


def lost_with_checkout(workspace: Workspace, repository: Repository) -> str:
    """Return what to do about a state that is a file of the checkout; empty for one that outlives a job."""
    path = workspace.state_path
    if path is None or not path.is_relative_to(os.path.realpath(repository.root)):
        return ""
    there = PLAIN("state", "migrate", *operands(repository.position(path), SHARED))
    return f"Keep it where all jobs find it: {there}, then `state: {SHARED}` in {FILE_NAME}."


def _approvals(options: argparse.Namespace) -> list[str]:
    """Return the words that a person gave to overrule a guard, and nothing else."""
    words = shlex.split(getattr(options, "allow", None) or "")
    for word in words:
        if not _APPROVAL.fullmatch(word):
            raise UsageError(f"--allow: {word!r} overrules no guard", hint="Give it as the guard names it: --allow-… N")
    return words
