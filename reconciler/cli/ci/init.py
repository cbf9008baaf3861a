"""`reconciler ci init`: the files of a pipeline for the repository at hand, its state, and the settings that remain."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reconciler.ci.files import Place, pipeline_files
from reconciler.ci.origin import installed_from, located
from reconciler.ci.platform import Platform, Setting
from reconciler.ci.platforms import platform_of
from reconciler.ci.repository import Repository
from reconciler.cli import init
from reconciler.cli.arguments import in_force, parse
from reconciler.cli.ci.pipeline import lost_with_checkout
from reconciler.cli.console import Console, settings_folder
from reconciler.cli.workspace import open_workspace
from reconciler.config.layers import FILE_NAME, PREFIX
from reconciler.errors import ExitCode, UsageError
from reconciler.escape import visible

_USES: Final = re.compile(r"[\w.-]+(/[\w.-]+)+@[\w.-]+")


@dataclass(frozen=True)
class Home:
    """The repository at hand and where it is kept."""

    repository: Repository
    platform: Platform
    name: str
    place: Place

    @property
    def settings(self) -> Iterator[Setting]:
        """What remains to be set by hand."""
        return self.platform.settings(self.place.branch, self.place.environment)


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Make what is missing, and change nothing that is there."""
    folder = Path(options.directory or ".")
    folder.mkdir(parents=True, exist_ok=True)
    with at_home(options) as home:
        fresh = not (folder / (options.config or FILE_NAME)).exists()
        more = ["--state", options.store] if fresh and not options.state else []
        if more and options.store.startswith("git:") and home.repository.is_new:
            raise UsageError(
                "the remote has no branch yet, and the first one becomes the default branch: not the state's, please",
                hint="git commit --allow-empty --message Start && git push --set-upstream origin HEAD",
            )
        more += ["--region", options.region] if options.region else []
        init.run(parse(["init", *in_force(options), *more]), console)
        console.out("\n")
        for file, text in pipeline_files(home.name, home.place, forks=options.forks).items():
            console.out(_made(home.repository.root / file, text, file))
        console.out("".join(_remaining(home)))
        if lost := lost_with_checkout(open_workspace(options, console), home.repository):
            console.warn("the state is a file of the repository, and a job's checkout is gone with it", lost)
    return ExitCode.DONE


@contextmanager
def at_home(options: argparse.Namespace) -> Iterator[Home]:
    """Give what is known of the repository; raises what says that there is none, or what can't be known."""
    repository = Repository(settings_folder(options))
    server, path = located(repository.remote)
    name = options.platform or ("gitlab" if "gitlab" in server else "github")
    uses = options.uses or installed_from()
    if not _USES.fullmatch(uses):
        raise UsageError(
            "it isn't known where the pipeline gets reconciler from",
            hint="Say which repository and commit, as in --uses OWNER/reconciler@COMMIT.",
        )
    environment = options.env or os.environ.get(f"{PREFIX}ENV") or None
    place = Place(repository.default_branch or "main", environment, repository.position(settings_folder(options)), uses)
    platform = platform_of(name, server or "https://HOST", path or "OWNER/NAME", os.environ)
    with closing(platform):
        yield Home(repository, platform, name, place)


def _made(path: Path, text: str, name: str) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return f"Made {visible(name)}\n"
    if path.read_text(encoding="utf-8", errors="replace") == text:
        return ""
    return f"Left {visible(name)} as it is; it is not what would be made now. Remove it to have it made anew.\n"


def _remaining(home: Home) -> Iterator[str]:
    yield "\nCommit and push all of it. These settings remain to be made:\n"
    for number, setting in enumerate(home.settings, start=1):
        yield f"  {number}. {setting.where}\n     ({setting.why})\n"
    yield "`reconciler ci check` looks whether they are in force.\n"
