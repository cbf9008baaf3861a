"""Imports point one way, and each command loads what it uses."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import ROOT

PACKAGE = ROOT / "reconciler"
ORDER = (
    {"errors", "escape", "times", "commandline", "endless", "loopback", "interaction", "schemas"},
    {"yamlfile", "state"},
    {"declarations", "planning"},
    {"importing"},
    {"config"},
    {"delivery"},
    {"render"},
    {"sandbox", "ci"},
    {"cli"},
    {"__main__"},
)
"""The packages from the innermost to the outermost; those of one set import nothing of each other."""
SHELL = {
    "declarations.loader",
    "declarations.discovery",
    "declarations.parallel",
    "config.credentials",
    "config.layers",
    "state.stores",
    "delivery.client",
    "delivery.connection",
    "delivery.tokens",
    "delivery.workers",
    "endless",
    "ci.files",
    "ci.github",
    "ci.gitlab",
    "ci.origin",
    "ci.repository",
    "ci.rest",
    "cli",
    "sandbox",
    "__main__",
}
"""What may touch files, clocks, networks, threads or terminals."""
ONLY_USER = {
    "httpx": {"delivery.connection", "ci.rest"},
    "ruamel": {"yamlfile.reader", "yamlfile.roundtrip"},
    "yaml": {"yamlfile.reader", "yamlfile.formatting"},
    "pydantic": {
        "declarations.schema",
        "declarations.json_schema",
        "config",
        "planning.saved_plan",
        "planning.policy",
        "importing.mapping",
    },
    "pydantic_core": {"config", "declarations.schema", "planning.policy"},
    "fcntl": {"state.stores.lock", "state.stores.folder", "sandbox"},
    "obstore": {"state.stores.objects", "state.stores.bucketerrors"},
    "argparse": {"cli"},
    "opentelemetry": {"cli.otel"},
    "print": {"cli"},
}
EFFECTS = {"os", "socket", "subprocess", "time", "shutil", "tempfile", "glob"}


def modules() -> dict[str, Path]:
    """Return our modules by dotted name below the package."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in PACKAGE.rglob("*.py")
    }


@cache
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
    """Return how far out a module's package is."""
    top = name.partition(".")[0]
    return next(number for number, packages in enumerate(ORDER) if top in packages)


def within(name: str, packages: set[str]) -> bool:
    """Whether a module is one of these, or lies in one of them."""
    return any(name == each or name.startswith(each + ".") for each in packages)


OURS = {name: path for name, path in modules().items() if name != "__init__"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_imports_point_inwards(name: str) -> None:
    """A package imports itself and what is further in, and nothing beside it or further out."""
    own = {
        imported.removeprefix("reconciler.") for imported in imports(OURS[name]) if imported.startswith("reconciler.")
    } & OURS.keys()
    top = name.partition(".")[0]
    wrong = {each for each in own if each.partition(".")[0] != top and layer(each) >= layer(name)}
    assert {each for each in wrong if layer(each) > 0 or layer(name) > 0} == set()


@pytest.mark.parametrize("name", sorted(name for name in OURS if not within(name, SHELL)))
def test_the_core_has_no_effects(name: str) -> None:
    """A pure module imports nothing that touches files, clocks, networks, threads or terminals."""
    used = {imported.partition(".")[0] for imported in imports(OURS[name])}
    allowed = {"threading"} if name in {"delivery.throttle", "delivery.width"} else set()
    assert used & (EFFECTS | {"threading", "random"}) - allowed == set()
    assert "print(" not in OURS[name].read_text(encoding="utf-8").replace("fingerprint(", "")


@pytest.mark.parametrize("library", sorted(ONLY_USER))
def test_each_library_has_one_user(library: str) -> None:
    """A foreign library is imported where its exceptions are mapped, and nowhere else."""
    users = {name for name, path in OURS.items() if library in {i.partition(".")[0] for i in imports(path)}}
    assert {name for name in users if not within(name, ONLY_USER[library])} == set()


def loaded(*arguments: str, folder: Path) -> set[str]:
    """Return the modules that a run of the command loads."""
    code = (
        f"import sys\nfrom reconciler.cli import main\nmain({list(arguments)!r})\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    return set(ran.stderr.split())


def test_a_plan_loads_no_http(tmp_path: Path) -> None:
    """`plan` loads neither httpx nor asyncio, nor anything else that only an apply needs."""
    (tmp_path / "interactions").mkdir()
    (tmp_path / "interactions" / "a.yaml").write_text("interactions: [{externalid: a, route: R}]\n", encoding="utf-8")
    used = loaded("plan", "--sandbox", folder=tmp_path)
    assert {
        "httpx",
        "asyncio",
        "ssl",
        "http.server",
        "reconciler.delivery.client",
        "ruamel.yaml",
        "rich",
    } & used == set()
    assert {"reconciler.planning.planner", "pydantic"} <= used


def test_the_version_loads_next_to_nothing(tmp_path: Path) -> None:
    """`--version` loads no library of others at all."""
    used = loaded("--version", folder=tmp_path)
    assert {"httpx", "pydantic", "yaml", "orjson", "reconciler.planning.planner"} & used == set()
