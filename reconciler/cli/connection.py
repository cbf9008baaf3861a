"""From settings and environment to a client of the API, or of a sandbox started for this run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from reconciler.cli.workspace import Workspace
from reconciler.config.credentials import secret
from reconciler.delivery.client import Client
from reconciler.delivery.tokens import AccessToken, ClientCredentials, Credentials
from reconciler.errors import ConfigError


@contextmanager
def connect(workspace: Workspace, login: Credentials) -> Iterator[Client]:
    """Give a client for this run."""
    settings = workspace.settings
    if workspace.sandbox:
        with _sandbox(workspace, login) as client:
            yield client
        return
    with Client(
        str(settings.base_url),
        settings.token_url,
        login,
        timeout=settings.keys.timeout,
    ) as client:
        yield client


def credentials(workspace: Workspace) -> Credentials:
    """Return what this run signs in with; raises ConfigError where that, or where to sign in, is missing."""
    if workspace.sandbox:
        return ClientCredentials("sandbox", "sandbox")
    found = _credentials(workspace)
    if isinstance(found, ClientCredentials) and workspace.settings.token_url is None:
        raise ConfigError("base_url is set, but not token_url", hint="Set both, or region, which sets both.")
    return found


def _credentials(workspace: Workspace) -> Credentials:
    token = secret(workspace.environ, "ACCESS_TOKEN")
    client_id, client_secret = (secret(workspace.environ, name) for name in ("CLIENT_ID", "CLIENT_SECRET"))
    if token and (client_id or client_secret):
        raise ConfigError(
            "RECONCILER_ACCESS_TOKEN and RECONCILER_CLIENT_ID or _SECRET are set", hint="Set one kind of credentials."
        )
    if token:
        return AccessToken(token)
    if client_id and client_secret:
        return ClientCredentials(client_id, client_secret)
    raise ConfigError(
        "there are no credentials",
        hint="Set RECONCILER_CLIENT_ID and RECONCILER_CLIENT_SECRET, or RECONCILER_ACCESS_TOKEN, or their _FILE forms.",
    )


@contextmanager
def _sandbox(workspace: Workspace, login: Credentials) -> Iterator[Client]:
    from reconciler.sandbox.faults import Faults  # noqa: PLC0415  # only where it is asked for
    from reconciler.sandbox.server import SandboxServer  # noqa: PLC0415
    from reconciler.sandbox.service import Service  # noqa: PLC0415

    settings = workspace.settings
    faults = Faults(workspace.environ.get("RECONCILER_SANDBOX_FAULTS", ""))
    service = Service(faults, memory=workspace.sandbox_file("memory"))
    with (
        SandboxServer(service) as server,
        Client(
            server.base_url,
            server.token_url,
            login,
            timeout=settings.keys.timeout,
        ) as client,
    ):
        yield client
