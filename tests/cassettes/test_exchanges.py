"""The main job over recorded exchanges; those marked `live` run against a real account too, where one is given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.command import Workplace
from tests.conftest import ROOT

pytestmark = pytest.mark.vcr

# On a real account these must exist, so they come from its environment.
ROUTE = os.environ.get("RECONCILER_LIVE_ROUTE", "CrmCallRouting")
PROVIDER = os.environ.get("RECONCILER_LIVE_PROVIDER", "CrmIntegration")
ONE = f"""\
provider: {PROVIDER}
interactions:
  - externalid: reconciler-cassette-1
    route: {ROUTE}
    linkeddata:
      - {{type: clid, value: "+447700900123"}}
"""
TWO = ONE + f"  - {{externalid: reconciler-cassette-2, route: {ROUTE}}}\n"


@pytest.mark.live
def test_dispatch_replace_release(api: Workplace) -> None:
    """What is declared is dispatched, what changed is replaced, what is gone is released; then nothing is left."""
    path = api.declare(ONE)
    assert api.run("apply", "--auto-approve").code == 0
    assert api.run("plan", "--detailed-exitcode").code == 0
    path.write_text(ONE.replace("900123", "900124"), encoding="utf-8")
    replaced = api.run("apply", "--auto-approve")
    assert "(sensitive, changed)" in replaced.out
    assert replaced.code == 0, replaced.out
    path.unlink()
    assert api.run("apply", "--auto-approve", "--allow-empty").code == 0
    assert api.state["interactions"] == {}


@pytest.mark.faults("fail externalid=reconciler-cassette-2")
def test_a_failed_requestid_is_recorded_and_tried_again(api: Workplace) -> None:
    """A 200 that names a requestid means that it failed; the next run sends another requestid."""
    api.declare(TWO)
    assert api.run("apply", "--auto-approve").code == 4
    ((first, failure),) = api.state["failed"].items()
    assert failure["address"] == "reconciler-cassette-2"
    assert api.run("apply", "--auto-approve").code == 0
    assert api.state["failed"] == {}
    assert api.state["interactions"]["reconciler-cassette-2"]["requestid"] != first


@pytest.mark.faults("expire-token nth=2")
def test_an_expired_token_is_renewed(api: Workplace) -> None:
    """A 401 fetches a new token once and sends the same body again."""
    api.declare(ONE)
    assert api.run("apply", "--auto-approve").code == 0
    api.declare(TWO)
    assert api.run("apply", "--auto-approve").code == 0


@pytest.mark.faults("status=400 message=Unknown_route externalid=reconciler-cassette-2 times=always")
def test_a_refused_body_is_halved(api: Workplace) -> None:
    """A 400 is narrowed down to the request that is refused, whose reason is the API's message."""
    api.declare(TWO)
    assert api.run("apply", "--auto-approve").code == 4
    (failure,) = api.state["failed"].values()
    assert (failure["address"], failure["reason"]) == ("reconciler-cassette-2", "the API answered 400: Unknown_route")
    assert list(api.state["interactions"]) == ["reconciler-cassette-1"]


def test_cassettes_hold_no_secret_and_nobodys_host() -> None:
    """No cassette holds a credential, and the only host in them is sandbox.invalid."""
    cassettes = sorted(Path(ROOT / "cassettes").glob("*.yaml"))
    assert len(cassettes) == 4
    for cassette in cassettes:
        text = cassette.read_text(encoding="utf-8")
        assert "never-recorded" not in text
        assert "Bearer " not in text.replace("token_type", "")
        uris = [line.split()[1] for line in text.splitlines() if line.strip().startswith("uri:")]
        assert uris
        assert all(uri.startswith("https://sandbox.invalid/") for uri in uris)
