"""The emulated API's rules, without sockets."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from reconciler.sandbox.call import INVOKE_PATH, TOKEN_PATH, read_call
from reconciler.sandbox.emulator import ACCEPT
from reconciler.sandbox.invocation import ReceivedRequest
from reconciler.sandbox.reply import Reply
from tests.api.assumptions import FailedDuplicate, RecordingEmulator, Redispatch, SandboxConfig
from tests.api.record import Call, Double, Handling

BEARER = "Bearer given"
HEADERS = {"accept": ACCEPT, "content-type": "application/json"}
FORM = {"grant_type": "client_credentials", "client_id": "id", "client_secret": "hush", "scope": "interactions:write"}


def emulator(**settings: Any) -> RecordingEmulator:
    """Return an emulator that takes the token `given`."""
    return RecordingEmulator(SandboxConfig(access_token="given", **settings))


def dispatch(externalid: str | None, requestid: str | None = None, **fields: Any) -> dict[str, Any]:
    """Return a dispatch request with a route."""
    request = {"action": "dispatch", "externalid": externalid, "requestid": requestid, "route": "Calls", **fields}
    return {name: value for name, value in request.items() if value is not None}


def release(externalid: str | None, requestid: str | None = None) -> dict[str, Any]:
    """Return a release request."""
    request = {"action": "release", "externalid": externalid, "requestid": requestid}
    return {name: value for name, value in request.items() if value is not None}


def arrived(api: RecordingEmulator, method: str, path: str, headers: dict[str, str], body: bytes) -> Call:
    """Return a recorded call."""
    return api.record.add_call(read_call(method, path, headers, body), 0)


def post(
    api: RecordingEmulator,
    body: bytes,
    *,
    now: float = 0.0,
    headers: dict[str, str] = HEADERS,
    bearer: str | None = BEARER,
) -> Reply:
    """Send a body to invoke."""
    sent = headers if bearer is None else {**headers, "authorization": bearer}
    return api.answer(arrived(api, "POST", INVOKE_PATH, sent, body), now)


def send(api: RecordingEmulator, *requests: dict[str, Any], provider: str | None = None, now: float = 0.0) -> list[str]:
    """Send one Invocation and return the failed ids."""
    body: dict[str, Any] = {"requests": requests}
    if provider is not None:
        body["provider"] = provider
    answer = post(api, orjson.dumps(body), now=now)
    assert answer.status == 200, answer.body
    failed: list[str] = orjson.loads(answer.body)
    return failed


def token(api: RecordingEmulator, **fields: str) -> Reply:
    """Ask for a token; `fields` override those of the form."""
    form = urlencode({**FORM, **fields}).encode()
    headers = {"content-type": "application/x-www-form-urlencoded"}
    return api.answer(arrived(api, "POST", TOKEN_PATH, headers, form), 0)


def outcomes(api: RecordingEmulator) -> list[str]:
    """Return the outcomes so far, each with its reason."""
    return [f"{entry.outcome} {entry.reason}".strip() for entry in api.record.processed]


def test_token_is_issued_and_expires() -> None:
    """A token is valid for `expires_in` seconds and not a moment longer."""
    api = RecordingEmulator()
    answer = token(api)
    issued = orjson.loads(answer.body)
    assert issued == {"access_token": "token-1", "expires_in": 7200, "token_type": "Bearer"}
    assert post(api, b'{"requests":[]}', now=7199, bearer="Bearer token-1").status == 200
    assert post(api, b'{"requests":[]}', now=7200, bearer="Bearer token-1").status == 401


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"client_id": ""}, "invalid_client"),
        ({"client_secret": ""}, "invalid_client"),
        ({"scope": "other"}, "invalid_scope"),
    ],
)
def test_token_form_is_checked(fields: dict[str, str], error: str) -> None:
    """A form that is not the documented one gets 400 with OAuth's error."""
    answer = token(RecordingEmulator(), **fields)
    assert (answer.status, orjson.loads(answer.body)) == (400, {"error": error})


def test_token_clients_can_be_configured() -> None:
    """With clients configured only those, with their secrets, get a token."""
    api = RecordingEmulator(SandboxConfig(clients={"id": "hush"}))
    assert token(api).status == 200
    assert token(api, client_secret="wrong").status == 400
    assert token(api, client_id="other").status == 400


def test_token_must_be_a_form() -> None:
    """A token call with another content type is refused."""
    api = RecordingEmulator()
    call = arrived(api, "POST", TOKEN_PATH, {"content-type": "application/json"}, b"{}")
    assert api.answer(call, 0).status == 400


def test_expired_tokens_leave_the_configured_one() -> None:
    """Expiring makes issued tokens invalid; the configured one stays."""
    api = emulator()
    token(api)
    api.tokens.clear()
    assert post(api, b'{"requests":[]}', bearer="Bearer token-1").status == 401
    assert post(api, b'{"requests":[]}').status == 200


@pytest.mark.parametrize("bearer", [None, "", "Bearer", "Bearer other", "Basic given", "given"])
def test_invoke_needs_a_valid_token(bearer: str | None) -> None:
    """Without a valid bearer token the answer is 401 and nothing is processed."""
    api = emulator()
    assert post(api, orjson.dumps({"requests": [dispatch("A")]}), bearer=bearer).status == 401
    assert not api.open


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json"}, 400),
        ({"accept": "application/json", "content-type": "application/json"}, 400),
        ({"accept": "application/vnd.newvoicemedia.v2+json", "content-type": "application/json"}, 400),
        ({"accept": ACCEPT, "content-type": "text/plain"}, 415),
        ({"accept": ACCEPT}, 415),
        ({"accept": ACCEPT, "content-type": "application/json; charset=utf-8"}, 200),
    ],
)
def test_invoke_needs_its_headers(headers: dict[str, str], status: int) -> None:
    """Accept must name the version, Content-Type must be JSON."""
    answer = post(emulator(), b'{"requests":[]}', headers=headers)
    assert answer.status == status
    assert status == 200 or "message" in orjson.loads(answer.body)


def test_body_limit() -> None:
    """A body of exactly the limit passes, one byte more is 413 or, as configured, 417, with the documented messages."""
    body = b'{"requests":[]}'
    assert post(emulator(body_limit=len(body)), body).status == 200
    too_large = post(emulator(body_limit=len(body) - 1), body)
    assert (too_large.status, too_large.body) == (413, b'{"message":"Payload Too Large"}')
    other = post(emulator(body_limit=1, too_large_status=417), body)
    assert (other.status, other.body) == (417, b'{"message":"Request size limit exceeded"}')


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "The body is not JSON"),
        (b"[]", "The body: an object is expected"),
        (b"{}", "requests: a list is expected"),
        (b'{"requests":[],"x":1}', "The body: unknown field 'x'"),
        (b'{"requests":[],"provider":null}', "provider: a string that is not empty"),
        (b'{"requests":[1]}', "requests[0]: an object is expected"),
        (b'{"requests":[{"requestId":"1"}]}', "requests[0]: unknown field 'requestId'"),
        (b'{"requests":[{"action":"update"}]}', "requests[0].action: 'update' is neither"),
        (b'{"requests":[{},{"externalid":1}]}', "requests[1].externalid: a string"),
        (b'{"requests":[{"requestid":""}]}', "requests[0].requestid: a string"),
        (b'{"requests":[{"linkeddata":{}}]}', "requests[0].linkeddata: a list"),
        (b'{"requests":[{"routingdata":[]}]}', "requests[0].routingdata: an object"),
        (b'{"requests":[{"route":"\xff"}]}', "The body is not JSON"),
    ],
)
def test_malformed_bodies_are_refused(body: bytes, message: str) -> None:
    """A body that is not an Invocation gets 400 and a message that names the place; nothing of it is processed."""
    api = emulator()
    answer = post(api, body)
    assert answer.status == 400
    assert message in orjson.loads(answer.body)["message"]
    assert not api.record.processed


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", INVOKE_PATH, 405), ("GET", TOKEN_PATH, 405), ("POST", "/interactions", 404)]
)
def test_other_calls(method: str, path: str, status: int) -> None:
    """Other methods get 405, other paths 404."""
    api = emulator()
    assert api.answer(arrived(api, method, path, HEADERS, b""), 0).status == status


def test_dispatch_opens_with_provider_and_content() -> None:
    """A dispatch opens its externalid; the content is canonical, without requestid, an absent action filled in."""
    api = emulator()
    assert send(api, {"externalid": "A", "requestid": "1", "route": "Calls"}, provider="Crm") == []
    opened = api.open["A"]
    assert (opened.provider, opened.requestid) == ("Crm", "1")
    assert opened.content == b'{"action":"dispatch","externalid":"A","route":"Calls"}'


def test_dispatch_without_route_fails() -> None:
    """A dispatch without a route is listed as failed."""
    api = emulator()
    assert send(api, {"externalid": "A", "requestid": "1"}) == ["1"]
    assert outcomes(api) == ["failed no route"]


def test_release_rules() -> None:
    """A release needs an externalid that is open and its dispatch's provider."""
    api = emulator()
    send(api, dispatch("A", "1"), provider="Crm")
    assert send(api, release("A", "2")) == ["2"]
    assert send(api, release("A", "3"), provider="Other") == ["3"]
    assert send(api, release(None, "4"), provider="Crm") == ["4"]
    assert send(api, release("B", "5"), provider="Crm") == ["5"]
    assert send(api, release("A", "6"), provider="Crm") == []
    reasons = ["another provider", "another provider", "no externalid", "not open"]
    assert outcomes(api) == ["dispatched", *(f"failed {reason}" for reason in reasons), "released"]
    assert not api.open


def test_failed_request_without_id_is_not_listed() -> None:
    """A request without requestid is processed, never remembered, and can't be listed."""
    api = emulator()
    assert send(api, release("A"), release("A")) == []
    assert outcomes(api) == ["failed not open"] * 2


def test_once_is_counted() -> None:
    """Dispatches without an externalid are counted by content and by requestid."""
    api = emulator()
    send(api, dispatch(None, "1"), dispatch(None, "2"), dispatch(None), provider="Sms")
    send(api, dispatch(None, "1"), provider="Sms")
    assert api.record.once_by_content == {("Sms", b'{"action":"dispatch","route":"Calls"}'): 3}
    assert api.record.once_by_requestid == {"1": 1, "2": 1, None: 1}
    assert not api.open


def test_duplicate_of_a_processed_request_is_ignored() -> None:
    """A requestid that succeeded is taken: whatever comes under it is ignored and not listed."""
    api = emulator()
    send(api, dispatch("A", "1"))
    assert send(api, dispatch("A", "1"), release("A", "1")) == []
    assert outcomes(api) == ["dispatched", "ignored duplicate", "ignored duplicate"]
    assert "A" in api.open
    assert not api.doubles


def test_burnt_requestid_stops_a_late_dispatch() -> None:
    """A release that took a requestid keeps a late dispatch under the same id from opening anything."""
    api = emulator()
    assert send(api, release("A", "1")) == ["1"]
    send(api, dispatch("A", "1"))
    assert not api.open


def test_first_of_two_in_one_body_is_processed() -> None:
    """Of two requests with one requestid in a body only the first is processed."""
    api = emulator()
    assert send(api, dispatch("A", "1"), dispatch("B", "1")) == []
    assert list(api.open) == ["A"]
    assert sorted(outcomes(api)) == ["dispatched", "ignored duplicate"]


@pytest.mark.parametrize(
    ("mode", "listed", "opened"),
    [
        (FailedDuplicate.FAILS, ["1"], False),
        (FailedDuplicate.IGNORED, [], False),
        (FailedDuplicate.PROCESSED, [], True),
    ],
)
def test_duplicate_of_a_failed_request(mode: FailedDuplicate, listed: list[str], *, opened: bool) -> None:
    """What a duplicate of a failed request does is configurable."""
    api = emulator(failed_duplicate=mode)
    assert send(api, {"externalid": "A", "requestid": "1"}) == ["1"]
    assert send(api, dispatch("A", "1")) == listed
    assert ("A" in api.open) is opened


def test_duplicate_of_a_success_may_be_listed() -> None:
    """With `done_duplicate_fails` a duplicate of a success is ignored but listed as failed."""
    api = emulator(done_duplicate_fails=True)
    send(api, dispatch("A", "1"))
    assert send(api, dispatch("A", "1")) == ["1"]
    assert len(api.open) == 1


def test_requestids_are_forgotten_after_seconds() -> None:
    """After `remember_seconds` the same requestid is processed again."""
    api = emulator(remember_seconds=10)
    send(api, dispatch(None, "1"), now=0)
    send(api, dispatch(None, "1"), now=10)
    assert api.record.once_by_requestid["1"] == 1
    send(api, dispatch(None, "1"), now=10.5)
    assert api.record.once_by_requestid["1"] == 2


def test_requestids_are_forgotten_after_so_many() -> None:
    """With `remember_requests` only the newest ids are remembered."""
    api = emulator(remember_requests=2)
    for requestid in ("1", "2", "3", "2", "1"):
        send(api, dispatch(None, requestid))
    assert api.record.once_by_requestid == {"1": 2, "2": 1, "3": 1}


@pytest.mark.parametrize(("mode", "listed", "copies"), [(Redispatch.FAILS, ["2"], 1), (Redispatch.OPENS, [], 2)])
def test_redispatch_is_a_double(mode: Redispatch, listed: list[str], copies: int) -> None:
    """Dispatching what is still open is recorded as a violation, and fails or opens a second."""
    api = emulator(redispatch=mode)
    send(api, dispatch("A", "1"))
    assert send(api, dispatch("A", "2")) == listed
    assert api.doubles == [Double("A", 2, "2", "1")]
    assert api.copies["A"] == copies
    for number in range(copies):
        assert send(api, release("A", f"r{number}")) == []
    assert not api.open


def test_order_can_be_reversed() -> None:
    """With `reverse` the last request of a body is processed first."""
    api = emulator(reverse=True)
    assert send(api, dispatch("A", "1"), release("A", "2")) == ["2"]
    assert "A" in api.open


def test_mixed_bodies_are_noted() -> None:
    """A body with two requests of one externalid is noted, for their order is not documented."""
    api = emulator()
    send(api, dispatch("A", "1"), dispatch("B", "2"), release("A", "3"))
    assert api.record.mixed == [(1, "A")]


def test_failing_requests_are_chosen_from_outside() -> None:
    """A request that is made to fail is not carried out, is listed, and takes its requestid."""
    api = emulator()
    body = orjson.dumps({"requests": [dispatch("A", "1"), dispatch("B", "2")]})
    call = arrived(api, "POST", INVOKE_PATH, HEADERS, body)

    def fails(request: ReceivedRequest) -> bool:
        return request.externalid == "A"

    assert api.process(call, 0, fails).body == b'["1"]'
    assert list(api.open) == ["B"]
    assert outcomes(api) == ["failed fault", "dispatched"]


def test_record_holds_no_secret() -> None:
    """Neither the client secret nor the token stands in the record."""
    api = emulator()
    token(api)
    post(api, b'{"requests":[]}', headers={**HEADERS, "authorization": BEARER})
    assert b"hush" not in api.record.calls[0].body
    assert b"client_id=id" in api.record.calls[0].body
    assert api.record.calls[1].headers["authorization"] == "(removed)"


def test_history_and_completion() -> None:
    """The history tells what happened to an externalid; an agent's completion is part of it."""
    api = emulator()
    send(api, dispatch("A", "1"), dispatch("B", "2"))
    assert api.complete("A")
    assert not api.complete("A")
    assert send(api, release("A", "3")) == ["3"]
    assert [entry.outcome for entry in api.record.history("A")] == [
        Handling.DISPATCHED,
        Handling.COMPLETED,
        Handling.FAILED,
    ]
    assert api.record.histories() == {"A": api.record.history("A"), "B": api.record.history("B")}


def test_keep_limits_the_record() -> None:
    """With `keep` only the newest calls and requests are held; counts go on."""
    api = emulator(keep=2)
    for number in range(5):
        send(api, dispatch(None, str(number)))
    assert [call.n for call in api.record.calls] == [4, 5]
    assert len(api.record.processed) == 2
    assert api.record.arrived["invoke"] == 5


def test_tens_of_thousands_are_fast() -> None:
    """30,000 interactions in Invocations of 150 take seconds, not minutes."""
    api = emulator(remember_requests=10_000)
    bodies = [
        orjson.dumps({"requests": [dispatch(f"X{n}", f"r{n}") for n in range(start, min(start + 150, 30_000))]})
        for start in range(0, 30_000, 150)
    ]
    began = time.monotonic()
    for body in bodies:
        assert post(api, body).body == b"[]"
    assert time.monotonic() - began < 6
    assert len(api.open) == 30_000
    assert len(api.memory.ids) == 10_000
