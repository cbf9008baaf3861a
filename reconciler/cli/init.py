"""`reconciler init`: an empty state to be kept from now on, and a folder to start in."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from reconciler.cli.console import Console
from reconciler.cli.workspace import Workspace, new_state, open_workspace
from reconciler.config.settings import FILE_NAME
from reconciler.errors import ExitCode
from reconciler.escape import visible
from reconciler.state.stores.local import StateFile
from reconciler.state.stores.lock import locked

_CONFIG: Final = """\
# Every key, its default and its variable: docs/configuration.md of reconciler.
# Credentials come from the environment only: RECONCILER_CLIENT_ID and RECONCILER_CLIENT_SECRET.
{region}
"""

_EXAMPLE: Final = """\
# What should be open. Take away the leading "# ", put in your own values, then: reconciler plan
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

_IGNORED: Final = (".reconciler/", "*.state.json.lock", "*.state.json.backup", "*.state.json.new")


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Make the state, and what else a new folder needs; nothing that exists is changed."""
    folder = Path(options.directory or ".")
    folder.mkdir(parents=True, exist_ok=True)
    made = [_config(folder, options)] if not options.config else []
    workspace = open_workspace(options, console)
    made += [_state(workspace), _example(workspace), _gitignore(folder)]
    for line in filter(None, made):
        console.out(f"Made {visible(line)}\n")
    known = workspace.settings.region or workspace.settings.base_url
    console.out(_NEXT.format(region="" if known else ", and set region in reconciler.yaml."))
    return ExitCode.DONE


def _config(folder: Path, options: argparse.Namespace) -> str:
    path = folder / FILE_NAME
    if path.exists():
        return ""
    region = f"region: {options.region}" if options.region else "# region: emea        # or nam, apac"
    path.write_text(_CONFIG.format(region=region), encoding="utf-8")
    return f"{path}"


def _state(workspace: Workspace) -> str:
    path = workspace.state_path
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path, "init", datetime.now(UTC)):
        StateFile(path).create(new_state())
    return f"{workspace.shown(path)}: an empty state; keep it from now on, in git or wherever your pipeline keeps it"


def _example(workspace: Workspace) -> str:
    folder = workspace.settings.interactions
    if folder.exists():
        return ""
    folder.mkdir(parents=True)
    path = folder / "example.yaml"
    path.write_text(_EXAMPLE, encoding="utf-8")
    return f"{path}"


def _gitignore(folder: Path) -> str:
    path = folder / ".gitignore"
    known = path.read_text(encoding="utf-8") if path.exists() else ""
    missing = [line for line in _IGNORED if line not in known.splitlines()]
    if not missing:
        return ""
    gap = "\n" if known and not known.endswith("\n") else ""
    path.write_text(known + gap + "\n".join(missing) + "\n", encoding="utf-8")
    return f"{path}: {len(missing)} lines for what is not to be committed"


_NEXT: Final = """
Next:
  1. Declare in interactions/ what should be open.
  2. export RECONCILER_CLIENT_ID=… RECONCILER_CLIENT_SECRET=…{region}
  3. reconciler plan, then reconciler apply. Without an account, add --sandbox to both.
"""
