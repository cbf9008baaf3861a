"""A repository with the pipelines set up, and the sandbox that it points to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api import SandboxServer
from tests.ci.hosting import Hosting, served


@pytest.fixture(scope="session")
def shared_server() -> Iterator[SandboxServer]:
    """Give one sandbox for all tests here, so that its address can stand in the repository."""
    with SandboxServer() as running:
        yield running


@pytest.fixture
def server(shared_server: SandboxServer) -> Iterator[SandboxServer]:
    """Give the sandbox with nothing in its memory."""
    shared_server.reset()
    yield shared_server
    shared_server.release()
    shared_server.wait_idle(timeout=60)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, shared_server: SandboxServer) -> Hosting:
    """Give a repository set up as docs/ci/README.md says; tests work on copies of it."""
    hosting = Hosting(tmp_path_factory.mktemp("template"))
    hosting.set_up(shared_server.base_url)
    return hosting


@pytest.fixture
def hosting(tmp_path: Path, template: Hosting, server: SandboxServer) -> Iterator[Hosting]:
    """Give a repository that is set up, on a hosting platform that answers."""
    assert server.calls == []
    hosting = template.copy(tmp_path)
    with served(hosting):
        yield hosting
