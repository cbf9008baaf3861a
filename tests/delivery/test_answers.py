"""What an answer of the API proves: the table of docs/reliability.md, row by row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.delivery.answers import (
    Accepted,
    Answer,
    NotProcessed,
    Refused,
    Rejected,
    Unknown,
    explain,
    read_answer,
    seconds,
)

NOW: Final = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
SENT: Final = frozenset({"r1", "r2"})
SAID: Final = b'{"message": "said\\n so"}'


def answer(status: int, body: bytes = b"", retry_after: str | None = None) -> Answer:
    """Return what an answer to an Invocation of r1 and r2 proves."""
    return read_answer(status, retry_after, body, SENT, NOW)


@pytest.mark.parametrize(
    ("body", "failed"),
    [
        (b"[]", set()),
        (b" [ ]\n", set()),
        (b'["r1"]', {"r1"}),
        (b'["r2","r1"]', {"r1", "r2"}),
    ],
)
def test_a_valid_200_settles_everything(body: bytes, failed: set[str]) -> None:
    """Those that are named failed, the rest succeeded."""
    assert answer(200, body) == Accepted(frozenset(failed))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b'["r1"', "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 2000, "not JSON"),
        (b"null", "not a list of requestids"),
        (b"{}", "not a list of requestids"),
        (b'"r1"', "not a list of requestids"),
        (b"0", "not a list of requestids"),
        (b'{"r1": 1}', "not a list of requestids"),
        (b"[null]", "not a list of requestids"),
        (b"[1]", "not a list of requestids"),
        (b'[["r1"]]', "not a list of requestids"),
        (b'["r1", "r1"]', "named a requestid twice"),
        (b'["r3"]', "named a requestid that was not sent"),
        (b'["r1", "r3"]', "named a requestid that was not sent"),
        (b'["R1"]', "named a requestid that was not sent"),
        (b'[""]', "named a requestid that was not sent"),
    ],
)
def test_any_other_200_proves_nothing(body: bytes, why: str) -> None:
    """An answer that can't be trusted leaves every outcome unknown, and says why."""
    found = answer(200, body)
    assert isinstance(found, Unknown)
    assert why in found.reason


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (100, Unknown("the API answered 100: said so", 7.0)),
        (201, Unknown("the API answered 201: said so", 7.0)),
        (202, Unknown("the API answered 202: said so", 7.0)),
        (204, Unknown("the API answered 204: said so", 7.0)),
        (206, Unknown("the API answered 206: said so", 7.0)),
        (299, Unknown("the API answered 299: said so", 7.0)),
        (301, Unknown("the API answered 301: said so", stop=True)),
        (302, Unknown("the API answered 302: said so", stop=True)),
        (304, Unknown("the API answered 304: said so", stop=True)),
        (400, Refused("the API answered 400: said so")),
        (401, Rejected("the API answered 401: said so; check that the token is valid, and of this region")),
        (403, Rejected("the API answered 403: said so; check the scope (interactions:write) and the region")),
        (404, Unknown("the API answered 404: said so; check the base URL", stop=True)),
        (405, Unknown("the API answered 405: said so", stop=True)),
        (406, Unknown("the API answered 406: said so", stop=True)),
        (408, Unknown("the API answered 408: said so", 7.0)),
        (409, Unknown("the API answered 409: said so", stop=True)),
        (413, Refused("the API answered 413: said so")),
        (415, Unknown("the API answered 415: said so", stop=True)),
        (417, Refused("the API answered 417: said so")),
        (429, NotProcessed("the API answered 429: said so", 7.0, throttled=True)),
        (451, Unknown("the API answered 451: said so", stop=True)),
        (499, Unknown("the API answered 499: said so", stop=True)),
        (500, Unknown("the API answered 500: said so", 7.0)),
        (502, Unknown("the API answered 502: said so", 7.0)),
        (503, Unknown("the API answered 503: said so", 7.0)),
        (504, Unknown("the API answered 504: said so", 7.0)),
        (599, Unknown("the API answered 599: said so", 7.0)),
        (600, Unknown("the API answered 600: said so", 7.0)),
    ],
)
def test_every_other_status(status: int, expected: Answer) -> None:
    """Each status proves what the table says, whatever its body."""
    assert answer(status, SAID, "7") == expected


@given(st.integers(201, 999), st.binary(max_size=30))
def test_only_a_200_settles(status: int, body: bytes) -> None:
    """No other status ever says that a request succeeded, even with the body of a success."""
    assert not isinstance(answer(status, body), Accepted)
    assert not isinstance(answer(status, b"[]"), Accepted)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "the API answered 400"),
        (b"<html>no</html>", "the API answered 400"),
        (b"[]", "the API answered 400"),
        (b"{}", "the API answered 400"),
        (b'{"message": ""}', "the API answered 400"),
        (b'{"message": null}', "the API answered 400"),
        (b'{"message": " a\\n\\tb "}', "the API answered 400: a b"),
        (b'{"error": "invalid_client"}', "the API answered 400: invalid_client"),
        (b'{"error": "x", "error_description": "wrong secret"}', "the API answered 400: wrong secret"),
        (b'{"message": {"code": 7}}', 'the API answered 400: {"code":7}'),
        (b'{"message": ["a", "b"]}', 'the API answered 400: ["a","b"]'),
        (b'{"message": ' + b"[" * 400 + b"]" * 400 + b"}", "the API answered 400"),
    ],
)
def test_the_apis_own_message(body: bytes, said: str) -> None:
    """Status and message make one line, whatever the API sends."""
    assert explain(400, body) == said


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, 0),
        ("0", 0),
        ("7", 7),
        ("9" * 400, 999_999_999),
        ("1e400", 0),
        (" 7 ", 7),
        ("0007", 7),
        ("9" * 40, 999_999_999),
        ("Fri, 02 Jan 2026 12:01:30 GMT", 90),
        ("Fri, 02 Jan 2026 13:01:30 +0100", 90),
        ("Fri, 02 Jan 2026 12:01:30 -0000", 90),
        ("Friday, 02-Jan-26 12:01:30 GMT", 90),
        ("Fri, 02 Jan 2026 11:59:59 GMT", 0),
        ("", 0),
        ("-7", 0),
        ("+7", 0),
        ("1.5", 0),
        ("1e3", 0),
        ("٧", 0),
        ("soon", 0),
        ("Fri, 99 Jan 2026 12:01:30 GMT", 0),
        ("Fri, 02 Jan 99999999999999999999 12:01:30 GMT", 0),
        ("Fri, 02 Jan 2026 12:01:30 +99999999999", 0),
    ],
)
def test_retry_after(header: str | None, wait: float) -> None:
    """Retry-After is seconds or a date; what is past or nonsense asks for nothing."""
    assert seconds(header, NOW) == wait
