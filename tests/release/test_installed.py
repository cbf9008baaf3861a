"""What `make sbom` built, installed in each way in fresh environments; then it does the whole job."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from hatch_build import PLACES
from reconciler import DISTRIBUTION, __version__
from tests.conftest import ROOT
from tests.render.browser import require

pytestmark = [pytest.mark.release, pytest.mark.timeout(600)]

PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DIST: Final = ROOT / "dist"
HERE: Final = Path(sys.executable).parent
SHARED: Final = ("share/man/man1/reconciler.1", *PLACES.values())


def supported() -> tuple[str, str]:
    """Return the oldest and the newest Python that the classifiers name."""
    versions = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    return versions[0], versions[-1]


OLDEST, NEWEST = supported()


def python(version: str) -> Path:
    """Return a Python of this version: one of pyenv's, or one that uv finds or fetches."""
    if found := sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python")):
        return found[-1]
    ran = subprocess.run([HERE / "uv", "python", "find", version], capture_output=True, text=True, check=False)
    return require(ran.stdout.strip() or None, f"there is no Python {version} here, and uv can't fetch one")


def artifact(kind: str) -> Path:
    """Return the wheel or the sdist."""
    (file,) = DIST.glob({"wheel": "*.whl", "sdist": "*.tar.gz"}[kind])
    return file


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Give an environment in which tools install into this test's folder, and nothing of this checkout is found."""
    bins = {"PIPX_BIN_DIR", "UV_TOOL_BIN_DIR"}
    homes = {"PIPX_HOME", "PIPX_MAN_DIR", "UV_TOOL_DIR"}
    places = {name: str(tmp_path / ("bin" if name in bins else name.lower())) for name in bins | homes}
    known = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    return {**known, **places, "UV_PYTHON_PREFERENCE": "only-system"}


def call(environ: dict[str, str], *command: str | Path, cwd: Path | None = None) -> str:
    """Run a command; return what it prints."""
    ran = subprocess.run(command, env=environ, cwd=cwd, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def does_the_job(environ: dict[str, str], bins: Path) -> None:
    """Run the demo with the command of this folder."""
    path = {"PATH": f"{bins}:{environ['PATH']}"}
    assert call({**environ, **path}, "reconciler", "--version") == f"reconciler {__version__}\n"
    said = call({**environ, **path}, "sh", ROOT / "docs" / "demo.sh")
    assert said.endswith("No changes: 4 interactions open, as declared.\n")


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("resolution", ["lowest-direct", "highest"])
def test_the_lowest_and_the_highest_dependencies_do(
    version: str, resolution: str, tmp_path: Path, environ: dict[str, str]
) -> None:
    """With the oldest and newest Python, each dependency may be the lowest or the highest; the extras likewise."""
    made = tmp_path / "venv"
    call(environ, HERE / "uv", "venv", "--python", python(version), made)
    every = f"{artifact('wheel')}[{','.join(PROJECT['optional-dependencies'])}]"
    call(environ, HERE / "uv", "pip", "install", "--python", made, "--resolution", resolution, every)
    does_the_job(environ, made / "bin")
    call(environ, made / "bin/python", "-c", "import reconciler.state.stores.objects, opentelemetry.sdk.trace")


@pytest.mark.parametrize(("kind", "version"), [("wheel", OLDEST), ("sdist", NEWEST)])
def test_pip_installs_it(kind: str, version: str, tmp_path: Path, environ: dict[str, str]) -> None:
    """`pip install` of the wheel and of the sdist; the man page and the completions lie where they are looked for."""
    made = tmp_path / "venv"
    call(environ, python(version), "-m", "venv", made)
    call(environ, made / "bin/python", "-m", "pip", "install", "--quiet", artifact(kind))
    does_the_job(environ, made / "bin")
    assert [place for place in SHARED if not (made / place).is_file()] == []


@pytest.mark.parametrize(("kind", "version"), [("wheel", NEWEST), ("sdist", OLDEST)])
def test_pipx_runs_and_installs_it(kind: str, version: str, tmp_path: Path, environ: dict[str, str]) -> None:
    """`pipx run` finds the command under the distribution's name; `pipx install` shows its manual, too."""
    with_python = ("--python", python(version))
    told = call(environ, HERE / "pipx", "run", *with_python, "--spec", artifact(kind), DISTRIBUTION, "--version")
    assert told == f"reconciler {__version__}\n"
    call(environ, HERE / "pipx", "install", *with_python, artifact(kind))
    does_the_job(environ, tmp_path / "bin")
    assert (tmp_path / "pipx_man_dir/man1/reconciler.1").exists()


@pytest.mark.parametrize(("kind", "version"), [("wheel", OLDEST), ("sdist", NEWEST)])
def test_uv_installs_it(kind: str, version: str, tmp_path: Path, environ: dict[str, str]) -> None:
    """`uv tool install` of the wheel and of the sdist."""
    call(environ, HERE / "uv", "tool", "install", "--python", python(version), artifact(kind))
    does_the_job(environ, tmp_path / "bin")


def test_the_sbom_names_what_is_installed() -> None:
    """It is CycloneDX, about this version, and has each dependency and extra with its version."""
    sbom = json.loads((DIST / "sbom.cdx.json").read_text(encoding="utf-8"))
    about = sbom["metadata"]["component"]
    assert (sbom["bomFormat"], about["name"], about["version"]) == ("CycloneDX", DISTRIBUTION, __version__)
    parts = {part["name"].lower().replace("_", "-"): part["version"] for part in sbom["components"]}
    wanted = [
        *PROJECT["dependencies"],
        *(need for extra in PROJECT["optional-dependencies"].values() for need in extra),
    ]
    names = {re.split(r"[><=]", need)[0].lower().replace("_", "-") for need in wanted}
    assert names - parts.keys() == set()
    assert all(parts.values())
