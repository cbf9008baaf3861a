"""What is done next about an Invocation: the decision table."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.delivery.answers import Accepted, Answer, NotProcessed, Refused, Rejected, Unknown
from reconciler.delivery.batch import Invocation
from reconciler.delivery.retry import (
    BACKOFF_CAP,
    NO_REASON,
    Budget,
    GiveUp,
    Halve,
    History,
    Retry,
    RetryDecision,
    Settled,
    backoff,
    decide,
)
from reconciler.state.model import Kind, Outcome, Result
from tests.known import interaction, request

ONE: Final = Invocation.of("Crm", (request("r1", interaction("A")),))
TWO: Final = Invocation.of("Crm", (request("r1", interaction("A")), request("r2", interaction("B"))))
LONE_RELEASE: Final = Invocation.of("Crm", (request("r1", interaction("A"), Kind.RELEASE),))
LONE_TOLERANT: Final = Invocation.of("Crm", (request("r1", interaction("A"), Kind.TOLERANT),))
NEW, ONCE_UNKNOWN = History(1, 0, unknown=False), History(1, 0, unknown=True)
HALVED, HALVED_UNKNOWN = History(1, 0, unknown=False, halved=True), History(1, 0, unknown=True, halved=True)
SPENT, SPENT_UNKNOWN = History(5, 60, unknown=False), History(5, 60, unknown=True)
BUDGET: Final = Budget()
UNSENT: Final = (Outcome("r1", Result.UNSENT), Outcome("r2", Result.UNSENT))

TABLE: Final[list[tuple[str, Answer, Invocation, History, RetryDecision]]] = [
    (
        "a valid 200 settles: named ones failed, the rest succeeded",
        Accepted(frozenset({"r2"})),
        TWO,
        NEW,
        Settled((Outcome("r1", Result.SUCCEEDED), Outcome("r2", Result.FAILED, NO_REASON))),
    ),
    (
        "a valid 200 settles what was unknown, and says that it was resent",
        Accepted(frozenset({"r2"})),
        TWO,
        ONCE_UNKNOWN,
        Settled((Outcome("r1", Result.SUCCEEDED, resent=True), Outcome("r2", Result.FAILED, NO_REASON, resent=True))),
    ),
    (
        "a valid 200 settles at the last try, too",
        Accepted(frozenset()),
        ONE,
        SPENT,
        Settled((Outcome("r1", Result.SUCCEEDED),)),
    ),
    ("an unknown outcome is tried again", Unknown("lost"), TWO, ONCE_UNKNOWN, Retry(0.5, "lost")),
    ("unknown at the end of the budget: nothing is recorded", Unknown("lost"), TWO, SPENT_UNKNOWN, GiveUp((), "lost")),
    ("what was not processed is tried again", NotProcessed("busy"), TWO, NEW, Retry(0.5, "busy")),
    (
        "not processed at the end of the budget: unsent",
        NotProcessed("busy"),
        TWO,
        SPENT,
        GiveUp(UNSENT, "busy"),
    ),
    (
        "not processed at last, but once unknown: still unknown",
        NotProcessed("busy"),
        TWO,
        SPENT_UNKNOWN,
        GiveUp((), "busy"),
    ),
    ("Retry-After is honoured", NotProcessed("busy", 30.0), TWO, NEW, Retry(30.0, "busy")),
    ("Retry-After is honoured for unknown outcomes", Unknown("503", 30.0), TWO, ONCE_UNKNOWN, Retry(30.0, "503")),
    (
        "Retry-After beyond the budget ends it",
        NotProcessed("busy", 3600.0),
        TWO,
        NEW,
        GiveUp(UNSENT, "busy"),
    ),
    ("a refused Invocation is halved", Refused("413"), TWO, NEW, Halve()),
    ("a refused Invocation is halved though it was unknown once", Refused("413"), TWO, ONCE_UNKNOWN, Halve()),
    ("a refused Invocation is halved whatever the budget", Refused("413"), TWO, SPENT, Halve()),
    (
        "a single refused request has failed, for the reason given",
        Refused("400: no"),
        ONE,
        NEW,
        Settled((Outcome("r1", Result.FAILED, "400: no"),)),
    ),
    (
        "a single refused release has failed",
        Refused("400: no"),
        LONE_RELEASE,
        NEW,
        Settled((Outcome("r1", Result.FAILED, "400: no"),)),
    ),
    (
        "a single refused request that was unknown once stays pending",
        Refused("400: no"),
        ONE,
        ONCE_UNKNOWN,
        GiveUp((), "400: no"),
    ),
    (
        "a refused tolerant release was not looked at: what stands behind it must wait",
        Refused("400: no"),
        LONE_TOLERANT,
        NEW,
        GiveUp((Outcome("r1", Result.UNSENT),), "400: no"),
    ),
    (
        "a refused tolerant release of a larger body that was refused may have been looked at",
        Refused("400: no"),
        LONE_TOLERANT,
        HALVED,
        GiveUp((), "400: no"),
    ),
    (
        "a single refused request of a larger body that was refused has failed, and its retry may meet what it opened",
        Refused("400: no"),
        ONE,
        HALVED,
        Settled((Outcome("r1", Result.FAILED, "400: no", resent=True),)),
    ),
    (
        "a single refused request of a larger body stays pending if it was unknown once",
        Refused("400: no"),
        ONE,
        HALVED_UNKNOWN,
        GiveUp((), "400: no"),
    ),
    (
        "a valid 200 settles a half, and says that it was resent",
        Accepted(frozenset({"r2"})),
        TWO,
        HALVED,
        Settled((Outcome("r1", Result.SUCCEEDED, resent=True), Outcome("r2", Result.FAILED, NO_REASON, resent=True))),
    ),
    ("a rejection stops everything", Rejected("403"), TWO, NEW, GiveUp(UNSENT, "403", stop=True)),
    ("an unknown outcome may be a reason to stop", Unknown("404", stop=True), TWO, NEW, GiveUp((), "404", stop=True)),
    (
        "a rejection proves nothing about what was unknown once",
        Rejected("403"),
        TWO,
        ONCE_UNKNOWN,
        GiveUp((), "403", stop=True),
    ),
]


@pytest.mark.parametrize(
    ("answer", "invocation", "history", "decision"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_decision(answer: Answer, invocation: Invocation, history: History, decision: RetryDecision) -> None:
    """Each answer, given what was before it, leads to just this."""
    assert decide(answer, invocation, history, BUDGET, 0.5) == decision


ANSWERS = st.one_of(
    st.just(Accepted(frozenset({"r1"}))),
    st.builds(Unknown, st.just("x"), st.floats(0, 200), st.booleans()),
    st.builds(NotProcessed, st.just("x"), st.floats(0, 200), st.booleans()),
    st.just(Refused("x")),
    st.just(Rejected("x")),
)
HISTORIES = st.builds(History, st.integers(1, 9), st.floats(0, 300), unknown=st.booleans(), halved=st.booleans())
INVOCATIONS = st.sampled_from([ONE, TWO, LONE_RELEASE, LONE_TOLERANT])


@given(ANSWERS, INVOCATIONS, HISTORIES, st.floats(0, 1, exclude_max=True))
def test_what_may_have_been_processed_is_never_forgotten(
    answer: Answer, invocation: Invocation, history: History, jitter: float
) -> None:
    """No answer makes of it that it was not sent; only a valid 200, or its own refusal after a larger body's, settles.

    Whatever it is settled by, it counts as sent again.
    """
    history = history if history.in_doubt or not isinstance(answer, Unknown) else replace(history, unknown=True)
    match decide(answer, invocation, history, BUDGET, jitter):
        case Settled(outcomes):
            assert isinstance(answer, Accepted) or not history.unknown
            assert isinstance(answer, Accepted) or len(invocation.requests) == 1
            assert all(outcome.resent is history.in_doubt for outcome in outcomes)
        case GiveUp(outcomes):
            assert bool(outcomes) is not history.in_doubt


@given(ANSWERS, INVOCATIONS, HISTORIES, st.floats(0, 1, exclude_max=True))
def test_the_budget_is_kept(answer: Answer, invocation: Invocation, history: History, jitter: float) -> None:
    """Nothing is sent again after the last try, nor later than the budget's end."""
    decision = decide(answer, invocation, history, BUDGET, jitter)
    if isinstance(decision, Retry):
        assert history.tries < BUDGET.tries
        assert history.elapsed + decision.wait < BUDGET.seconds


@given(st.integers(1, 60), st.floats(0, 1, exclude_max=True))
def test_full_jitter(tries: int, jitter: float) -> None:
    """The wait is anywhere between nothing and a bound that doubles with each try, up to the cap."""
    bound = min(BACKOFF_CAP, 0.5 * 2**tries)
    assert 0 <= backoff(tries, jitter) < bound
    assert backoff(tries, 0.5) == bound / 2


def test_the_documented_budget() -> None:
    """Five tries or two minutes."""
    assert (BUDGET.tries, BUDGET.seconds) == (5, 120)
