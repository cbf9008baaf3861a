"""Fixtures that more than one test module uses."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from unittest import mock

import hypothesis
import pytest

from tests.api import SandboxServer
from tests.clock import QuickClock
from tests.command import Workplace, clean_environment
from tests.crash.summary import pytest_terminal_summary
from tests.soak.budget import budget, in_time, pytest_collection_modifyitems

__all__ = ["budget", "in_time", "pytest_collection_modifyitems", "pytest_terminal_summary"]

ROOT = Path(__file__).parent.parent
MEMORY: Final = Path("/dev/shm")  # noqa: S108  # each test has a folder of its own in it

# No test waits for a disk, where there is room in memory from which programs may run.
if MEMORY.is_dir() and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
    tempfile.tempdir = os.environ.setdefault("TMPDIR", str(MEMORY))

# Else each command that a test starts would compile the whole package, and pytest all tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")

# A shell ignores Ctrl-C for what it starts in the background, and children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_configuration_from_outside() -> Iterator[None]:
    """Whatever the machine's environment says of reconciler or of CI, tests don't see it."""
    with mock.patch.dict(os.environ, clean_environment(), clear=True):
        yield


@contextmanager
def quick() -> Iterator[QuickClock]:
    """Let every wait of an apply pass at once."""
    clock = QuickClock()
    with mock.patch("reconciler.cli.apply.SystemClock", return_value=clock):
        yield clock


@pytest.fixture
def clock() -> Iterator[QuickClock]:
    """Let waits pass at once, and tell what was asked for."""
    with quick() as clock:
        yield clock


@pytest.fixture
def server() -> Iterator[SandboxServer]:
    """Give a sandbox over real HTTP, in a thread of this process."""
    with SandboxServer() as running:
        yield running


@pytest.fixture
def place(tmp_path: Path, server: SandboxServer) -> Workplace:
    """Give an initialised folder whose configuration points to the server."""
    place = Workplace(tmp_path, connection(server))
    assert place.run("init").code == 0
    (tmp_path / "interactions" / "example.yaml").unlink()
    return place


def connection(server: SandboxServer) -> dict[str, str]:
    """Return the environment that points to a server."""
    return {
        "RECONCILER_BASE_URL": server.base_url,
        "RECONCILER_CLIENT_ID": "tester",
        "RECONCILER_CLIENT_SECRET": "planted-secret",
    }
