"""The main job through the front door: the real command, real files, real HTTP."""

from __future__ import annotations

import json
from unittest import mock

from reconciler.planning import planner
from tests.api import SandboxServer
from tests.command import Workplace

THREE = """\
provider: CrmIntegration
defaults:
  route: CrmCallRouting
interactions:
  - externalid: ObjectId_001
    linkeddata:
      - {type: clid, value: "+447700900123"}
      - {type: url, label: Click me, value: https://developer.newvoicemedia.com}
  - externalid: ObjectId_002
  - once: welcome-sms
    provider: null
    route: SendSMS
    linkeddata:
      - {type: interactionproperty, key: ToNum, value: "07700900123"}
"""


def opened(server: SandboxServer) -> set[str]:
    """Return the externalids that are open."""
    return set(server.emulator.open)


def test_what_is_declared_gets_open_once(place: Workplace, server: SandboxServer) -> None:
    """An apply dispatches all that is declared; a second one sends nothing."""
    place.declare(THREE)
    assert place.run("apply", "--auto-approve").code == 0
    assert opened(server) == {"ObjectId_001", "ObjectId_002"}
    calls = len(server.calls)
    again = place.run("apply", "--auto-approve")
    assert (again.code, len(server.calls)) == (0, calls)
    assert "No changes" in again.out


def test_a_plan_sends_and_writes_nothing(place: Workplace, server: SandboxServer) -> None:
    """A plan leaves the server without a call and the folder as it was."""
    place.declare(THREE)
    before = {path: path.read_bytes() for path in place.folder.rglob("*") if path.is_file()}
    ran = place.run("plan", "--detailed-exitcode")
    assert (ran.code, server.calls) == (2, [])
    assert {path: path.read_bytes() for path in place.folder.rglob("*") if path.is_file()} == before


def test_a_replace_releases_before_it_dispatches(place: Workplace, server: SandboxServer) -> None:
    """A changed interaction is released with its old provider in a call that ends before its dispatch is sent."""
    place.declare(THREE)
    place.run("apply", "--auto-approve")
    place.declare(THREE.replace("provider: CrmIntegration", "provider: Other"))
    already = len(server.calls)
    assert place.run("apply", "--auto-approve").code == 0
    bodies = [json.loads(call.body) for call in server.calls[already:] if call.path.endswith("/invoke")]
    assert [(body.get("provider"), {r["action"] for r in body["requests"]}) for body in bodies] == [
        ("CrmIntegration", {"release"}),
        ("Other", {"dispatch"}),
    ]


def test_a_failed_request_is_recorded_and_tried_again(place: Workplace, server: SandboxServer) -> None:
    """A requestid that the API names as failed is in the state with its story, and the next run sends a new one."""
    place.declare(THREE)
    server.faults.add("fail externalid=ObjectId_002")
    ran = place.run("apply", "--auto-approve")
    assert ran.code == 4
    assert "ObjectId_002" in ran.out
    ((first, failure),) = place.state["failed"].items()
    assert (failure["address"], failure["action"], failure["attempts"]) == ("ObjectId_002", "dispatch", 1)
    assert first in ran.out
    assert "attempt 2: failed once" in place.run("plan").out

    server.faults.add("fail externalid=ObjectId_002")
    assert place.run("apply", "--auto-approve").code == 4
    ((second, failure),) = place.state["failed"].items()
    assert second != first
    assert (failure["attempts"], failure["earlier"]) == (2, [first])
    assert "attempt 3: failed twice" in place.run("plan").out

    assert place.run("apply", "--auto-approve").code == 0
    assert place.state["failed"] == {}
    assert opened(server) == {"ObjectId_001", "ObjectId_002"}


def test_a_release_that_keeps_failing_is_given_up(place: Workplace, server: SandboxServer) -> None:
    """After release_attempts failures in as many runs, a release is taken as gone already, and nothing is sent."""
    place.declare(THREE)
    place.run("apply", "--auto-approve")
    server.complete("ObjectId_002")
    place.declare(THREE.replace("  - externalid: ObjectId_002\n", ""))
    assert [place.run("apply", "--auto-approve").code for _ in range(3)] == [4, 4, 4]
    calls = len(server.calls)
    plan = place.run("plan")
    assert "x forget    ObjectId_002" in plan.out
    assert place.run("apply", "--auto-approve").code == 0
    assert len(server.calls) == calls
    assert "ObjectId_002" not in json.dumps(place.state)


def test_the_intent_is_saved_before_the_first_call(place: Workplace, server: SandboxServer) -> None:
    """When the first Invocation arrives, the state on disk already holds its requests as pending."""
    seen: list[set[str]] = []
    server.on_call = lambda _call: seen.append(set(place.state["pending"]))
    place.declare(THREE)
    place.run("apply", "--auto-approve")
    sent = {
        r["requestid"]
        for call in server.calls
        if call.path.endswith("/invoke")
        for r in json.loads(call.body)["requests"]
    }
    assert seen[0] == sent


def test_no_sensitive_value_is_in_the_state(place: Workplace) -> None:
    """Phone numbers and message texts go into the request and nowhere else."""
    place.declare(THREE)
    ran = place.run("apply", "--auto-approve", "-v")
    everything = ran.out + ran.err + place.state_path.read_text(encoding="utf-8")
    assert "7700900123" not in everything
    assert "planted-secret" not in everything


def test_bodies_are_packed_by_provider_and_size(place: Workplace, server: SandboxServer) -> None:
    """Invocations carry one provider each and are no larger than request_bytes."""
    entries = "".join(f"  - {{externalid: id-{n:03}, provider: P{n % 2}, route: R}}\n" for n in range(100))
    place.declare("interactions:\n" + entries)
    assert place.run("apply", "--auto-approve", env={"RECONCILER_REQUEST_BYTES": "1000"}).code == 0
    bodies = [call.body for call in server.calls if call.path.endswith("/invoke")]
    assert max(map(len, bodies)) <= 1000
    assert len(bodies) < 50
    assert len(opened(server)) == 100
    for body in map(json.loads, bodies):
        assert {int(request["externalid"][3:]) % 2 for request in body["requests"]} == {int(body["provider"][1:])}


def test_a_mistake_of_our_own_shows_no_traceback(place: Workplace) -> None:
    """What no check foresaw ends in an error that says where, without the error's own words."""
    place.declare(THREE)
    place.run("apply", "--auto-approve")
    with mock.patch.object(planner, "same_content", None):
        ran = place.run("plan", "--no-seals")
    assert ran.code == 1
    assert "this is a mistake in reconciler: TypeError in planner.py" in ran.err
    assert "NoneType" not in ran.err
    assert "Traceback" not in ran.err
