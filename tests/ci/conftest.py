"""The API that all pipelines here point to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api import SandboxServer


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
