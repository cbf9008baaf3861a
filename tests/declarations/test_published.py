"""What goes out over HTTP is what the API's documentation publishes (published/ holds its bodies)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.api import SandboxServer
from tests.command import Workplace

PUBLISHED = Path(__file__).parent / "published"
DISPATCHES = sorted(path.stem for path in PUBLISHED.glob("*.json") if path.stem != "release")


def published(name: str) -> dict[str, Any]:
    """Return a published body."""
    return dict(json.loads((PUBLISHED / f"{name}.json").read_text(encoding="utf-8")))


def without_requestids(body: dict[str, Any]) -> dict[str, Any]:
    """Return a body without requestids, with an absent action as what it means [S]."""
    requests = [{"action": "dispatch", **request} for request in body["requests"]]
    for request in requests:
        request.pop("requestid", None)
    return {**body, "requests": requests}


def declaration(body: dict[str, Any]) -> str:
    """Return the declaration of a published body; JSON is YAML."""
    (request,) = body["requests"]
    declared = {name: part for name, part in request.items() if name not in {"action", "requestid"}}
    identity = {} if "externalid" in declared else {"once": "published"}
    provider = {"provider": body["provider"]} if "provider" in body else {}
    return json.dumps({**provider, "interactions": [{**identity, **declared}]})


def bodies_sent(server: SandboxServer) -> list[dict[str, Any]]:
    """Return the bodies that reached the server's invoke call."""
    return [json.loads(call.body) for call in server.calls if call.path.endswith("/invoke")]


@pytest.mark.parametrize("name", DISPATCHES)
def test_a_declared_body_goes_out_as_published(name: str, place: Workplace, server: SandboxServer) -> None:
    """Declaring a published dispatch sends exactly that body."""
    place.declare(declaration(published(name)), "published.json")
    ran = place.run("apply", "--auto-approve")
    assert ran.code == 0, ran.err
    (sent,) = bodies_sent(server)
    assert without_requestids(sent) == without_requestids(published(name))


@pytest.mark.parametrize("name", [name for name in DISPATCHES if "externalid" in str(published(name))])
def test_removing_it_releases_it_with_its_provider(name: str, place: Workplace, server: SandboxServer) -> None:
    """Removing the declaration sends the published release, with the provider of the dispatch."""
    path = place.declare(declaration(published(name)), "published.json")
    assert place.run("apply", "--auto-approve").code == 0
    path.unlink()
    assert place.run("apply", "--auto-approve", "--allow-empty").code == 0
    expected = published("release")
    expected["requests"][0]["externalid"] = published(name)["requests"][0]["externalid"]
    assert without_requestids(bodies_sent(server)[1]) == {
        **without_requestids(expected),
        "provider": published(name)["provider"],
    }
    assert not server.emulator.open
    assert place.state["interactions"] == {}
