"""Requests packed into Invocations: nothing left out, nothing twice, never too large."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.delivery.batch import Invocation, Request, pack
from reconciler.interaction import canonical
from reconciler.state.model import Kind
from tests.known import interaction, request

LIMITS: Final = st.integers(1, 2_000)
texts = st.text(max_size=40)


@st.composite
def some_requests(draw: st.DrawFn) -> list[Request]:
    """Return requests of some providers, with bodies of any length and requestids of their own."""
    parts = draw(st.lists(st.tuples(st.sampled_from([None, "", "P", "Größe\n"]), texts, st.booleans()), max_size=30))
    return [
        Request(
            f"{'é' * (number % 7)}{number}",
            f"A{number}",
            Kind.DISPATCH,
            provider,
            canonical({"action": "dispatch", "route": route}),
            resend,
        )
        for number, (provider, route, resend) in enumerate(parts)
    ]


@given(some_requests(), LIMITS)
def test_every_request_is_in_one_invocation(requests: list[Request], limit: int) -> None:
    """Each request travels once, and those that travel together come in the order given."""
    packed = list(pack(requests, limit))
    sent = [entry for invocation in packed for entry in invocation.requests]
    assert len(sent) == len(requests)
    assert {entry.requestid for entry in sent} == {entry.requestid for entry in requests}
    for provider in {entry.provider for entry in requests}:
        for resend in (False, True):
            group = (provider, resend)
            assert [entry for entry in sent if (entry.provider, entry.resend) == group] == [
                entry for entry in requests if (entry.provider, entry.resend) == group
            ]


@given(some_requests(), LIMITS)
def test_an_invocation_is_of_one_provider_and_one_sort(requests: list[Request], limit: int) -> None:
    """The provider stands once a body, and what may have been processed already travels apart from what is new."""
    for invocation in pack(requests, limit):
        assert {entry.provider for entry in invocation.requests} == {invocation.provider}
        assert len({entry.resend for entry in invocation.requests}) == 1


@given(some_requests(), LIMITS)
def test_no_body_is_too_large(requests: list[Request], limit: int) -> None:
    """Each body, as really sent, keeps the limit; only a request that exceeds it alone travels alone."""
    for invocation in pack(requests, limit):
        assert len(invocation.body) <= limit or len(invocation.requests) == 1


@given(some_requests(), LIMITS)
def test_packing_is_as_full_as_can_be(requests: list[Request], limit: int) -> None:
    """The first request of each Invocation would not have fitted into the one before it."""
    for before, after in pairwise(pack(requests, limit)):
        if (before.provider, before.requests[0].resend) == (after.provider, after.requests[0].resend):
            joined = Invocation.of(before.provider, (*before.requests, after.requests[0]))
            assert len(joined.body) > limit


@given(some_requests())
def test_the_body_is_the_documented_one(requests: list[Request]) -> None:
    """A body decodes to the Invocation of the API: the provider where there is one, and the requests with their ids."""
    for invocation in pack(requests, 2_000):
        body = orjson.loads(invocation.body)
        wanted = {} if invocation.provider is None else {"provider": invocation.provider}
        assert body == {
            **wanted,
            "requests": [{"requestid": r.requestid, **orjson.loads(r.body)} for r in invocation.requests],
        }
        assert invocation.requestids == {entry["requestid"] for entry in body["requests"]}


def test_a_body_byte_for_byte() -> None:
    """The provider comes first, then each request with its requestid in front."""
    dispatch, release = request("r1", interaction("A")), request("r2", interaction("B"), Kind.RELEASE)
    assert Invocation.of("Crm", (dispatch, release)).body == (
        b'{"provider":"Crm","requests":['
        b'{"requestid":"r1","action":"dispatch","externalid":"A","route":"Day"},'
        b'{"requestid":"r2","action":"release","externalid":"B"}]}'
    )
    assert Invocation.of(None, (release,)).body.startswith(b'{"requests":[{"requestid":"r2"')


def test_the_limit_to_the_byte() -> None:
    """Two requests travel together if their body is just as long as allowed, and apart if it is one byte longer."""
    both = (request("r1", interaction("A")), request("r2", interaction("B")))
    size = len(Invocation.of("Crm", both).body)
    assert [len(invocation.requests) for invocation in pack(both, size)] == [2]
    assert [len(invocation.requests) for invocation in pack(both, size - 1)] == [1, 1]


def test_nothing_makes_no_invocation() -> None:
    """Without requests there is no call."""
    assert list(pack([], 100)) == []


@pytest.mark.parametrize("number", [2, 3, 7])
def test_halves(number: int) -> None:
    """Halves are never empty, keep the order, and hold everything."""
    whole = Invocation.of("Crm", tuple(request(f"r{n}", interaction(f"A{n}")) for n in range(number)))
    first, second = whole.halves()
    assert first.requests
    assert second.requests
    assert first.requests + second.requests == whole.requests
    assert {first.provider, second.provider} == {"Crm"}
