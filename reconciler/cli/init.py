"""`reconciler init`: an empty state to be kept from now on, and a folder to start in."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from reconciler.cli.console import Console
from reconciler.cli.current_state import new_state
from reconciler.cli.workspace import FOLDER, Workspace, open_workspace
from reconciler.config.layers import FILE_NAME
from reconciler.config.urls import REGIONS
from reconciler.errors import ExitCode
from reconciler.escape import visible
from reconciler.render.words import count
from reconciler.schemas import schema_text

_SCHEMA: Final = "# yaml-language-server: $schema={path}\n"

_CONFIG: Final = """\
# Every key, its default and its variable: docs/configuration.md of reconciler.
# Credentials come from the environment only: RECONCILER_CLIENT_ID and RECONCILER_CLIENT_SECRET.
{region}
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
    """Make the state, and what else a new folder needs; of what exists, only git's files are added to."""
    folder = Path(options.directory or ".")
    folder.mkdir(parents=True, exist_ok=True)
    made = [_config(folder, options)] if not options.config else []
    workspace = open_workspace(options, console)
    schemas = workspace.settings.folder / FOLDER / "schemas"
    made += [_state(workspace), _example(workspace, schemas), _schemas(schemas)]
    state = _pattern(workspace.state_path.name)
    ignored = [f"{FOLDER}/*", f"!{FOLDER}/schemas/", *(f"{state}.{end}" for end in ("lock", "backup", "new"))]
    made += [_lines(folder / ".gitignore", ignored, "what is not to be committed")]
    unchanged = [f"{state} -text", f"{state}.journal -text"]
    made += [_lines(folder / ".gitattributes", unchanged, "what git is to keep byte for byte")]
    for line in filter(None, made):
        console.out(f"Made {visible(line)}\n")
    plan, apply = console.command("plan"), console.command("apply")
    region = "" if workspace.settings.base_url else ", and set region in reconciler.yaml."
    interactions = visible(workspace.shown(workspace.settings.interactions))
    console.out(_NEXT.format(interactions=interactions, region=region, plan=plan, apply=apply))
    return ExitCode.DONE


def _config(folder: Path, options: argparse.Namespace) -> str:
    first, *others = REGIONS
    region = f"region: {options.region}" if options.region else f"# region: {first}        # or {', '.join(others)}"
    schema = _SCHEMA.format(path=f"{FOLDER}/schemas/config.json")
    return _new(folder / FILE_NAME, schema + _CONFIG.format(region=region))


def _new(path: Path, text: str) -> str:
    """Write a file that isn't there yet; return its path, or nothing if it is."""
    if path.exists():
        return ""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return f"{path}"


def _state(workspace: Workspace) -> str:
    path = workspace.state_path
    path.parent.mkdir(parents=True, exist_ok=True)
    with workspace.store.hold("init") as store:
        store.create(new_state())
    return f"{workspace.shown(path)}: an empty state; keep it from now on, in git or wherever your pipeline keeps it"


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


_NEXT: Final = """
Next:
  1. Declare in {interactions} what should be open.
  2. export RECONCILER_CLIENT_ID=… RECONCILER_CLIENT_SECRET=…{region}
  3. {plan}, then {apply}. Without an account, add --sandbox to both.
An editor with the YAML language server (VS Code: the extension redhat.vscode-yaml) completes and checks both files.
"""
