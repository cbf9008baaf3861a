"""Recording and replaying: what is matched, what is scrubbed, and where the API is.

Recorded from the sandbox; with RECONCILER_LIVE=1, a region and credentials, the tests marked `live` run against a
real account instead, and nothing is recorded.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.api import SandboxServer
from tests.command import Workplace
from tests.conftest import ROOT

LIVE: Final = dict(os.environ) if os.environ.get("RECONCILER_LIVE") == "1" else {}
LINEAGE: Final = "00000000-0000-4000-8000-000000000001"
TOKEN_FORM: Final = b"grant_type=client_credentials&scope=interactions%3Awrite"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Replay with the network blocked; against an account run only what is marked `live`."""
    for item in (item for item in items if Path(__file__).parent in item.path.parents):
        if LIVE:
            if not item.get_closest_marker("live"):
                item.add_marker(pytest.mark.skip(reason="not for a real account"))
        elif not _recording(config):
            item.add_marker(pytest.mark.block_network)


def _recording(config: pytest.Config) -> bool:
    return config.getoption("--record-mode", default="none") not in {None, "none"}


@pytest.fixture(scope="module")
def vcr_config() -> dict[str, Any]:
    """Match on what is sent, not on where to; keep out what must not be kept."""
    return {
        "match_on": ["method", "path", "body"],
        "filter_headers": ["authorization", "user-agent", "host", "accept-encoding", "connection", "content-length"],
        "before_record_request": scrub_request,
        "before_record_response": scrub_response,
        "decode_compressed_response": True,
        "allow_playback_repeats": False,
    }


@pytest.fixture
def vcr_cassette_dir() -> str:
    """Cassettes are at the top level."""
    return str(ROOT / "cassettes")


def scrub_request(request: Any) -> Any:
    """Return the request as recorded: no credentials, and a host that is nobody's."""
    request.uri = "https://sandbox.invalid" + request.path
    if request.path.endswith("/connect/token"):
        request.body = TOKEN_FORM
    return request


def scrub_response(response: dict[str, Any]) -> dict[str, Any]:
    """Return the response as recorded: no token, nothing that differs from one recording to the next."""
    kept = {"content-type", "retry-after"}
    response["headers"] = {name: value for name, value in response["headers"].items() if name.lower() in kept}
    if b"access_token" in response["body"]["string"]:
        response["body"]["string"] = b'{"access_token":"scrubbed","expires_in":7200,"token_type":"Bearer"}'
    return response


@pytest.fixture
def api(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workplace]:
    """Give a folder with a state of a known lineage, so that every recording has the same requestids."""
    if LIVE:
        yield _workplace(tmp_path, {**LIVE}, lineage=str(uuid.uuid4()))
    elif _recording(request.config):
        marker = request.node.get_closest_marker("faults")
        with SandboxServer(faults=marker.args if marker else ()) as server:
            yield _workplace(tmp_path, {"RECONCILER_BASE_URL": server.base_url, **_credentials()})
    else:
        urls = {name: f"https://sandbox.invalid{path}" for name, path in _PATHS.items()}
        yield _workplace(tmp_path, {**urls, **_credentials()})


_PATHS: Final = {"RECONCILER_BASE_URL": "", "RECONCILER_TOKEN_URL": "/Auth/connect/token"}


def _credentials() -> dict[str, str]:
    return {"RECONCILER_CLIENT_ID": "cassette", "RECONCILER_CLIENT_SECRET": "never-recorded"}


def _workplace(folder: Path, env: dict[str, str], lineage: str = LINEAGE) -> Workplace:
    place = Workplace(folder, {**env, "RECONCILER_PARALLELISM": "1"})
    assert place.run("init").code == 0
    (folder / "interactions" / "example.yaml").unlink()
    state = place.state_path.read_text(encoding="utf-8")
    place.state_path.write_text(state.replace(place.state["lineage"], lineage), encoding="utf-8")
    return place
