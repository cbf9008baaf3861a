"""The fault table's lines about the token: nothing was sent yet, so nothing of this is ever unknown."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

from tests.api import SandboxConfig, SandboxServer
from tests.clock import QuickClock
from tests.command import Ran, Workplace
from tests.conftest import connection
from tests.faults.harness import (
    FOUR,
    NAMES,
    apply,
    check_done,
    check_recovers,
    failures,
    invokes,
    many,
    opened,
    pending,
    tokens,
)
from tests.faults.wire import Script, answer, read_request

# Every status of the token endpoint is tried in test_map_complete.py; here is one of each kind.
PASSING = ["status=408", "status=429", "status=503", "drop=before", "drop=after how=close", "truncated"]
FINAL = ["status=301", "status=400", "status=404", "no-content"]


@pytest.mark.parametrize("fault", PASSING)
def test_a_token_call_that_goes_wrong_is_made_again(place: Workplace, server: SandboxServer, fault: str) -> None:
    """A token that could not be fetched is asked for again, and what follows are first outcomes."""
    place.declare(FOUR)
    server.faults.add(f"{fault} path=token")
    assert apply(place).code == 0
    assert (len(tokens(server)), len(invokes(server))) == (2, 1)
    assert not any(entry.get("settled") for entry in opened(place).values())
    check_done(place, server)


@pytest.mark.parametrize("fault", PASSING)
def test_no_token_to_the_end_is_unsent(place: Workplace, server: SandboxServer, clock: QuickClock, fault: str) -> None:
    """Without a token after five tries nothing was sent: everything unsent, exit 1."""
    place.declare(FOUR)
    server.faults.add(f"{fault} path=token times=always")
    ran = apply(place)
    assert ran.code == 1
    assert "Problem: no token" in ran.out
    assert (len(tokens(server)), len(invokes(server))) == (5, 0)
    assert len(clock.waits) >= 4  # a 429 slows the rate as well
    assert (pending(place, unsent=True), failures(place)) == (NAMES, {})
    check_recovers(place, server)


def test_a_token_call_that_hangs(place: Workplace, server: SandboxServer) -> None:
    """A token call that isn't answered in time is made again; nothing was sent, so nothing is unknown."""
    place.declare(FOUR)
    server.faults.add("hang path=token", "slow-body=9 path=token")
    assert apply(place, timeout="0.4").code == 0
    assert not any(entry.get("settled") for entry in opened(place).values())
    server.release()
    check_done(place, server)


@pytest.mark.parametrize("fault", FINAL)
def test_credentials_that_are_refused_stop(place: Workplace, server: SandboxServer, fault: str) -> None:
    """A refusal of the token call ends the run at once and says what to check; everything is unsent."""
    place.declare(FOUR)
    server.faults.add(f"{fault} path=token times=always")
    ran = apply(place)
    assert (ran.code, len(tokens(server)), len(invokes(server))) == (1, 1, 0)
    assert "check the client id and secret, and the region" in ran.out
    assert (pending(place, unsent=True), failures(place)) == (NAMES, {})
    check_recovers(place, server)


def test_wrong_credentials_are_named(tmp_path: Path) -> None:
    """A client that the API doesn't know is told so in the API's words, without its secret."""
    with SandboxServer(SandboxConfig(clients={"tester": "another"})) as server:
        place = Workplace(tmp_path, connection(server))
        place.run("init")
        place.declare(FOUR)
        ran = apply(place)
        assert ran.code == 1
        assert "no token: the API answered 400: invalid_client; check the client id and secret" in ran.out
        assert "planted-secret" not in ran.out + ran.err
        place.env["RECONCILER_CLIENT_SECRET"] = "another"
        check_recovers(place, server)


@pytest.mark.parametrize("fault", ["garbage", "not-array"])
def test_an_answer_without_a_token_stops(place: Workplace, server: SandboxServer, fault: str) -> None:
    """A 200 that holds no token is not the token endpoint: stop, and say where to look."""
    place.declare(FOUR)
    server.faults.add(f"{fault} path=token times=always")
    ran = apply(place)
    assert (ran.code, len(tokens(server))) == (1, 1)
    assert "the token endpoint answered 200 without a token; check token_url" in ran.out
    check_recovers(place, server)


def answering(place: Path, token: object) -> tuple[Workplace, Ran, list[bytes]]:
    """Apply against an API whose token endpoint gives this; return what was asked as well."""
    asked: list[bytes] = []

    def talk(client: socket.socket) -> None:
        while request := read_request(client):
            asked.append(request)
            client.sendall(answer(b"[]" if b"/interactions/invoke" in request else json.dumps(token).encode()))

    folder = Workplace(place)
    folder.run("init")
    (place / "interactions" / "example.yaml").unlink()
    folder.declare(FOUR)
    with Script(talk) as listening:
        folder.env = {
            "RECONCILER_BASE_URL": f"http://127.0.0.1:{listening.port}",
            "RECONCILER_CLIENT_ID": "tester",
            "RECONCILER_CLIENT_SECRET": "planted-secret",
        }
        return folder, apply(folder), asked


NO_TOKENS = [
    {"access_token": None, "expires_in": 7200},
    {"access_token": 17, "expires_in": 7200},
    {"access_token": "", "expires_in": 7200},
    {"access_token": "planted-token\nX: y", "expires_in": 7200},
    {"access_token": "planted-token ", "expires_in": 7200},
    {"access_token": "planted-tøken", "expires_in": 7200},
    {"access_token": "planted-token", "expires_in": 7200, "token_type": "mac"},
    {"access_token": "planted-token", "expires_in": 7200, "token_type": "Bearer planted"},
    {"access_token": "planted-token", "expires_in": 7200, "token_type": 1},
    {"access_token": "planted-token", "expires_in": 7200, "token_type": ["Bearer"]},
    {"expires_in": 7200, "token_type": "Bearer"},
    ["planted-token"],
    "planted-token",
]


@pytest.mark.parametrize("token", NO_TOKENS, ids=json.dumps)
def test_what_is_no_token_is_not_used(tmp_path: Path, token: object) -> None:
    """A token of the wrong kind, or that no header can carry, is refused, unsent, and not shown."""
    place, ran, asked = answering(tmp_path, token)
    assert ran.code == 1
    assert re.search("Problem: .*token", ran.out)
    assert "planted" not in ran.out + ran.err
    assert (len(asked), pending(place, unsent=True)) == (1, NAMES)


LIFETIMES: list[object] = [
    "soon",
    "7200",
    "",
    "nan",
    "inf",
    [],
    {},
    None,
    True,
    7200.5,
    1e308,
    10**25,
    0,
    -1,
    -1e300,
    0.001,
]
TOKENS: list[dict[str, object]] = [{}]
TOKENS += [{"expires_in": lifetime} for lifetime in LIFETIMES]
TOKENS += [{"expires_in": 7200, "token_type": kind} for kind in ("bearer", "BEARER", "", None)]


@pytest.mark.parametrize("more", TOKENS, ids=json.dumps)
def test_a_token_is_used_whatever_is_told_of_its_lifetime(tmp_path: Path, more: dict[str, object]) -> None:
    """RFC 6749 only recommends to tell it: a token without one, or with nonsense, is one. It is Bearer unless said."""
    _, ran, asked = answering(tmp_path, {"access_token": "planted-token", **more})
    assert ran.code == 0, ran.out
    assert len(asked) == 2
    assert b"Authorization: Bearer planted-token" in asked[1]


@pytest.mark.parametrize("token", ["planted-token ", " planted-token", "planted token"])
def test_a_given_token_with_white_space_is_not_sent(place: Workplace, server: SandboxServer, token: str) -> None:
    """A token that no header can carry is refused before anything is sent, and not shown."""
    place.declare(FOUR)
    credentials = dict(place.env)
    place.env = {"RECONCILER_BASE_URL": server.base_url, "RECONCILER_ACCESS_TOKEN": token}
    ran = apply(place)
    assert (ran.code, server.calls) == (1, [])
    assert "white space" in ran.out + ran.err
    assert "planted" not in ran.out + ran.err
    assert pending(place, unsent=False) == set()
    place.env = credentials
    check_recovers(place, server)


@pytest.mark.parametrize(("fault", "code"), [("status=500", 7), ("drop=before", 7), ("status=400", 1), ("garbage", 1)])
def test_without_a_token_nothing_unknown_is_settled(
    place: Workplace, server: SandboxServer, fault: str, code: int
) -> None:
    """What an earlier run left unknown stays so where no token is to be had."""
    place.declare(FOUR)
    server.faults.add("drop=after times=always")
    assert apply(place).code == 7
    server.faults.clear()
    server.faults.add(f"{fault} path=token times=always")
    assert apply(place).code == code
    assert (pending(place, unsent=False), pending(place, unsent=True)) == (NAMES, set())
    check_recovers(place, server)


def test_one_token_serves_all_threads(place: Workplace, server: SandboxServer) -> None:
    """Invocations that start at once wait for one token and share it; the same after it expired."""
    place.declare(many(60))
    server.faults.add("expire-token nth=5")
    assert apply(place, request_bytes="1000", parallelism="4").code == 0
    assert len(tokens(server)) == 2
    check_done(place, server, frozenset(f"id-{number:03}" for number in range(60)))
