"""`reconciler init`: an empty state to be kept from now on, and a folder to start in."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from reconciler.cli.console import Console
from reconciler.cli.current_state import new_state
from reconciler.cli.destinations import rewrite_file
from reconciler.cli.workspace import FOLDER, Workspace, open_workspace
from reconciler.config.environments import block, with_environment
from reconciler.config.layers import FILE_NAME, PREFIX
from reconciler.config.settings import is_environment
from reconciler.config.urls import REGIONS
from reconciler.errors import ConfigError, ExitCode, StateMissing
from reconciler.escape import visible
from reconciler.render.words import count
from reconciler.schemas import schema_text
from reconciler.state.stores.places import is_shared

_SCHEMA: Final = "# yaml-language-server: $schema={path}\n"

_CONFIG: Final = """\
# Every key, its default and its variable: docs/configuration.md of reconciler.
# Credentials come from the environment only: RECONCILER_CLIENT_ID and RECONCILER_CLIENT_SECRET.
{settings}
"""

_EXAMPLE: Final = """\
# What should be open. Take away the leading "# " below, put in your own values, then: reconciler plan
#
# provider: CrmIntegration
# interactions:
#   - externalid: ObjectId_001
#     route: CrmCallRouting
#     linkeddata:
#       - {type: clid, value: "+447700900123"}
#       - {type: url, label: Open the case, value: https://crm.example.com/cases/001}
#     routingdata:
#       interactiontype: nonlive
"""


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Make the state, and what else a new folder or environment needs; of what exists, nothing is replaced."""
    folder = Path(options.directory or ".")
    folder.mkdir(parents=True, exist_ok=True)
    made = [_config(folder, options)]
    workspace = open_workspace(options, console)
    schemas = workspace.settings.folder / FOLDER / "schemas"
    made += [_state(workspace), _example(workspace, schemas), _schemas(schemas)]
    made += _for_git(folder, workspace.state_path)
    for line in filter(None, made):
        console.out(f"Made {visible(line)}\n")
    if not any(made):
        console.out("All of it is there already; nothing was changed.\n")
    console.out("".join(_next(workspace, console)))
    return ExitCode.DONE


def _next(workspace: Workspace, console: Console) -> Iterator[str]:
    """Yield what comes next, as steps."""
    settings = workspace.settings
    steps = [f"Declare in {visible(workspace.shown(settings.interactions))} what should be open."]
    if not workspace.sandbox:
        within = f"environments.{settings.environment} of " if settings.environment else ""
        region = "" if settings.base_url else f", and set region in {within}{FILE_NAME}."
        steps.append(f"export RECONCILER_CLIENT_ID=… RECONCILER_CLIENT_SECRET=…{region}")
    without = "" if workspace.sandbox else " Without an account, add --sandbox to both."
    steps.append(f"{console.command('plan')}, then {console.command('apply')}.{without}")
    yield "\nNext:\n"
    yield from (f"  {number}. {step}\n" for number, step in enumerate(steps, start=1))
    yield _EDITOR


def _config(folder: Path, options: argparse.Namespace) -> str:
    """Write the configuration, or add the environment to the one that is there."""
    name = options.env or os.environ.get(f"{PREFIX}ENV")
    path = folder / (options.config or FILE_NAME)
    first, *others = REGIONS
    region = f"region: {options.region}" if options.region else f"# region: {first}        # or {', '.join(others)}"
    own = [region, *([f"state: {options.state}"] if options.state and is_shared(options.state) else [])]
    if name and not is_environment(name):
        return ""  # which is told where the settings are read
    if path.exists():
        return _environment(path, name, own) if name else ""
    if options.config:
        return ""  # as above
    settings = "\n".join(["environments:", *block(name, own)] if name else own)
    return _new(path, _SCHEMA.format(path=f"{FOLDER}/schemas/config.json") + _CONFIG.format(settings=settings))


def _environment(path: Path, name: str, own: Sequence[str]) -> str:
    before = path.read_bytes()
    after = with_environment(before, name, own)
    if after is None:
        wrong = f"{path}: the environment {name} can't be added to it"
        raise ConfigError(wrong, hint=f"Add it by hand, below environments: {name}: {{}}")
    if after == before:
        return ""
    rewrite_file(path, before, after)
    return f"{path}: environments.{name}"


def _new(path: Path, text: str) -> str:
    """Write a file that isn't there yet; return its path, or nothing if it is."""
    if path.exists():
        return ""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return f"{path}"


def _state(workspace: Workspace) -> str:
    """Write an empty state where there is none; one that can't be read is told of."""
    path, store = workspace.state_path, workspace.store
    with suppress(StateMissing):
        store.read()
        return ""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
    store.try_out()
    with store.hold("init") as writer:
        writer.create(new_state())
    kept = "keep it from now on, in git or where your pipeline keeps it" if path else "all who run this share it"
    kept = "the sandbox's alone" if workspace.sandbox else kept
    return f"{workspace.place}: an empty state; {kept}"


def _for_git(folder: Path, state_path: Path | None) -> list[str]:
    """Tell git what is not its, and what it is not to change."""
    ignored, unchanged = [f"{FOLDER}/*", f"!{FOLDER}/schemas/"], []
    if state_path:
        state = _pattern(state_path.name)
        ignored += [f"{state}.{end}" for end in ("lock", "backup", "new")]
        unchanged += [f"{state} -text", f"{state}.journal -text"]
    return [
        _lines(folder / ".gitignore", ignored, "what is not to be committed"),
        _lines(folder / ".gitattributes", unchanged, "what git is to keep byte for byte"),
    ]


def _example(workspace: Workspace, schemas: Path) -> str:
    folder = workspace.settings.interactions
    if folder.exists():
        return ""
    schema = Path(os.path.relpath(schemas / "declarations.json", folder)).as_posix()
    return _new(folder / "example.yaml", _SCHEMA.format(path=schema) + _EXAMPLE)


def _schemas(folder: Path) -> str:
    """Write the schemas that the files name: an installed package's own are elsewhere on each machine."""
    made = [name for name in ("declarations", "config") if _new(folder / f"{name}.json", schema_text(name))]
    return f"{folder}: what editors complete and check these files by; commit it, too" if made else ""


def _pattern(name: str) -> str:
    """Return what git is to take for a state, that of each environment included, without what git reads otherwise."""
    return "*.state.json" if name.endswith(".state.json") else re.sub(r"[^\w.-]", "?", name)


def _lines(path: Path, wanted: Sequence[str], purpose: str) -> str:
    """Add the lines that are not there yet."""
    known = path.read_bytes() if path.exists() else b""
    missing = [line for line in wanted if line.encode() not in known.splitlines()]
    if not missing:
        return ""
    gap = b"\n" if known and not known.endswith(b"\n") else b""
    path.write_bytes(known + gap + "".join(f"{line}\n" for line in missing).encode())
    return f"{path}: {count(len(missing), 'line')} for {purpose}"


_EDITOR: Final = """\
An editor with the YAML language server (VS Code: the extension redhat.vscode-yaml) completes and checks both files.
"""
