"""The fault table, line by line: what each answer leads to, here and on the server, and that a later apply mends it."""

from __future__ import annotations

import json

import pytest

from tests.api import SandboxConfig, SandboxServer
from tests.clock import QuickClock
from tests.command import Workplace
from tests.conftest import connection
from tests.faults.harness import (
    FOUR,
    NAMES,
    SPREAD,
    apply,
    check_done,
    check_nothing_doubled,
    check_recovers,
    failures,
    invokes,
    many,
    opened,
    pending,
    tokens,
)

# Which status proves what is a table of its own (test_map_complete.py); here is one of each kind.
REFUSED_STATUSES = [400, 413, 417]
UNKNOWN = [
    *("status=202", "status=408", "status=500", "status-after=503"),
    *("garbage", "garbage processed=no", "not-array", "foreign-id", "duplicate-id", "no-content", "truncated"),
    *("drop=before", "drop=after", "drop=before how=close", "drop=after how=close", "late-copy"),
]
THREE = FOUR.replace("  - {once: O, route: Once}\n", "")
SLOW = ["hang processed=yes", "late=9 processed=no", "slow-body=9"]
IMPATIENT = {"timeout": "0.4"}
"""A timeout that is short for a test, and long enough for a busy machine to answer in."""


@pytest.mark.parametrize("fault", UNKNOWN)
def test_an_unknown_outcome_is_sent_again_as_it_was(place: Workplace, server: SandboxServer, fault: str) -> None:
    """An answer that proves nothing is followed by the very same body, and the next valid 200 settles it."""
    place.declare(FOUR)
    server.faults.add(fault)
    ran = apply(place)
    assert ran.code == 0, ran.out
    first, second = invokes(server)
    assert first.body == second.body
    assert all(entry.get("settled") for entry in opened(place).values())
    server.release_late_copies()
    check_done(place, server)


@pytest.mark.parametrize("fault", UNKNOWN)
def test_an_unknown_outcome_that_stays_is_pending(
    place: Workplace, server: SandboxServer, clock: QuickClock, fault: str
) -> None:
    """After five tries what may have been processed stays pending, exit 7, and a later run settles it."""
    place.declare(FOUR)
    server.faults.add(f"{fault} times=always")
    ran = apply(place)
    assert ran.code == 7, ran.out
    assert "may or may not have been processed" in ran.out
    assert (len(invokes(server)), len({call.body for call in invokes(server)}), len(clock.waits)) == (5, 1, 4)
    assert (pending(place, unsent=False), failures(place), opened(place)) == (NAMES, {}, {})
    assert place.run("plan", "--detailed-exitcode").code == 2
    check_recovers(place, server)
    server.release_late_copies()
    check_done(place, server)


@pytest.mark.parametrize("fault", SLOW)
def test_a_slow_answer_is_given_up_and_sent_again(place: Workplace, server: SandboxServer, fault: str) -> None:
    """An answer that doesn't come in time, or trickles beyond it, is unknown: the same body goes out again."""
    place.declare(FOUR)
    server.faults.add(fault)
    ran = apply(place, **IMPATIENT)
    assert ran.code == 0, ran.out
    assert "did not answer in time; trying again" in ran.err
    assert len({call.body for call in invokes(server)}) == 1
    server.release()
    check_done(place, server)


def test_answers_that_never_come_are_pending(place: Workplace, server: SandboxServer) -> None:
    """A server that hangs five times leaves everything pending; when it wakes up, nothing is doubled."""
    place.declare(FOUR)
    server.faults.add("hang times=always")
    ran = apply(place, **IMPATIENT)
    assert (ran.code, len(invokes(server)), pending(place, unsent=False)) == (7, 5, NAMES)
    server.faults.clear()
    server.release()
    check_recovers(place, server)


# -- not processed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["status=429", "status=429 message='Slow down'", "status=429 retry-after=2"])
def test_a_throttled_call_is_sent_again(place: Workplace, server: SandboxServer, fault: str) -> None:
    """A 429 was not processed: it is sent again, and what follows is a first outcome and not a resend's."""
    place.declare(FOUR)
    server.faults.add(fault)
    assert apply(place).code == 0
    assert len(invokes(server)) == 2
    assert not any(entry.get("settled") for entry in opened(place).values())
    check_done(place, server)


def test_throttled_to_the_end_is_unsent(place: Workplace, server: SandboxServer) -> None:
    """After five times 429 what was to be sent stays pending, marked unsent, exit 1 with the API's message."""
    place.declare(FOUR)
    server.faults.add("status=429 message='Slow down' times=always")
    ran = apply(place)
    assert (ran.code, len(invokes(server))) == (1, 5)
    assert "Problem: the API answered 429: Slow down" in ran.out
    assert (pending(place, unsent=True), pending(place, unsent=False), failures(place)) == (NAMES, set(), {})
    check_recovers(place, server)


# -- refused: one of its requests may be the reason --------------------------------------------------------------------


def test_halving_finds_the_one_bad_request(place: Workplace, server: SandboxServer) -> None:
    """A refused Invocation is halved until the bad request stands alone: it fails with the API's words, no other."""
    place.declare(many(37))
    server.faults.add("status=400 message='skill unknown' externalid=id-023 times=always")
    ran = apply(place)
    assert ran.code == 4, ran.out
    assert failures(place) == {"id-023": "the API answered 400: skill unknown"}
    assert place.state["pending"] == {}
    assert len(opened(place)) == len(server.emulator.open) == 36
    assert len(invokes(server)) <= 13  # 1 + 2 * log2(37), rounded up
    check_recovers(place, server, frozenset(f"id-{number:03}" for number in range(37)))


@pytest.mark.parametrize("status", REFUSED_STATUSES)
def test_halves_that_are_taken_are_done(place: Workplace, server: SandboxServer, status: int) -> None:
    """A body that is refused as a whole and whose halves are taken has no failures."""
    place.declare(FOUR)
    server.faults.add(f"status={status}")
    assert apply(place).code == 0
    assert [len(call.requestids) for call in invokes(server)] == [4, 2, 2]
    check_done(place, server)


def test_everything_refused_is_everything_failed(place: Workplace, server: SandboxServer) -> None:
    """Where each request by itself is refused, each has failed, under a requestid that isn't used again."""
    place.declare(THREE)
    server.faults.add("status=400 times=always")
    assert apply(place).code == 4
    assert failures(place).keys() == NAMES - {"once:O"}
    used = {requestid for call in invokes(server) for requestid in call.requestids}
    already = len(invokes(server))
    check_recovers(place, server, NAMES - {"once:O"})
    assert used.isdisjoint(requestid for call in invokes(server)[already:] for requestid in call.requestids)


@pytest.mark.parametrize("status", [413, 417])
def test_the_api_s_own_limit_is_found(tmp_path: Workplace, status: int) -> None:
    """Bodies above the API's limit, which is lower than ours here, arrive in smaller pieces."""
    config = SandboxConfig(body_limit=900, too_large_status=413 if status == 413 else 417)
    with SandboxServer(config) as server:
        place = Workplace(tmp_path, connection(server))  # type: ignore[arg-type]
        place.run("init")
        place.declare(many(40))
        assert apply(place).code == 0
        check_done(place, server, frozenset(f"id-{number:03}" for number in range(40)))


def test_a_failed_one_among_halves(place: Workplace, server: SandboxServer) -> None:
    """A refused request and a request that a half's 200 names as failed are both recorded, each with its reason."""
    place.declare(FOUR)
    server.faults.add("status=400 message=bad externalid=B times=always; fail externalid=C")
    assert apply(place).code == 4
    assert failures(place) == {
        "B": "the API answered 400: bad",
        "C": "the API named it as failed; it does not say why",
    }
    check_recovers(place, server)


# -- stop --------------------------------------------------------------------------------------------------------------


def test_a_refusal_to_work_with_us_stops(place: Workplace, server: SandboxServer) -> None:
    """A 403 ends the run: one call, everything unsent, nothing failed, exit 1 with the message."""
    place.declare(many(30))
    server.faults.add("status=403 message='Not you' times=always")
    ran = place.run("apply", "--auto-approve", env=SPREAD)
    assert ran.code == 1, ran.out
    assert "Problem: the API answered 403: Not you" in ran.out
    assert (len(invokes(server)), len(pending(place, unsent=True))) == (1, 30)
    assert (pending(place, unsent=False), failures(place), server.emulator.open) == (set(), {}, {})
    check_recovers(place, server, frozenset(f"id-{number:03}" for number in range(30)))


@pytest.mark.parametrize("fault", ["status=302", "status=304", "status=404", "status-after=404", "status-after=409"])
def test_a_gateway_s_answer_stops_and_proves_nothing(place: Workplace, server: SandboxServer, fault: str) -> None:
    """404, other 4xx and 3xx end the run, exit 1 with the message: what was answered so is unknown, the rest unsent."""
    place.declare(many(30))
    server.faults.add(f"{fault} message='Not here' times=always")
    ran = place.run("apply", "--auto-approve", env=SPREAD)
    assert ran.code == 1, ran.out
    assert f"Problem: the API answered {fault[-3:]}" in ran.out
    assert fault == "status=304" or "Not here" in ran.out
    (call,) = invokes(server)
    sent = {request.externalid for request in call.requests}
    assert (pending(place, unsent=False), failures(place), opened(place)) == (sent, {}, {})
    assert len(pending(place, unsent=True)) == 30 - len(sent) > 0
    check_recovers(place, server, frozenset(f"id-{number:03}" for number in range(30)))


def test_a_stop_in_the_middle_keeps_what_was_done(place: Workplace, server: SandboxServer) -> None:
    """What was answered before the stop is recorded, and a later run sends the rest only."""
    place.declare(many(30))
    server.faults.add("status=403 nth=3")
    assert place.run("apply", "--auto-approve", env=SPREAD).code == 1
    done = opened(place).keys()
    assert done == server.emulator.open.keys()
    assert 0 < len(done) < 30
    assert len(done) + len(pending(place, unsent=True)) == 30
    check_recovers(place, server, frozenset(f"id-{number:03}" for number in range(30)))


@pytest.mark.parametrize(
    ("location", "path"), [("ELSEWHERE", "invoke"), ("ELSEWHERE", "token"), ("x" * 70_000, "invoke")]
)
def test_a_redirect_is_never_followed(place: Workplace, server: SandboxServer, location: str, path: str) -> None:
    """A redirect, wherever it leads and however it is written, stops the run; nobody else gets a call."""
    place.declare(FOUR)
    with SandboxServer() as elsewhere:
        target = location.replace("ELSEWHERE", elsewhere.base_url)
        server.faults.add(f"redirect={json.dumps(target)} path={path} times=always")
        ran = apply(place)
        assert elsewhere.calls == []
    assert ran.code == 1, ran.out
    assert "the API answered 302" in ran.out
    assert (len(server.calls), pending(place, unsent=path == "token")) == (2 if path == "invoke" else 1, NAMES)
    check_recovers(place, server)


# -- what may have been processed, though it was refused ---------------------------------------------------------------

REFUSED_THOUGH_PROCESSED = "status-after=400"
AT_LAST = {
    "status=400": 4,
    "status=429": 7,
    "status=401": 1,
    "status=403": 1,
    "status=404": 1,
    "drop=before": 7,
}
"""What the halves of a refused body end with, and the exit code of a run in which they do."""


@pytest.mark.parametrize("at_last", AT_LAST)
@pytest.mark.parametrize("edited", [THREE, THREE.replace("route: R", "route: S"), "interactions: []\n"])
def test_the_members_of_a_refused_body_may_be_open(
    place: Workplace, server: SandboxServer, at_last: str, edited: str
) -> None:
    """However the halves of a body end that was refused, nothing is taken as not processed, whatever is declared next.

    What is refused alone has failed, with the API's words, and is released before it is dispatched again.
    """
    place.declare(THREE)
    server.faults.add(REFUSED_THOUGH_PROCESSED, f"{at_last} times=always")
    assert apply(place).code == AT_LAST[at_last]
    assert pending(place, unsent=True) == set()
    assert failures(place).keys() | pending(place, unsent=False) == NAMES - {"once:O"}
    assert all(failure["resent"] for failure in place.state["failed"].values())
    server.faults.clear()
    place.declare(edited)
    ran = place.run("apply", "--auto-approve", "--allow-empty")
    assert ran.code == 0, ran.out
    check_done(place, server, NAMES - {"once:O"} if edited.startswith("provider") else frozenset())


@pytest.mark.parametrize("answer", ["status-after=302", "status-after=404"])
@pytest.mark.parametrize("edited", [THREE, THREE.replace("route: R", "route: S"), "interactions: []\n"])
def test_what_a_gateway_answered_may_be_open(place: Workplace, server: SandboxServer, answer: str, edited: str) -> None:
    """What was processed and answered by somebody else is settled or burnt by the next run, and never doubled."""
    place.declare(THREE)
    server.faults.add(answer)
    assert apply(place).code == 1
    place.declare(edited)
    ran = place.run("apply", "--auto-approve", "--allow-empty")
    assert ran.code == 0, ran.out
    check_done(place, server, NAMES - {"once:O"} if edited.startswith("provider") else frozenset())


def test_a_release_refused_in_a_larger_body_may_be_done(place: Workplace, server: SandboxServer) -> None:
    """A release that is refused alone after its larger body was has failed; it is tried again before the dispatch."""
    place.declare(THREE)
    assert apply(place).code == 0
    place.declare(THREE.replace("route: R", "route: S"))
    server.faults.add(f"{REFUSED_THOUGH_PROCESSED} action=release", "status=400 action=release times=always")
    assert apply(place).code == 4
    assert failures(place).keys() == NAMES - {"once:O"}
    assert opened(place).keys() == NAMES - {"once:O"}
    server.faults.clear()
    for code in (4, 4, 0):  # they are closed already, and taken as gone after release_attempts failures
        assert apply(place).code == code
    check_done(place, server, NAMES - {"once:O"})


@pytest.mark.parametrize("refused", [REFUSED_THOUGH_PROCESSED, "status=400"])
def test_a_once_refused_in_a_larger_body_is_held(place: Workplace, server: SandboxServer, refused: str) -> None:
    """A `once` that is refused alone after its larger body was can't be released first: it waits for a person."""
    place.declare(FOUR)
    server.faults.add(refused, "status=400 message='skill unknown' route=Once times=always")
    ran = apply(place)
    assert ran.code == 7, ran.out
    assert (pending(place, unsent=False), opened(place).keys()) == ({"once:O"}, NAMES - {"once:O"})
    assert "the API answered 400: skill unknown" in ran.out
    assert "state resolve --as not-applied once:O" in ran.out
    server.faults.clear()
    assert apply(place).code == 7
    answer = "not-applied" if refused == "status=400" else "applied"
    assert place.run("state", "resolve", "once:O", "--as", answer).code == 0
    check_recovers(place, server)


def test_a_mistyped_address_that_answers_can_be_corrected(place: Workplace, server: SandboxServer) -> None:
    """A 404 leaves all unknown and binds the state to the wrong address; the error names the command that frees it."""
    place.declare(FOUR)
    given = {"RECONCILER_BASE_URL": f"{server.base_url}/v1", "RECONCILER_ACCESS_TOKEN": "planted-token"}
    assert Workplace(place.folder, given).run("apply", "--auto-approve").code == 1
    refused = apply(place)
    assert refused.code == 1
    assert "reconciler state resolve --as not-applied --target '*'" in refused.err
    assert place.run("state", "resolve", "--as", "not-applied", "--target", "*").code == 0
    check_recovers(place, server)


# -- 401 ---------------------------------------------------------------------------------------------------------------


def test_a_token_that_expires_in_the_middle_is_renewed(place: Workplace, server: SandboxServer) -> None:
    """A 401 is followed by one new token and the same body."""
    place.declare(many(30))
    server.faults.add("expire-token nth=3")
    assert place.run("apply", "--auto-approve", env=SPREAD).code == 0
    assert len(tokens(server)) == 2
    assert [call.status for call in invokes(server)].count(401) == 1
    check_done(place, server, frozenset(f"id-{number:03}" for number in range(30)))


def test_a_second_401_stops(place: Workplace, server: SandboxServer) -> None:
    """With a new token refused as well, the run stops: two calls, two tokens, everything unsent."""
    place.declare(FOUR)
    server.faults.add("status=401 message='Not allowed' times=always")
    ran = apply(place)
    assert (ran.code, len(invokes(server)), len(tokens(server))) == (1, 2, 2)
    assert "the API answered 401: Not allowed" in ran.out
    assert pending(place, unsent=True) == NAMES
    check_recovers(place, server)


def test_a_given_token_is_not_renewed(place: Workplace, server: SandboxServer) -> None:
    """A 401 for RECONCILER_ACCESS_TOKEN stops at once: there is no other token."""
    place.declare(FOUR)
    credentials = dict(place.env)
    place.env = {"RECONCILER_BASE_URL": server.base_url, "RECONCILER_ACCESS_TOKEN": "planted-token"}
    ran = apply(place)
    assert (ran.code, len(invokes(server)), len(tokens(server))) == (1, 1, 0)
    assert "the API answered 401" in ran.out
    assert pending(place, unsent=True) == NAMES
    place.env = credentials
    check_recovers(place, server)


# -- a refusal after an unknown outcome --------------------------------------------------------------------------------

LOST = ["drop=before", "drop=after", "status=500", "status-after=503", "garbage", "foreign-id"]
REFUSALS = {
    "status=400": 7,
    "status=429": 7,
    "status=401": 1,
    "status=403": 1,
    "status=404": 1,
}
"""Each refusal and the exit code of a run that ends with it, outcomes being unknown already."""


@pytest.mark.parametrize(
    ("lost", "refusal"), [(lost, "status=400") for lost in LOST] + [("late-copy", refusal) for refusal in REFUSALS]
)
def test_a_refusal_settles_nothing_in_the_same_run(
    place: Workplace, server: SandboxServer, lost: str, refusal: str
) -> None:
    """Once an outcome is unknown, a refusal leaves everything pending as unknown: the first copy may be processed."""
    place.declare(FOUR)
    server.faults.add(lost, f"{refusal} times=always")
    ran = apply(place)
    assert ran.code == REFUSALS[refusal], ran.out
    assert (pending(place, unsent=False), pending(place, unsent=True), failures(place)) == (NAMES, set(), {})
    check_nothing_doubled(server)
    check_recovers(place, server)
    server.release_late_copies()
    check_done(place, server)
    assert len({requestid for call in invokes(server) for requestid in call.requestids}) == 4


@pytest.mark.parametrize("refusal", [*REFUSALS, "refused connection"])
def test_a_refusal_settles_nothing_in_a_later_run(place: Workplace, server: SandboxServer, refusal: str) -> None:
    """What an earlier run left unknown stays so through refusals, connections refused included; nothing is doubled."""
    place.declare(FOUR)
    server.faults.add("late-copy times=always")
    assert apply(place).code == 7
    server.faults.clear()
    if refusal == "refused connection":
        port = server.base_url.rpartition(":")[2]
        server.stop()
        assert apply(place).code == 7
        server.come_back(int(port))
    else:
        server.faults.add(f"{refusal} times=always")
        assert apply(place).code == REFUSALS[refusal]
    assert (pending(place, unsent=False), pending(place, unsent=True), failures(place)) == (NAMES, set(), {})
    check_recovers(place, server)
    server.release_late_copies()
    check_done(place, server)
    assert len({requestid for call in invokes(server) for requestid in call.requestids}) == 4


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_settles_no_release(place: Workplace, server: SandboxServer, refusal: str) -> None:
    """A release whose outcome is unknown stays pending through a refusal, and what replaces it is not dispatched."""
    place.declare(FOUR)
    assert apply(place).code == 0
    place.declare(FOUR.replace("route: R", "route: S"))
    server.faults.add("drop=after", f"{refusal} times=always")
    assert apply(place).code == REFUSALS[refusal]
    kinds = {(link["address"], link["kind"], bool(link.get("unsent"))) for link in place.state["pending"].values()}
    assert kinds == {(name, kind, kind == "dispatch") for name in ("A", "B", "C") for kind in ("release", "dispatch")}
    check_recovers(place, server)


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_settles_no_burn(place: Workplace, server: SandboxServer, refusal: str) -> None:
    """A requestid that has to be burnt stays pending through a refusal; a late copy of its dispatch opens nothing."""
    place.declare(FOUR)
    server.faults.add("late-copy times=always")
    assert apply(place).code == 7
    server.faults.clear()
    changed = FOUR.replace("- externalid: A", "- {externalid: A, route: S}")
    place.declare(changed)
    server.faults.add(f"{refusal} times=always")
    assert apply(place).code == REFUSALS[refusal]
    assert {link["kind"] for link in place.state["pending"].values() if link["address"] == "A"} >= {"burn"}
    check_recovers(place, server)
    server.release_late_copies()
    check_done(place, server)


def test_halves_of_unknown_outcome_are_resent_apart(place: Workplace, server: SandboxServer) -> None:
    """After an unknown outcome a refused body is halved too: what a 200 settles is settled, the rest stays pending."""
    place.declare(FOUR)
    server.faults.add("drop=after", "status=413 externalid=B times=always")
    assert apply(place).code == 7
    assert (pending(place, unsent=False), opened(place).keys(), failures(place)) == ({"B"}, NAMES - {"B"}, {})
    check_recovers(place, server)


def test_failed_in_the_answer_to_a_resend(place: Workplace, server: SandboxServer) -> None:
    """A resend that is answered as failed is retried behind a tolerant release; what went out once is held."""
    place.declare(FOUR)
    server.faults.add("fail externalid=A", "drop=after")
    assert apply(place).code == 4
    assert failures(place).keys() == {"A"}
    check_recovers(place, server)
    actions = [(entry.request.action, entry.outcome) for entry in server.emulator.record.history("A")]
    assert actions[-2:] == [("release", "failed"), ("dispatch", "dispatched")]
