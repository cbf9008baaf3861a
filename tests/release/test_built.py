"""The wheel and the sdist: what they hold, and that the same commit makes the same bytes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from email import message_from_bytes
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import pytest

from hatch_build import PLACES
from reconciler import DISTRIBUTION, __version__
from tests.command import Workplace
from tests.conftest import ROOT

MACROS = {".TH", ".SH", ".B", ".TP", ".nf", ".fi", ".SS"}
NAME = f"{DISTRIBUTION.replace('-', '_')}-{__version__}"


@dataclass(frozen=True)
class Built:
    """What two builds of the same files made."""

    first: Path
    second: Path

    def wheel(self) -> ZipFile:
        """Open the wheel."""
        return ZipFile(self.first / f"{NAME}-py3-none-any.whl")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build twice: in another folder, at another time, from newer files, by somebody who lets nobody read."""
    files = ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "CHANGELOG.md", ".gitignore", "reconciler")
    made = []
    for number, umask in enumerate((0o022, 0o077)):
        folder = tmp_path_factory.mktemp("built")
        for name in files:
            (shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile)(ROOT / name, folder / name)
        os.utime(folder / "README.md", (number, number))
        environ = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "COLUMNS": str(80 + number)}
        command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel"]
        subprocess.run(command, cwd=folder, env=environ, umask=umask, check=True, capture_output=True)
        made.append(folder / "dist")
    return Built(*made)


def test_the_same_files_make_the_same_bytes(built: Built) -> None:
    """Neither the folder, the time, the terminal nor the umask is in what is released."""
    names = sorted(file.name for file in built.first.iterdir())
    assert names == [f"{NAME}-py3-none-any.whl", f"{NAME}.tar.gz"]
    assert [name for name in names if (built.first / name).read_bytes() != (built.second / name).read_bytes()] == []


def test_the_sdist_is_enough_to_build_from(built: Built) -> None:
    """It holds the package, how to build it, and nothing of tests and docs."""
    with tarfile.open(built.first / f"{NAME}.tar.gz") as archive:
        names = {name.partition("/")[2].partition("/")[0] for name in archive.getnames()}
    around = {"CHANGELOG.md", "LICENSE", "README.md", "PKG-INFO", ".gitignore"}
    assert names == {"reconciler", "pyproject.toml", "hatch_build.py", *around}


def test_the_wheel_says_what_it_is(built: Built) -> None:
    """The distribution has a name of its own; the command and the package are reconciler."""
    with built.wheel() as wheel:
        about = message_from_bytes(wheel.read(f"{NAME}.dist-info/METADATA"))
        entries = wheel.read(f"{NAME}.dist-info/entry_points.txt").decode()
        packages = {name.partition("/")[0] for name in wheel.namelist() if name.endswith(".py")}
    assert (about["Name"], about["Version"]) == (DISTRIBUTION, __version__)
    assert "[console_scripts]\nreconciler = reconciler.__main__:main\n" in entries
    assert packages == {"reconciler"}


@pytest.mark.parametrize("shell", PLACES)
def test_the_wheel_completes_in_shells(built: Built, place: Workplace, shell: str) -> None:
    """Where a shell looks lies the script that `completion` prints."""
    with built.wheel() as wheel:
        script = wheel.read(f"{NAME}.data/data/{PLACES[shell]}").decode()
    assert script == place.run("completion", shell).out


def test_the_wheel_has_a_man_page(built: Built, place: Workplace) -> None:
    """It is made of the parser: every command with its options; no line of text is taken for a macro."""
    with built.wheel() as wheel:
        page = wheel.read(f"{NAME}.data/data/share/man/man1/reconciler.1").decode()
    assert {line.split()[0] for line in page.splitlines() if line.startswith((".", "'"))} <= MACROS
    text = re.sub(r"\\f.|\\&|\\,|\\/|\\(?=-)", "", page)
    for command in ("plan", "apply", "state adopt"):
        shown = place.run(*command.split(), "--help").out
        assert f"reconciler {command}" in text
        assert [option for option in re.findall(r"--[a-z-]+", shown) if option not in text + "--help"] == []
    assert text.startswith(f'.TH RECONCILER "1" " " "{DISTRIBUTION} {__version__}"')


def test_what_is_installed_has_that_name() -> None:
    """The program finds itself among what is installed, to tell where it came from."""
    assert distribution(DISTRIBUTION).version == __version__
