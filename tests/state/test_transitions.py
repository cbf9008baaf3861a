"""What an outcome does to the state: every kind of request, every result."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from reconciler.errors import StateError
from reconciler.state.model import ApiAction, Failed, Kind, Outcome, Pending, Result, State
from reconciler.state.transitions import EARLIER_KEPT, fold
from tests.known import AT, failed, interaction, opened, pending, state

LATER: Final = "2026-01-02T12:00:00Z"
DAY: Final = interaction("A", "Crm", "Day")
NIGHT: Final = interaction("A", "Crm", "Night")
SMS: Final = interaction("once:sms", None, "Sms")
OPEN, DISPATCH, RELEASE = opened(DAY), pending(NIGHT), pending(DAY, Kind.RELEASE)
NEW: Final = opened(NIGHT, requestid="p1", at=LATER)
BURN, TOLERANT = pending(DAY, Kind.BURN), pending(DAY, Kind.TOLERANT)
DONE, FAILED, UNSENT = Result.SUCCEEDED, Result.FAILED, Result.UNSENT


def behind(link: Pending, order: int = 1) -> Pending:
    """Return the link at a later place of its chain."""
    return link._replace(order=order)


def failure(action: ApiAction, **more: Any) -> Failed:
    """Return what a request of these leaves when it fails."""
    return failed(
        NIGHT if action == "dispatch" else DAY, action, **{"first": LATER, "last": LATER, "reason": "", **more}
    )


TABLE = [
    pytest.param(
        state(pending={"p1": DISPATCH}),
        Outcome("p1", DONE),
        state(interactions={"A": NEW}),
        id="a dispatch that succeeded is open",
    ),
    pytest.param(
        state(pending={"p1": DISPATCH}),
        Outcome("p1", DONE, resent=True),
        state(interactions={"A": NEW._replace(settled=True)}),
        id="a resent dispatch that succeeded is open, and marked settled",
    ),
    pytest.param(
        state(pending={"p1": DISPATCH._replace(prevent_release=True)}, failed={"f1": failed(DAY), "f2": failed(SMS)}),
        Outcome("p1", DONE),
        state(interactions={"A": NEW._replace(prevent_release=True)}, failed={"f2": failed(SMS)}),
        id="a dispatch that succeeded ends its address's failures, and no other's",
    ),
    pytest.param(
        state(pending={"p1": DISPATCH}),
        Outcome("p1", FAILED, "no"),
        state(failed={"p1": failure("dispatch", reason="no")}),
        id="a dispatch that failed is a failure",
    ),
    pytest.param(
        state(pending={"p1": DISPATCH}),
        Outcome("p1", FAILED, "no", resent=True),
        state(failed={"p1": failure("dispatch", reason="no", resent=True)}),
        id="a resent dispatch that failed may be open all the same",
    ),
    pytest.param(
        state(pending={"p1": DISPATCH}, failed={"f2": failed(DAY, attempts=2, earlier=("f1",))}),
        Outcome("p1", FAILED),
        state(failed={"p1": failure("dispatch", attempts=3, first=AT, earlier=("f1", "f2"))}),
        id="a further failure counts on and keeps the requestids before it",
    ),
    pytest.param(
        state(pending={"p1": DISPATCH}),
        Outcome("p1", UNSENT),
        state(pending={"p1": DISPATCH._replace(unsent=True)}),
        id="an unsent request stays pending, marked",
    ),
    pytest.param(
        state(interactions={"A": OPEN}, pending={"p1": RELEASE}, failed={"f1": failed(DAY, "release")}),
        Outcome("p1", DONE),
        state(),
        id="a release that succeeded closes, and ends its failures",
    ),
    pytest.param(
        state(interactions={"A": OPEN}, pending={"p1": RELEASE, "p2": behind(DISPATCH)}),
        Outcome("p1", DONE),
        state(pending={"p2": behind(DISPATCH)}),
        id="after the release of a replace its dispatch is pending",
    ),
    pytest.param(
        state(interactions={"A": OPEN}, pending={"p1": RELEASE}),
        Outcome("p1", FAILED, "no"),
        state(interactions={"A": OPEN}, failed={"p1": failure("release", reason="no")}),
        id="a release that failed leaves open what was",
    ),
    pytest.param(
        state(interactions={"A": OPEN}, pending={"p1": RELEASE}),
        Outcome("p1", FAILED, resent=True),
        state(interactions={"A": OPEN}, failed={"p1": failure("release", resent=True)}),
        id="a resent release that failed may have closed it all the same",
    ),
    pytest.param(
        state(interactions={"A": OPEN}, pending={"p1": RELEASE}, failed={"f1": failed(DAY, "release", resent=True)}),
        Outcome("p1", FAILED),
        state(
            interactions={"A": OPEN},
            failed={"p1": failure("release", attempts=2, first=AT, earlier=("f1",), resent=True)},
        ),
        id="a further failure leaves in doubt what was",
    ),
    pytest.param(
        state(interactions={"A": OPEN}, pending={"p1": RELEASE, "p2": behind(DISPATCH)}),
        Outcome("p1", FAILED),
        state(interactions={"A": OPEN}, failed={"p1": failure("release")}),
        id="a release that failed drops the dispatch behind it",
    ),
    pytest.param(
        state(
            interactions={"A": OPEN},
            pending={"p1": RELEASE, "p2": behind(BURN), "p3": behind(TOLERANT, 2), "p4": behind(DISPATCH, 3)},
        ),
        Outcome("p1", FAILED),
        state(interactions={"A": OPEN}, failed={"p1": failure("release")}),
        id="a release that failed drops the whole chain behind it",
    ),
    pytest.param(
        state(pending={"p1": BURN, "p2": behind(TOLERANT)}),
        Outcome("p1", DONE),
        state(pending={"p2": behind(TOLERANT)}),
        id="a burn that succeeded leaves the rest of its chain",
    ),
    pytest.param(
        state(pending={"p1": BURN, "p2": behind(TOLERANT)}),
        Outcome("p1", FAILED),
        state(pending={"p2": behind(TOLERANT)}),
        id="a burn that failed is as good: its requestid is taken",
    ),
    pytest.param(
        state(pending={"p1": TOLERANT}, failed={"f1": failed(DAY, resent=True)}),
        Outcome("p1", DONE),
        state(),
        id="a tolerant release at the end of its chain ends the failures too",
    ),
    pytest.param(
        state(pending={"p1": TOLERANT}),
        Outcome("p1", FAILED),
        state(),
        id="a tolerant release that failed is as good as one that succeeded",
    ),
    pytest.param(
        state(pending={"p1": TOLERANT, "p2": behind(DISPATCH)}, failed={"f1": failed(DAY, resent=True)}),
        Outcome("p1", FAILED),
        state(pending={"p2": behind(DISPATCH)}, failed={"f1": failed(DAY)}),
        id="after a tolerant release nothing may be open any more",
    ),
    pytest.param(
        state(
            pending={"p1": TOLERANT, "p2": behind(TOLERANT), "p3": behind(DISPATCH, 2)},
            failed={"f1": failed(DAY, resent=True)},
        ),
        Outcome("p1", FAILED),
        state(
            pending={"p2": behind(TOLERANT), "p3": behind(DISPATCH, 2)},
            failed={"f1": failed(DAY, resent=True)},
        ),
        id="a try of a tolerant release that failed proves nothing while another stands behind it",
    ),
    pytest.param(
        state(
            pending={
                "p1": TOLERANT,
                "p3": behind(TOLERANT, 2),
                "p2": behind(TOLERANT),
                "p4": behind(BURN, 3),
                "p5": behind(TOLERANT, 4),
                "p6": behind(DISPATCH, 5),
            },
            failed={"f1": failed(DAY, resent=True)},
        ),
        Outcome("p1", DONE),
        state(
            pending={"p4": behind(BURN, 3), "p5": behind(TOLERANT, 4), "p6": behind(DISPATCH, 5)},
            failed={"f1": failed(DAY)},
        ),
        id="a try that succeeded drops those behind it, and no release for another dispatch",
    ),
    pytest.param(
        state(pending={"p1": TOLERANT, "p2": behind(DISPATCH)}),
        Outcome("p1", UNSENT),
        state(pending={"p1": TOLERANT._replace(unsent=True), "p2": behind(DISPATCH)}),
        id="an unsent tolerant release stays before its dispatch",
    ),
    pytest.param(
        state(pending={"p1": pending(SMS)}),
        Outcome("p1", FAILED, "no"),
        state(failed={"p1": failed(SMS, first=LATER, last=LATER)}),
        id="a once that failed is a failure like any other",
    ),
    pytest.param(
        state(pending={"p1": pending(SMS)}),
        Outcome("p1", FAILED, "no", resent=True),
        state(pending={"p1": pending(SMS, held="no")}),
        id="a once that failed only when it was sent again is held",
    ),
    pytest.param(
        state(pending={"p1": pending(SMS)}),
        Outcome("p1", FAILED, resent=True),
        state(pending={"p1": pending(SMS, held="answered as failed when it was sent again")}),
        id="a held once always says why",
    ),
]


@pytest.mark.parametrize(("before", "outcome", "after"), TABLE)
def test_outcome(before: State, outcome: Outcome, after: State) -> None:
    """The outcome makes just this of the state, and one serial more."""
    assert fold(before, [(outcome, LATER)]) == replace(after, serial=8)


def test_fold_leaves_the_state_that_it_was_given() -> None:
    """A state is never changed in place."""
    before = state(interactions={"A": OPEN}, pending={"p1": RELEASE, "p2": behind(DISPATCH)})
    fold(before, [(Outcome("p1", DONE), LATER), (Outcome("p2", DONE), LATER)])
    assert before == state(interactions={"A": OPEN}, pending={"p1": RELEASE, "p2": behind(DISPATCH)})


def test_many_outcomes_are_one_serial() -> None:
    """A serial counts saves, not outcomes."""
    before = state(interactions={"A": OPEN}, pending={"p1": RELEASE, "p2": behind(DISPATCH)})
    after = fold(before, [(Outcome("p1", DONE), LATER), (Outcome("p2", DONE), LATER)])
    assert after == state(serial=8, interactions={"A": NEW._replace(requestid="p2")})


def test_an_outcome_of_nothing_pending_is_an_error() -> None:
    """An outcome that belongs to no request proves that journal and state don't belong together."""
    with pytest.raises(StateError, match="p9, which is not pending"):
        fold(state(), [(Outcome("p9", DONE), LATER)])


def test_an_outcome_counts_once() -> None:
    """The second outcome of a request that is settled is an error."""
    with pytest.raises(StateError, match="not pending"):
        fold(state(pending={"p1": DISPATCH}), [(Outcome("p1", DONE), LATER), (Outcome("p1", FAILED), LATER)])


def test_earlier_requestids_are_limited() -> None:
    """Only the last ten requestids before a failed one are kept, oldest first."""
    now = state()
    for number in range(15):
        now = fold(replace(now, pending={f"p{number}": DISPATCH}), [(Outcome(f"p{number}", FAILED), LATER)])
    (last,) = now.failed.values()
    assert (last.attempts, last.earlier) == (15, tuple(f"p{number}" for number in range(4, 14)))
    assert len(last.earlier) == EARLIER_KEPT


def test_failures_of_release_and_dispatch_are_counted_apart() -> None:
    """A failed dispatch after a failed release of the same address is a first attempt."""
    before = state(pending={"p1": DISPATCH}, failed={"f2": failed(DAY, "release", attempts=2)})
    after = fold(before, [(Outcome("p1", FAILED), LATER)])
    assert {requestid: (entry.action, entry.attempts) for requestid, entry in after.failed.items()} == {
        "f2": ("release", 2),
        "p1": ("dispatch", 1),
    }


def test_chains_are_in_order() -> None:
    """The links of each address come in the order of their chain, however they are stored."""
    links = {"p3": behind(DISPATCH, 2), "p1": BURN, "q1": pending(SMS), "p2": behind(TOLERANT)}
    chains = state(pending=links).chains()
    assert {address: [requestid for requestid, _ in chain] for address, chain in chains.items()} == {
        "A": ["p1", "p2", "p3"],
        "once:sms": ["q1"],
    }


@pytest.mark.parametrize(
    ("link", "unknown"),
    [
        (DISPATCH, True),
        (DISPATCH._replace(unsent=True), False),
        (RELEASE._replace(unsent=True), False),
        (TOLERANT._replace(unsent=True), False),
        (BURN, True),
        (BURN._replace(unsent=True), True),
    ],
)
def test_what_is_unknown(link: Pending, unknown: bool) -> None:  # noqa: FBT001
    """Only what was certainly not processed is known; the id of a burn may have been taken by its dispatch."""
    assert link.unknown is unknown


def test_actions() -> None:
    """Each kind of request is carried by one of the API's two actions."""
    assert {kind.value: kind.action for kind in Kind} == {
        "dispatch": "dispatch",
        "release": "release",
        "burn": "release",
        "tolerant-release": "release",
    }
