"""A driver for each worker and a bench for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.api import SandboxConfig, SandboxServer
from tests.crash.driver import Driver
from tests.crash.harness import TOKEN, Bench, Tally
from tests.crash.scenarios import Scenario
from tests.crash.summary import pytest_terminal_summary

__all__ = ["MakeBench", "pytest_terminal_summary"]

MakeBench = Callable[..., Bench]


@pytest.fixture(scope="session")
def driver() -> Iterator[Driver]:
    """Start a fork server, one for all tests of a worker."""
    with Driver() as running:
        yield running


@pytest.fixture
def other_driver() -> Iterator[Driver]:
    """Start a second one, for a second run at the same time."""
    with Driver() as running:
        yield running


@pytest.fixture
def make_bench(tmp_path: Path, driver: Driver, record_property: Callable[[str, object], None]) -> Iterator[MakeBench]:
    """Make a bench for a scenario, with a server of its own; its counts go into the report."""
    servers: list[SandboxServer] = []
    tally = Tally()

    def make(scenario: Scenario, *, mutant: str = "", config: SandboxConfig | None = None) -> Bench:
        server = SandboxServer(replace(config or SandboxConfig(), access_token=TOKEN))
        server.start()
        servers.append(server)
        folder = tmp_path.resolve() / str(len(servers))
        folder.mkdir()
        return Bench(folder, server, driver, scenario, mutant, tally)

    yield make
    for server in servers:
        server.stop()
    for name, count in vars(tally).items():
        record_property(f"crash-{name}", count)
