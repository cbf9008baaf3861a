"""What the commands share: the settings of this run, and the named steps that read from them."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import orjson

from reconciler.cli.choice import files
from reconciler.cli.console import Console
from reconciler.cli.gauge import ReadingProgress
from reconciler.config.layers import FILE_NAME, Settings, configure, state_file
from reconciler.config.settings import KEYS
from reconciler.config.urls import REGIONS
from reconciler.declarations import loader
from reconciler.declarations.loader import Declarations
from reconciler.declarations.seals import Seals
from reconciler.errors import ConfigError
from reconciler.planning.policy import judge
from reconciler.state.model import Target
from reconciler.state.stores import local
from reconciler.state.stores.interface import Store
from reconciler.state.stores.places import is_shared, open_store

SANDBOX_URL: Final = "http://sandbox.invalid"
FOLDER: Final = ".reconciler"


@dataclass(frozen=True, slots=True)
class Workspace:
    """The settings, and whether this run works against the sandbox."""

    settings: Settings
    sandbox: bool
    environ: Mapping[str, str]
    warn: Callable[[str], None]

    @property
    def target(self) -> Target:
        """The API that this run is about; raises ConfigError where none is configured."""
        if self.sandbox:
            return Target(SANDBOX_URL)
        if self.settings.base_url is None:
            raise ConfigError(
                "it is not said which API to work against",
                hint=f"Set region ({', '.join(REGIONS)}) in reconciler.yaml or RECONCILER_REGION, or try --sandbox.",
            )
        return Target(self.settings.base_url, self.settings.keys.account)

    @property
    def state_path(self) -> Path | None:
        """The state file, with links followed: it is replaced, and the link must stay. None where several share it."""
        if self.sandbox:
            return self.sandbox_file("state.json")
        state = self.settings.state
        return Path(os.path.realpath(state)) if isinstance(state, Path) else None  # unlike Path.resolve, of any link

    @property
    def place(self) -> str:
        """Where the state is kept, as a person would say it."""
        return self.shown(self.state_path) if self.state_path else str(self.settings.state).partition("?")[0]

    @property
    def rules_in_force(self) -> bytes:
        """All of the configuration that reading declarations and comparing them with a state depends on."""
        parts = [asdict(part) for part in (self.settings.keys.rules, self.settings.keys.plan_policy)]
        parts += [rule.model_dump() for rule in self.settings.keys.policy]
        return orjson.dumps(parts, option=orjson.OPT_SORT_KEYS, default=_plain)

    @property
    def store(self) -> Store:
        """What keeps the state."""
        return self._opened(self.state_path or str(self.settings.state))

    def store_at(self, place: str) -> Store:
        """Return what keeps the state at another place, named on the command line."""
        return self._opened(place if is_shared(place) else Path(os.path.realpath(Path(place).expanduser())))

    def _opened(self, place: Path | str) -> Store:
        return open_store(place, self.settings.folder, state_file(self.settings.environment), self.warn)

    def sandbox_file(self, end: str) -> Path:
        """Return where the sandbox keeps something; that of each environment is one of its own."""
        name = f"sandbox.{self.settings.environment}" if self.settings.environment else "sandbox"
        return Path(os.path.realpath(self.settings.folder / FOLDER)) / f"{name}.{end}"

    def shown(self, path: Path) -> str:
        """Return a path as a person would say it: relative where it is below the working folder."""
        try:
            return str(path.relative_to(Path.cwd()))
        except ValueError:
            return str(path)


def _plain(value: object) -> object:
    return sorted(value) if isinstance(value, frozenset) else str(value)


def open_workspace(options: argparse.Namespace, console: Console) -> Workspace:
    """Read the configuration as the options say; warns of what is odd in it."""
    folder = Path(options.directory) if options.directory else Path()
    if options.directory and not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder")
    flags = {key: value for key in KEYS if (value := getattr(options, key, None)) is not None}
    file = folder / options.config if options.config else None
    settings = configure(folder, os.environ, file=file, environment=options.env, flags=flags)
    for warning in settings.warnings:
        console.warn(warning)
    console.command = console.command.within(settings.environment)
    if options.sandbox:
        console.note("SANDBOX: nothing real is dispatched or released; a sandbox on this machine answers.")
    return Workspace(settings, options.sandbox, os.environ, console.warn)


def kept(workspace: Workspace, options: argparse.Namespace) -> dict[Path, str]:
    """Return what a run reads or remembers, each with what it is called; no output may go there."""
    configuration = Path(options.directory or ".") / (options.config or FILE_NAME)
    settings = workspace.settings
    read = {configuration: "the configuration", settings.interactions: "the declarations"}
    if isinstance(settings.state, Path):
        read[settings.state] = "the state"
    state = local.files(workspace.state_path) if workspace.state_path else {}
    return read | dict.fromkeys(files(options), "what is selected") | state


def read_declarations(
    workspace: Workspace,
    console: Console,
    *,
    reveal: bool = False,
    seals: Seals | None = None,
    sealing: bool = False,
) -> Declarations:
    """Return what is declared, without reading what fits a seal; warnings are shown, problems raised.

    `sealing`: what is read is to be sealed.
    """
    settings, rules = workspace.settings, workspace.settings.keys.rules
    if reveal and console.terminal:
        rules = replace(rules, sensitive=frozenset())
    told = ReadingProgress(console, time.monotonic)
    judged = partial(judge, settings.keys.policy, today=datetime.now(UTC).date())
    declarations = loader.load(
        settings.interactions, rules, base=settings.folder, told=told, seals=seals, sealing=sealing, judge=judged
    )
    if declarations.warnings:
        console.problems(declarations.warnings)
    console.detail(f"{len(declarations)} interactions declared in {declarations.files} files{_sealed(declarations)}")
    return declarations


def _sealed(declarations: Declarations) -> str:
    return f", {len(declarations.sealed)} of them sealed" if declarations.sealed else ""


def named(target: Target) -> str:
    """Return an API and account as a person would say it."""
    return target.base_url + (f" (account {target.account})" if target.account else "")
