"""Imports point one way, and each command loads what it uses."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "reconciler"
SHELL = {"load", "files", "processes", "statefile", "lock", "client", "config"}
ONLY_USER = {
    "httpx": {"client"},
    "ruamel": {"load"},
    "yaml": {"load"},
    "pydantic": {"shape"},
    "pydantic_core": {"shape", "complaints"},
    "fcntl": {"lock", "statefile", "sandbox"},
    "argparse": {"cli"},
    "print": {"cli"},
}
EFFECTS = {"os", "socket", "subprocess", "time", "shutil", "tempfile", "glob"}


def modules() -> dict[str, Path]:
    """Return our modules by dotted name below the package."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
    }


def imports(path: Path) -> set[str]:
    """Return the dotted names that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{name.name}" for name in node.names}
    return found


def layer(name: str) -> int:
    """Return 0 for the pure core, 1 for the shell, 2 for apply's protocols, 3 for the command line."""
    top = name.partition(".")[0]
    if top in {"cli", "__main__"}:
        return 3
    return 1 if top in SHELL | {"sandbox"} else 0


OURS = modules()


@pytest.mark.parametrize("name", sorted(OURS))
def test_imports_point_inwards(name: str) -> None:
    """The core imports nothing of the shell, the shell nothing of the command line."""
    own = {
        imported.removeprefix("reconciler.") for imported in imports(OURS[name]) if imported.startswith("reconciler.")
    }
    above = {imported for imported in own if imported in OURS and layer(imported) > layer(name)}
    assert above == set()


@pytest.mark.parametrize("name", sorted(name for name in OURS if layer(name) == 0 and name != "apply"))
def test_the_core_has_no_effects(name: str) -> None:
    """A pure module imports nothing that touches files, clocks, networks, threads or terminals."""
    used = {imported.partition(".")[0] for imported in imports(OURS[name])}
    allowed = {"threading"} if name == "pace" else set()
    assert used & (EFFECTS | {"threading", "random"}) - allowed == set()
    assert "print(" not in OURS[name].read_text(encoding="utf-8").replace("fingerprint(", "")


@pytest.mark.parametrize("library", sorted(ONLY_USER))
def test_each_library_has_one_user(library: str) -> None:
    """A foreign library is imported where its exceptions are mapped, and nowhere else."""
    users = {
        name.partition(".")[0] for name, path in OURS.items() if library in {i.partition(".")[0] for i in imports(path)}
    }
    assert users <= ONLY_USER[library]


def loaded(*arguments: str, folder: Path) -> set[str]:
    """Return the modules that a run of the command loads."""
    code = (
        "import sys\nfrom reconciler.cli import main\n"
        f"try:\n    main({list(arguments)!r})\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return set(ran.stderr.split())


def test_a_plan_loads_no_http(tmp_path: Path) -> None:
    """`plan` loads neither httpx nor asyncio, nor anything else that only an apply needs."""
    (tmp_path / "interactions").mkdir()
    (tmp_path / "interactions" / "a.yaml").write_text("interactions: [{externalid: a, route: R}]\n", encoding="utf-8")
    used = loaded("plan", "--sandbox", folder=tmp_path)
    assert {"httpx", "asyncio", "ssl", "http.server", "reconciler.client", "ruamel.yaml", "rich"} & used == set()
    assert {"reconciler.planner", "pydantic_core"} <= used


def test_the_version_loads_next_to_nothing(tmp_path: Path) -> None:
    """`--version` loads no library of others at all."""
    used = loaded("--version", folder=tmp_path)
    assert {"httpx", "pydantic", "yaml", "orjson", "reconciler.planner"} & used == set()
