"""The fault language and how faults wait for their calls."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import ExitCode, UsageError
from reconciler.sandbox.answer import Answer
from reconciler.sandbox.config import INVOKE_PATH, TOKEN_PATH
from reconciler.sandbox.effects import (
    FOREIGN_ID,
    CallEffect,
    Drop,
    Effect,
    ExpireToken,
    Fail,
    Hang,
    Late,
    LateCopy,
    Redirect,
    SlowBody,
    Spoil,
    Status,
    replaced,
    retry_after_header,
    spoilt,
)
from reconciler.sandbox.faults import Fault, Faults, Match, parse
from reconciler.sandbox.record import Arriving, Call, Record


def invoke(*requests: dict[str, Any]) -> Call:
    """Return an invoke call with these requests."""
    return Record().add_call(Arriving("POST", INVOKE_PATH, {}, orjson.dumps({"requests": requests})), 0)


def token() -> Call:
    """Return a token call."""
    return Record().add_call(Arriving("POST", TOKEN_PATH, {}, b""), 0)


def effects(faults: Faults, *calls: Call) -> list[CallEffect | None]:
    """Return what happens to each call in turn."""
    return [faults.take(call) for call in calls]


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("fail", Fail()),
        ("status=503", Status(503)),
        ("status=503 retry-after=1", Status(503, retry_after="1")),
        ("status=429 retry-after=date+2 message='slow down; please'", Status(429, "slow down; please", "date+2")),
        ("status-after=500", Status(500, processed=True)),
        ("drop=before", Drop("before")),
        ("drop=after how=close", Drop("after", "close")),
        ("late-copy", LateCopy()),
        ("late-copy how=close", LateCopy("close")),
        ("late=1.5", Late(1.5)),
        ("late=2 processed=no", Late(2, processed=False)),
        ("hang", Hang()),
        ("hang processed=yes", Hang(processed=True)),
        ("garbage", Spoil("garbage")),
        ("not-array processed=no", Spoil("not-array", processed=False)),
        ("foreign-id", Spoil("foreign-id")),
        ("duplicate-id", Spoil("duplicate-id")),
        ("no-content", Spoil("no-content")),
        ("truncated", Spoil("truncated")),
        ("slow-body=0.5", SlowBody(0.5)),
        ("redirect='https://elsewhere.invalid/;#x'", Redirect("https://elsewhere.invalid/;#x")),
        ("expire-token", ExpireToken()),
    ],
)
def test_each_effect_is_read_and_written(text: str, effect: Effect) -> None:
    """Every effect of the language is read as its value, and written as the same text."""
    assert parse(text) == (Fault(effect),)
    assert str(Fault(effect)) == text


def test_matchers_are_read() -> None:
    """Matchers and the count stand in any order."""
    (fault,) = parse("status=500 times=always nth=3")
    assert fault == Fault(Status(500), Match(nth=3), None)
    (fault,) = parse("fail route=SendSMS action=dispatch externalid=A requestid=1 times=2")
    assert fault == Fault(Fail(), Match(action="dispatch", externalid="A", requestid="1", route="SendSMS"), 2)
    assert parse("drop=after path=token") == (Fault(Drop("after"), Match(path="token")),)


def test_several_faults_in_one_text() -> None:
    """Lines and semicolons separate faults; comments and empty lines are nothing."""
    text = "# first\n\nfail externalid='a b' ; drop=after;hang\n  # more\nstatus=503 message='x;y'\n"
    assert [str(fault) for fault in parse(text)] == [
        "fail externalid='a b'",
        "drop=after",
        "hang",
        "status=503 message='x;y'",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fial", "fault 'fial': 'fial' is not a fault; did you mean 'fail'?"),
        ("xyzzy", "'xyzzy' is not a fault"),
        ("status", "'status' needs a value: status=…"),
        ("status=", "'status' needs a value: status=…"),
        ("status=abc", "the status must be a whole number from 1, not 'abc'"),
        ("status=100", "the status must be from 200 to 599, not 100"),
        ("status=503 retry-after=soon", "retry-after=soon is neither seconds, date[+S] nor raw:TEXT"),
        ("hang=3", "'hang' takes no value"),
        ("drop=later", "drop=later is none of before, after"),
        ("late=-1", "late must be seconds, not '-1'"),
        ("late=x", "late must be seconds, not 'x'"),
        ("late=inf", "late must be seconds, not 'inf'"),
        ("fail times=0", "times must be a whole number from 1, not '0'"),
        ("fail nth=x", "nth must be a whole number from 1, not 'x'"),
        ("fail times", "'times' needs a value: times=…"),
        ("fail nth=1 nth=2", "'nth' is given twice"),
        ("fail processed=no", "'processed' is no option of 'fail'"),
        ("garbage processed=maybe", "processed=maybe is none of yes, no"),
        ("hang path=x", "path=x is none of invoke, token, any"),
        ("hang action=x", "action=x is none of dispatch, release"),
        ("hang path=token externalid=A", "'externalid' is for path=invoke only"),
        ("fail path=token", "'fail' is for path=invoke only"),
        ("fail externalid='A", "No closing quotation"),
    ],
)
def test_mistakes_are_explained(text: str, message: str) -> None:
    """A text that is not in the language is a usage error that shows the fault and says what is wrong."""
    with pytest.raises(UsageError) as caught:
        parse(f"hang\n{text}")
    assert message in str(caught.value)
    assert text.split("=", maxsplit=1)[0] in str(caught.value)
    assert caught.value.exit_code is ExitCode.USAGE


WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["Cc"]), min_size=1)
EFFECTS: st.SearchStrategy[Effect] = st.one_of(
    st.builds(Status, st.integers(200, 599), st.none() | WORDS, st.sampled_from([None, "1", "date+2"]), st.booleans()),
    st.builds(Late, st.floats(0, 1e9), st.booleans()),
    st.builds(Drop, st.sampled_from(["before", "after"]), st.sampled_from(["reset", "close"])),
    st.builds(Redirect, WORDS),
)
MATCHES = st.builds(Match, externalid=st.none() | WORDS, route=st.none() | WORDS, nth=st.integers(1, 99))


@given(st.lists(st.builds(Fault, EFFECTS, MATCHES, st.none() | st.integers(1, 99)), max_size=3))
def test_text_round_trips(faults: list[Fault]) -> None:
    """The text of any faults is read as those faults."""
    assert parse("\n".join(str(fault) for fault in faults)) == tuple(faults)


def test_times_and_nth_count_matching_calls() -> None:
    """A fault is applied from its nth matching call on, so many times; other calls don't count."""
    faults = Faults()
    faults.add("status=500 nth=2 times=2")
    hit = Status(500)
    assert effects(faults, invoke(), token(), invoke(), invoke(), invoke()) == [None, None, hit, hit, None]
    assert faults.waiting == ()


def test_always_stays() -> None:
    """`times=always` stays until it is cleared."""
    faults = Faults()
    faults.add("hang times=always")
    assert effects(faults, *[invoke()] * 3) == [Hang()] * 3
    faults.clear()
    assert effects(faults, invoke()) == [None]


def test_paths() -> None:
    """A fault is for invoke calls unless it says token or any."""
    faults = Faults()
    faults.add("status=500; status=501 path=token; status=502 path=any times=2")
    assert effects(faults, token(), token(), invoke(), invoke()) == [Status(501), Status(502), Status(500), Status(502)]


def test_contained_requests_match() -> None:
    """A call matches if one of its requests has all the given values."""
    faults = Faults()
    faults.add("hang externalid=A action=release")
    mixed = invoke({"externalid": "A", "route": "R"}, {"externalid": "B", "action": "release"})
    assert effects(faults, mixed, invoke({"externalid": "A", "action": "release"})) == [None, Hang()]


def test_first_added_wins_and_others_wait() -> None:
    """Of two faults for one call the first is applied; the second is applied to the next call."""
    faults = Faults()
    faults.add("status=500", Fault(Drop("after")))
    assert effects(faults, invoke(), invoke(), invoke()) == [Status(500), Drop("after"), None]


def test_failures_concern_requests() -> None:
    """`fail` picks requests by externalid, or by route for those without one, and counts them."""
    faults = Faults()
    faults.add("fail externalid=A times=2; fail route=SMS nth=2")
    a, sms = invoke({"externalid": "A"}).requests[0], invoke({"route": "SMS"}).requests[0]
    assert [faults.take_failure(request) for request in (a, sms, a, a, sms, sms)] == [
        True,
        False,
        True,
        False,
        True,
        False,
    ]
    assert faults.take(invoke({"externalid": "A"})) is None


def test_nothing_is_added_of_a_wrong_text() -> None:
    """If one fault of several is wrong, none is added."""
    faults = Faults()
    with pytest.raises(UsageError):
        faults.add("hang", "nonsense")
    assert faults.waiting == ()


def test_many_failures_are_looked_up_by_externalid() -> None:
    """Thousands of failures, one an externalid, each hit their own request."""
    faults = Faults()
    assert faults.add(*(Fault(Fail(), Match(externalid=f"X{n}")) for n in range(5000))) == 5000
    requests = invoke(*({"externalid": f"X{n}"} for n in range(5001))).requests
    assert [faults.take_failure(request) for request in requests] == [True] * 5000 + [False]


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("3", "3"),
        ("date", "Thu, 01 Jan 1970 00:01:40 GMT"),
        ("date+2", "Thu, 01 Jan 1970 00:01:42 GMT"),
        ("date-2", "Thu, 01 Jan 1970 00:01:38 GMT"),
        ("raw:soon", "soon"),
    ],
)
def test_retry_after_header(text: str, header: str) -> None:
    """`Retry-After` is seconds, a date relative to now, or any text."""
    assert retry_after_header(text, 100) == header


def test_spoilt_answers() -> None:
    """Each spoilt answer is what its name says, whatever really failed."""
    call = invoke({"requestid": "1"}, {"requestid": "2"})
    true = Answer(200, b'["2"]')
    assert orjson.loads(spoilt(Spoil("foreign-id"), call, true).body) == ["2", FOREIGN_ID]
    assert orjson.loads(spoilt(Spoil("duplicate-id"), call, true).body) == ["2", "2"]
    assert orjson.loads(spoilt(Spoil("duplicate-id"), call, Answer(200, b"[]")).body) == ["1", "1"]
    assert orjson.loads(spoilt(Spoil("duplicate-id"), call, None).body) == ["1", "1"]
    assert orjson.loads(spoilt(Spoil("not-array"), call, true).body) == {"x": 1}
    assert spoilt(Spoil("truncated"), call, true) == Answer(200, b'["2"]', missing=16)
    assert spoilt(Spoil("no-content"), call, true) == Answer(204)
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(spoilt(Spoil("garbage"), call, true).body)


def test_slow_body_is_the_same_json() -> None:
    """A slow body is padded with spaces, so that it can be trickled and still reads the same."""
    answer = replaced(SlowBody(2), invoke(), Answer(200, b'["1"]'), 0)
    assert isinstance(answer, Answer)
    assert (orjson.loads(answer.body), len(answer.body), answer.spread) == (["1"], 21, 2)
