"""The fault language and how faults wait for their calls."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from reconciler.errors import ExitCode, UsageError
from reconciler.sandbox.call import INVOKE_PATH, TOKEN_PATH, Call, read_call
from reconciler.sandbox.effects import Drop, Effect, Fail, Late, Status
from reconciler.sandbox.faults import Faults, parse


def invoke(*requests: dict[str, Any]) -> Call:
    """Return an invoke call with these requests."""
    return read_call("POST", INVOKE_PATH, {}, orjson.dumps({"requests": requests}))


def token() -> Call:
    """Return a token call."""
    return read_call("POST", TOKEN_PATH, {}, b"")


def effects(faults: Faults, *calls: Call) -> list[str | None]:
    """Return what happens to each call in turn."""
    return [fault.text if (fault := faults.take(call)) else None for call in calls]


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("fail", Fail()),
        ("status=503", Status(503)),
        ("status=429 retry-after=1 message='slow down; please'", Status(429, "slow down; please", "1")),
        ("status-after=500", Status(500, processed=True)),
        ("drop=before", Drop(processed=False)),
        ("drop=after how=close", Drop(processed=True, reset=False)),
        ("late=1.5", Late(1.5, processed=True)),
        ("late=2 processed=no", Late(2, processed=False)),
        ("hang", Late(None, processed=False)),
    ],
)
def test_each_effect_is_read(text: str, effect: Effect) -> None:
    """Every effect of the language is read as its value, and shown as it was written."""
    (fault,) = parse(f"{text} nth=2 externalid=A")
    assert (fault.effect, fault.text) == (effect, text)
    assert (fault.path, fault.values, fault.nth, fault.times) == ("invoke", {"externalid": "A"}, 2, 1)


def test_several_faults_in_one_text() -> None:
    """Lines and semicolons separate faults; comments and empty lines are nothing."""
    text = "# first\n\nfail externalid='a b' ; drop=after;hang\n  # more\nstatus=503 message='x;y' times=always\n"
    assert [(fault.text, dict(fault.values), fault.times) for fault in parse(text)] == [
        ("fail", {"externalid": "a b"}, 1),
        ("drop=after", {}, 1),
        ("hang", {}, 1),
        ("status=503 message='x;y'", {}, None),
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
        ("status=503 retry-after=soon", "retry-after=soon is not whole seconds"),
        ("hang=3", "'hang' takes no value"),
        ("drop=later", "drop=later is none of after, before"),
        ("late=-1", "late must be seconds, not '-1'"),
        ("late=inf", "late must be seconds, not 'inf'"),
        ("fail times=0", "times must be a whole number from 1, not '0'"),
        ("fail nth=x", "nth must be a whole number from 1, not 'x'"),
        ("fail times", "'times' needs a value: times=…"),
        ("fail nth=1 nth=2", "'nth' is given twice"),
        ("fail processed=no", "'processed' is no option of 'fail'"),
        ("hang processed=maybe", "processed=maybe is none of yes, no"),
        ("hang path=x", "path=x is none of any, invoke, token, other"),
        ("hang action=x", "action=x is none of dispatch, release"),
        ("hang path=token externalid=A", "'externalid' is for path=invoke only"),
        ("fail externalid='A", "No closing quotation"),
    ],
)
def test_mistakes_are_explained(text: str, message: str) -> None:
    """A text that is not in the language is a usage error that shows the fault and says what is wrong."""
    faults = Faults()
    with pytest.raises(UsageError) as caught:
        faults.add("hang", f"hang\n{text}")
    assert message in str(caught.value)
    assert text.split("=", maxsplit=1)[0] in str(caught.value)
    assert caught.value.exit_code is ExitCode.USAGE
    assert faults.waiting == 0


def test_times_and_nth_count_matching_calls() -> None:
    """A fault is applied from its nth matching call on, so many times; other calls don't count."""
    faults = Faults("status=500 nth=2 times=2")
    hit = "status=500"
    assert effects(faults, invoke(), token(), invoke(), invoke(), invoke()) == [None, None, hit, hit, None]
    assert faults.waiting == 0


def test_always_stays() -> None:
    """`times=always` stays until it is cleared."""
    faults = Faults("hang times=always")
    assert effects(faults, *[invoke()] * 3) == ["hang"] * 3
    faults.clear()
    assert effects(faults, invoke()) == [None]


def test_first_added_wins_and_others_wait() -> None:
    """Of two faults for one call the first is applied; each is for invoke calls unless it says token or any."""
    faults = Faults("status=500; status=501 path=token; status=502 path=any times=2", "drop=after")
    assert effects(faults, token(), token(), invoke(), invoke(), invoke()) == [
        "status=501",
        "status=502",
        "status=500",
        "status=502",
        "drop=after",
    ]


def test_contained_requests_match() -> None:
    """A call matches if one of its requests has all the given values."""
    faults = Faults("hang externalid=A action=release")
    mixed = invoke({"externalid": "A", "route": "R"}, {"externalid": "B", "action": "release"})
    assert effects(faults, mixed, invoke({"externalid": "A", "action": "release"})) == [None, "hang"]


def test_failures_concern_requests() -> None:
    """`fail` picks requests by externalid, or by route for those without one, and counts them, not calls."""
    faults = Faults("fail externalid=A times=2; fail route=SMS nth=2")
    a, sms = invoke({"externalid": "A"}).requests[0], invoke({"route": "SMS"}).requests[0]
    assert [faults.fails(request) for request in (a, sms, a, a, sms, sms)] == [True, False, True, False, True, False]
    assert faults.take(invoke({"externalid": "A"})) is None
