"""The map from what HTTP does to what that proves is complete: every exception class of httpx, every status."""

from __future__ import annotations

import builtins
import json
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from unittest import mock

import httpcore
import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.delivery.answers import (
    Accepted,
    Answer,
    NotProcessed,
    Refused,
    Rejected,
    Unknown,
    read_answer,
    seconds,
)
from reconciler.delivery.batch import Invocation, Request
from reconciler.delivery.client import Client
from reconciler.delivery.connection import NEVER_SENT, read_exception
from reconciler.delivery.tokens import AccessToken, ClientCredentials, Credentials
from reconciler.state.model import Kind
from tests.known import DEFAULTS

ONE = Invocation.of(None, (Request("id-1", "A", Kind.DISPATCH, None, b'{"action":"dispatch","externalid":"A"}'),))
NOW = datetime(2026, 11, 23, tzinfo=UTC)

CLASSES: dict[str, type[Answer]] = {
    "HTTPError": Unknown,
    "RequestError": Unknown,
    "TransportError": Unknown,
    "TimeoutException": Unknown,
    "ConnectTimeout": NotProcessed,
    "ReadTimeout": Unknown,
    "WriteTimeout": Unknown,
    "PoolTimeout": NotProcessed,
    "NetworkError": Unknown,
    "ConnectError": NotProcessed,
    "ReadError": Unknown,
    "WriteError": Unknown,
    "CloseError": Unknown,
    "ProtocolError": Unknown,
    "LocalProtocolError": Unknown,
    "RemoteProtocolError": Unknown,
    "ProxyError": NotProcessed,
    "UnsupportedProtocol": NotProcessed,
    "DecodingError": Unknown,
    "TooManyRedirects": Unknown,
    "HTTPStatusError": Unknown,
    "InvalidURL": Unknown,
    "CookieConflict": Unknown,
    "StreamError": Unknown,
    "StreamConsumed": Unknown,
    "StreamClosed": Unknown,
    "ResponseNotRead": Unknown,
    "RequestNotRead": Unknown,
}
"""What each exception class of httpx proves when it ends the sending of a request."""

FOREIGN: list[Exception] = [
    OSError(5, "input/output error"),
    ConnectionResetError(104, "reset"),
    BrokenPipeError(32, "broken pipe"),
    TimeoutError("late"),
    ssl.SSLError(1, "wrong"),
    ssl.SSLEOFError(8, "cut"),
    ssl.SSLCertVerificationError(1, "untrusted"),
    UnicodeError("label too long"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    ValueError("wrong"),
    RuntimeError("wrong"),
    AssertionError("wrong"),
    MemoryError(),
    RecursionError("deep"),
    KeyError("wrong"),
    httpcore.ReadError("wrong"),
]
"""What isn't httpx's own: nothing of it says whether the request was sent."""


def descendants(cls: type[BaseException]) -> Iterator[type[BaseException]]:
    """Yield the class and all classes below it."""
    yield cls
    for below in cls.__subclasses__():
        yield from descendants(below)


def httpx_classes() -> dict[str, type[Exception]]:
    """Return every exception class that httpx defines, by name, its private ones included."""
    found = {cls for cls in descendants(Exception) if cls.__module__.split(".")[0] == "httpx"}
    public = {value for value in vars(httpx).values() if isinstance(value, type) and issubclass(value, Exception)}
    return {cls.__name__: cls for cls in found | public if issubclass(cls, Exception)}


def instance(cls: type[Exception]) -> Exception:
    """Return an exception of the class."""
    if issubclass(cls, httpx.HTTPStatusError):
        request = httpx.Request("POST", "https://api.test")
        return cls("wrong", request=request, response=httpx.Response(500, request=request))
    if issubclass(cls, (httpx.StreamConsumed, httpx.StreamClosed, httpx.ResponseNotRead, httpx.RequestNotRead)):
        return cls()
    return cls("wrong")


CREDENTIALS = (AccessToken("planted-token"), ClientCredentials("planted-id", "planted-secret"))


def send(side_effect: object, credentials: Credentials = CREDENTIALS[0]) -> Answer:
    """Send an Invocation through the real client, over a transport that raises or answers every call as said."""
    with (
        Client("http://127.0.0.1:9", "http://127.0.0.1:9/token", credentials, timeout=DEFAULTS.timeout) as client,
        mock.patch.object(httpx.HTTPTransport, "handle_request", side_effect=side_effect),
    ):
        return client.invoke(ONE)


class Arriving(httpx.SyncByteStream):
    """A body as it comes from the wire; breaks off with the exception, if there is one."""

    def __init__(self, body: bytes, error: Exception | None = None) -> None:
        self._body = body
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        """Yield it, then raise."""
        yield self._body
        if self._error:
            raise self._error


def test_every_class_of_httpx_is_classified() -> None:
    """A class that a later httpx brings fails here until somebody has decided what it proves."""
    assert httpx_classes().keys() == CLASSES.keys()


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_proves_what_is_said(name: str) -> None:
    """Raised while a request is sent, each class of httpx gives the answer that the table has for it."""
    answer = send(instance(httpx_classes()[name]))
    assert type(answer) is CLASSES[name]
    assert not isinstance(answer, NotProcessed) or not answer.throttled


@pytest.mark.parametrize("name", CLASSES)
def test_nothing_is_proved_once_an_answer_has_begun(name: str) -> None:
    """Raised while the answer's body is read, every class is unknown, those of failed connections included."""
    body = Arriving(b"[", instance(httpx_classes()[name]))
    assert type(send(lambda _request: httpx.Response(200, stream=body))) is Unknown


@pytest.mark.parametrize("error", FOREIGN, ids=lambda error: type(error).__name__)
def test_foreign_exceptions_are_unknown(error: Exception) -> None:
    """Whatever else is raised, sending or reading, is an answer and no crash: in doubt, unknown."""
    assert type(send(error)) is Unknown
    assert type(send(lambda _request: httpx.Response(200, stream=Arriving(b"[", error)))) is Unknown


@pytest.mark.parametrize("cls", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_the_process_is_not_swallowed(cls: type[BaseException]) -> None:
    """What is no Exception isn't an answer."""
    with pytest.raises(cls):
        send(cls())


def test_every_class_of_httpcore_arrives_as_one_of_httpx() -> None:
    """The layer below raises nothing that httpx passes on as it is, but what never leaves its pool."""
    below = {cls for cls in descendants(Exception) if cls.__module__.split(".")[0] == "httpcore"}
    for cls in below:
        with (
            Client("http://127.0.0.1:9", None, AccessToken("planted-token"), timeout=DEFAULTS.timeout) as client,
            mock.patch.object(httpcore.ConnectionPool, "handle_request", side_effect=cls("wrong")),
        ):
            expected = CLASSES.get(cls.__name__, Unknown)
            assert type(client.invoke(ONE)) is expected, cls


def test_connection_errors_of_the_system_prove_that_nothing_was_sent() -> None:
    """The layer below maps what the system says to connecting and TLS, by the stage at which it is raised."""
    for error in (ConnectionRefusedError(), ssl.SSLCertVerificationError(), OSError(113, "no route"), TimeoutError()):
        with (
            Client("https://127.0.0.1:9", None, AccessToken("planted-token"), timeout=DEFAULTS.timeout) as client,
            mock.patch("socket.create_connection", side_effect=error),
        ):
            assert type(client.invoke(ONE)) is NotProcessed, error


def test_builtin_errors_are_covered() -> None:
    """Every built-in exception class that has no arguments of its own reads as unknown."""
    for cls in vars(builtins).values():
        if isinstance(cls, type) and issubclass(cls, Exception) and not issubclass(cls, (UnicodeError, ExceptionGroup)):
            assert type(read_exception(cls("wrong"), "api.test")) is Unknown, cls


def test_what_proves_that_nothing_was_sent_is_a_closed_list() -> None:
    """The classes that prove something are these and no more; none of them has a class below it."""
    assert {name for name, kind in CLASSES.items() if kind is NotProcessed} == {cls.__name__ for cls in NEVER_SENT}
    assert all(not cls.__subclasses__() for cls in NEVER_SENT)


# -- statuses ----------------------------------------------------------------------------------------------------------


def expected(status: int) -> type[Answer]:
    """Return what a status proves, by the design's table."""
    if status == 200:
        return Accepted
    if status in {400, 413, 417}:
        return Refused
    if status == 429:
        return NotProcessed
    return Rejected if status in {401, 403} else Unknown


@pytest.mark.parametrize("hundred", range(1, 6))
def test_each_status_proves_what_is_said(hundred: int) -> None:
    """Every status from 100 to 599 gives the answer that the table has for its class or its name."""
    for status in range(hundred * 100, hundred * 100 + 100):
        for body in (b"[]", b"", b'{"message": "said"}', b"<html>", b"\xff"):
            answer = read_answer(status, None, body, {"id-1"}, NOW)
            kind = Unknown if status == 200 and body != b"[]" else expected(status)
            assert type(answer) is kind, (status, body)


@pytest.mark.parametrize(
    "status", [100, 101, 150, 199, 200, 204, 299, 302, 400, 401, 408, 413, 417, 429, 499, 500, 599]
)
def test_statuses_arrive_through_the_client(status: int) -> None:
    """The client passes a status and its body on as they came."""
    answer = send(lambda _request: httpx.Response(status, content=b"[]"))
    assert type(answer) is expected(status)


@pytest.mark.parametrize("location", ["https://elsewhere.test/", "http://[", "//", "javascript:0", "x" * 100_000])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_location_is_never_looked_at(status: int, location: str) -> None:
    """A redirect is a refusal, wherever it points, and whether that can be understood or not."""
    answer = send(lambda _request: httpx.Response(status, headers={"Location": location}))
    assert answer == Unknown(f"the API answered {status}", stop=True, status=status)


TOKEN_STATUSES = {408: NotProcessed, 429: NotProcessed}


def test_each_status_of_the_token_endpoint() -> None:
    """Without a token nothing was sent: not processed where trying again may help, else a refusal to work with us."""
    for status in range(200, 600):
        kind = NotProcessed if status >= 500 else TOKEN_STATUSES.get(status, Rejected)
        answer = send(lambda _request, status=status: httpx.Response(status, content=b"{}"), CREDENTIALS[1])
        assert type(answer) is kind, status


def nested(opening: bytes, closing: bytes) -> st.SearchStrategy[bytes]:
    """Return JSON that goes as deep as readers and writers differ about."""
    return st.integers(1, 3000).map(lambda depth: b'{"message":' + opening * depth + b"1" + closing * depth + b"}")


NUMBERS = st.sampled_from(["1e400", "-1e400", "9" * 400, "1e-400", "99999999999999999999", "NaN", "Infinity", "-0"])
BODIES = st.one_of(
    st.binary(max_size=60),
    nested(b"[", b"]"),
    nested(b'{"message":', b"}"),
    st.sampled_from(["message", "error", "error_description"]).flatmap(
        lambda key: (NUMBERS | st.sampled_from([r'"\ud800"', r'"\u2028\u0085\u0000\r\n\u001c"', '"\u202e\x7f"'])).map(
            lambda value: f'{{"{key}":{value}}}'.encode()
        )
    ),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers(-(2**63), 2**63) | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["message", "error", "x"]), inner),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")),
    st.text(max_size=20).flatmap(
        lambda text: st.sampled_from(["utf-16", "utf-32", "utf-7", "utf-8-sig"]).map(
            lambda encoding: json.dumps({"message": text}).encode(encoding)
        )
    ),
)
HEADERS = st.dictionaries(
    st.sampled_from([b"Retry-After", b"Content-Type", b"Content-Encoding", b"Set-Cookie", b"Location"]),
    st.binary(max_size=20) | NUMBERS.map(str.encode) | st.sampled_from([b"gzip", b"utf-16", b"text/html; charset=x"]),
).map(lambda headers: list(headers.items()))


def check_reason(answer: Answer) -> None:
    """Check that an answer says why in one line, where it has to."""
    reason = getattr(answer, "reason", "settled")
    assert reason
    assert reason.splitlines() == [" ".join(reason.split())]


@given(st.integers(100, 999), BODIES, st.none() | st.text(max_size=40))
def test_no_answer_is_a_crash(status: int, body: bytes, retry_after: str | None) -> None:
    """Any status with any body and any Retry-After is read, and its reason is one line."""
    check_reason(read_answer(status, retry_after, body, {"id-1"}, NOW))


@given(st.integers(100, 999), HEADERS, BODIES, st.sampled_from(CREDENTIALS))
@example(200, [], b'{"access_token": "planted-token"}', CREDENTIALS[1])
def test_no_answer_crashes_the_client(
    status: int, headers: list[tuple[bytes, bytes]], body: bytes, credentials: Credentials
) -> None:
    """Whatever token endpoint and API say, headers included, is an answer with its reason, and no exception."""
    check_reason(send(lambda _: httpx.Response(status, headers=headers, stream=Arriving(body)), credentials))


@given(st.lists(st.sampled_from(["id-1", "id-2", "id-3", 1, None]), max_size=4))
def test_only_distinct_sent_requestids_settle(named: list[object]) -> None:
    """A 200 settles exactly if it is a list of distinct requestids that were sent."""
    answer = read_answer(200, None, json.dumps(named).encode(), {"id-1", "id-2"}, NOW)
    valid = len(set(named)) == len(named) and set(named) <= {"id-1", "id-2"}
    assert (answer == Accepted(frozenset(map(str, named)))) is valid
    assert valid or type(answer) is Unknown


DATES = st.from_regex(
    r"\A(Mon, )?[0-9]{1,12} (Jan|Feb|Foo) [0-9]{1,12} [0-9]{1,4}:[0-9]{1,4}:[0-9]{1,4} [+-]?[0-9A-Z]{1,24}\Z"
)


@given(st.text(max_size=30) | DATES | st.integers().map(str) | st.floats().map(str))
def test_any_retry_after_is_some_seconds(text: str) -> None:
    """Whatever stands in Retry-After is a number of seconds, none at worst."""
    assert 0.0 <= seconds(text, NOW) < 1e12
