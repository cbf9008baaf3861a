"""What a person may do to a state by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from uuid import UUID

import pytest

from reconciler.errors import ReconcilerError
from reconciler.interaction import NO_FIELDS
from reconciler.state.model import Kind, State
from reconciler.state.repair import adopt, forget, new_lineage, rename, resolve
from tests.known import LINEAGE, POLICY, TARGET, failed, interaction, opened, pending, state

LATER: Final = "2026-01-02T12:00:00Z"
DAY: Final = interaction("A")
SMS: Final = interaction("once:sms")
RELEASE, DISPATCH = pending(DAY, Kind.RELEASE), pending(DAY, order=1)
BURN, TOLERANT = pending(DAY, Kind.BURN), pending(DAY, Kind.TOLERANT, 1)


# -- forget ------------------------------------------------------------------------------------------------------


def test_forget() -> None:
    """All traces of the addresses go, no others', and each is told that it may stay open."""
    known = state(
        interactions={"A": opened(DAY), "B": opened(interaction("B"))},
        pending={"p1": RELEASE._replace(unsent=True), "p2": pending(SMS)},
        failed={"f1": failed(DAY), "f2": failed(SMS)},
    )
    mended = forget(known, ["A", "B"])
    assert mended.state == state(serial=8, pending={"p2": pending(SMS)}, failed={"f2": failed(SMS)})
    assert [line.split(".")[0] for line in mended.said] == ["Forgot A", "Forgot B"]


@pytest.mark.parametrize(
    "known",
    [
        state(interactions={"A": opened(DAY)}),
        state(pending={"p": DISPATCH._replace(unsent=True)}),
        state(failed={"f": failed(DAY)}),
    ],
)
def test_forget_whatever_there_is(known: State) -> None:
    """An interaction can be forgotten whatever trace it has."""
    assert forget(known, ["A"]).state == state(serial=8)


def test_forget_refuses_the_unknown() -> None:
    """While an outcome is unknown, forgetting would lose what may be open; the hint is a command."""
    known = state(pending={"p1": pending(interaction("A; rm -rf"))})
    with pytest.raises(ReconcilerError, match="the outcome of a request is unknown") as error:
        forget(known, ["A; rm -rf"])
    assert error.value.command == ("state", "resolve", "--as", "applied", "A; rm -rf")


def test_forget_refuses_what_is_not_there() -> None:
    """A wrong address is an error, and nothing is forgotten."""
    with pytest.raises(ReconcilerError, match=r"^C is not in the state"):
        forget(state(interactions={"A": opened(DAY)}), ["A", "C"])


# -- rename ------------------------------------------------------------------------------------------------------


def test_rename() -> None:
    """A once gets its new name with all that is known of it; a failed dispatch under the old one is wanted no more."""
    known = state(interactions={"once:sms": opened(SMS)}, failed={"f1": failed(SMS), "f2": failed(DAY)})
    mended = rename(known, "once:sms", "once:text")
    assert mended.state == state(serial=8, interactions={"once:text": opened(SMS)}, failed={"f2": failed(DAY)})
    assert "in the declaration too" in mended.said[0]


@pytest.mark.parametrize(
    ("source", "destination", "why"),
    [
        ("A", "B", "only a once can be renamed"),
        ("once:sms", "B", "only a once can be renamed"),
        ("A", "once:sms", "only a once can be renamed"),
        ("once:sms", "once:open", "once:open is in the state already"),
        ("once:sms", "once:pending", "once:pending is in the state already"),
        ("once:sms", "once:failed", "once:failed is in the state already"),
        ("once:other", "once:text", "once:other is not in the state"),
        ("once:busy", "once:text", "once:busy: a request is pending"),
        ("once:sms", "once:", "once is empty"),
        ("once:sms", "once: text", "once ' text' starts or ends with white space"),
        ("once:sms", "once:a\x1bb", r"once 'a\\x1bb' holds a control or invisible character"),
    ],
)
def test_rename_refuses(source: str, destination: str, why: str) -> None:
    """What the API knows by name, what is there already, and what no declaration could hold, can't be renamed to."""
    known = state(
        interactions={name: opened(SMS) for name in ("once:sms", "once:open", "once:busy")} | {"A": opened(DAY)},
        pending={"p1": pending(interaction("once:pending")), "p2": pending(interaction("once:busy"))},
        failed={"f1": failed(interaction("once:failed"))},
    )
    with pytest.raises(ReconcilerError, match=why):
        rename(known, source, destination)


# -- resolve -----------------------------------------------------------------------------------------------------

RESOLVE = [
    pytest.param(
        state(pending={"p1": pending(SMS, held="no")}),
        True,
        state(interactions={"once:sms": opened(SMS, requestid="p1", at=LATER)}),
        id="a dispatch that was applied is open",
    ),
    pytest.param(
        state(pending={"p1": pending(SMS, held="no")}, failed={"f1": failed(SMS)}),
        False,
        state(failed={"f1": failed(SMS)}),
        id="a dispatch that was not applied is planned anew",
    ),
    pytest.param(
        state(interactions={"A": opened(DAY)}, pending={"p1": RELEASE, "p2": DISPATCH}),
        True,
        state(pending={"p2": DISPATCH}),
        id="a release that was applied leaves the rest of its chain",
    ),
    pytest.param(
        state(interactions={"A": opened(DAY)}, pending={"p1": RELEASE, "p2": DISPATCH, "q": pending(SMS)}),
        False,
        state(interactions={"A": opened(DAY)}, pending={"q": pending(SMS)}),
        id="a release that was not applied drops its whole chain",
    ),
    pytest.param(
        state(pending={"p1": BURN, "p2": TOLERANT}),
        True,
        state(pending={"p2": TOLERANT}),
        id="a burn that was applied leaves its tolerant release to be sent",
    ),
    pytest.param(
        state(pending={"p1": BURN, "p2": TOLERANT}),
        False,
        state(pending={"p1": BURN._replace(unsent=True, at=LATER), "p2": TOLERANT}),
        id="a burn that was not applied is sent, counted from now",
    ),
    pytest.param(
        state(pending={"p1": BURN._replace(unsent=True), "p2": TOLERANT}),
        False,
        state(pending={"p1": BURN._replace(unsent=True), "p2": TOLERANT._replace(unsent=True, at=LATER)}),
        id="a burn that was resolved is not asked about again",
    ),
    pytest.param(
        state(pending={"p1": TOLERANT, "p2": TOLERANT._replace(order=2), "p3": DISPATCH._replace(order=3)}),
        False,
        state(
            pending={
                "p1": TOLERANT._replace(unsent=True, at=LATER),
                "p2": TOLERANT._replace(order=2, unsent=True, at=LATER),
                "p3": DISPATCH._replace(order=3),
            }
        ),
        id="what is said of a tolerant release is said of its further tries",
    ),
    pytest.param(
        state(pending={"p1": TOLERANT._replace(order=0)}),
        True,
        state(),
        id="a tolerant release that was applied ends its chain",
    ),
    pytest.param(
        state(pending={"p1": DISPATCH._replace(order=0, unsent=True), "p2": DISPATCH._replace(order=1)}),
        True,
        state(
            pending={"p1": DISPATCH._replace(order=0, unsent=True)},
            interactions={"A": opened(DAY, requestid="p2", at=LATER)},
        ),
        id="what was certainly not sent is not asked about",
    ),
]


@pytest.mark.parametrize(("known", "applied", "after"), RESOLVE)
def test_resolve(known: State, after: State, *, applied: bool) -> None:
    """A person's word counts as the API's for the first request that is unknown."""
    address = next(iter(known.pending.values())).address
    assert resolve(known, [address], applied=applied, at=LATER).state == replace(after, serial=8)


DOUBTFUL, UNRELEASED = failed(DAY, resent=True), failed(DAY, "release", resent=True, attempts=2)
IN_DOUBT = [
    pytest.param(
        state(failed={"f1": DOUBTFUL._replace(prevent_release=True), "f2": failed(SMS)}),
        True,
        state(
            interactions={"A": opened(DAY, requestid="f1", at=LATER, fields=NO_FIELDS, prevent_release=True)},
            failed={"f2": failed(SMS)},
        ),
        id="a dispatch that was applied is open",
    ),
    pytest.param(
        state(failed={"f1": DOUBTFUL}, pending={"p1": DISPATCH._replace(unsent=True)}),
        False,
        state(failed={"f1": failed(DAY)}),
        id="a dispatch that was not applied has failed, and what was to follow its release is planned anew",
    ),
    pytest.param(
        state(interactions={"A": opened(DAY)}, failed={"f1": UNRELEASED}),
        True,
        state(),
        id="a release that was applied has closed what was open",
    ),
    pytest.param(
        state(interactions={"A": opened(DAY)}, failed={"f1": UNRELEASED}),
        False,
        state(interactions={"A": opened(DAY)}, failed={"f1": failed(DAY, "release", attempts=2)}),
        id="a release that was not applied has failed, and counts as a failure",
    ),
]


@pytest.mark.parametrize(("known", "applied", "after"), IN_DOUBT)
def test_resolve_what_failed_only_when_it_was_sent_again(known: State, after: State, *, applied: bool) -> None:
    """Whether the first copy was processed is for a person to say, once no request is pending that would settle it."""
    assert resolve(known, ["A"], applied=applied, at=LATER).state == replace(after, serial=8)


def test_resolve_says_what_is_left() -> None:
    """A chain may hold more that is unknown: the person is told, and by which kind."""
    known = state(interactions={"A": opened(DAY)}, pending={"p1": RELEASE, "p2": DISPATCH})
    assert resolve(known, ["A"], applied=True, at=LATER).said == (
        "A: the release p1 is taken as applied.",
        "A dispatch of A is still unknown: apply settles it, or holds it for you, as a plan says.",
    )
    assert resolve(known, ["A"], applied=False, at=LATER).said == ("A: the release p1 is taken as not applied.",)


@pytest.mark.parametrize(
    "known",
    [
        state(),
        state(interactions={"A": opened(DAY)}),
        state(pending={"p1": RELEASE._replace(unsent=True)}),
        state(pending={"p1": BURN._replace(unsent=True)}),
        state(failed={"f1": failed(DAY)}),
        state(failed={"f1": DOUBTFUL}, pending={"p1": TOLERANT._replace(unsent=True)}),
    ],
)
def test_resolve_refuses_where_nothing_is_unknown(known: State) -> None:
    """There is nothing to say about what is known."""
    with pytest.raises(ReconcilerError, match="nothing is unknown about it"):
        resolve(known, ["A"], applied=True, at=LATER)


def test_no_answer_leads_into_a_dead_end() -> None:
    """Whatever is said of each link, after as many answers as links nothing is unknown, and it can be forgotten."""
    links = {"p1": BURN, "p2": TOLERANT, "p3": pending(DAY, Kind.DISPATCH, 2)}
    for answers in range(8):
        known = state(pending=links)
        for link in range(3):
            if any(not entry.unsent for entry in known.pending.values()):
                known = resolve(known, ["A"], applied=bool(answers >> link & 1), at=LATER).state
        assert all(entry.unsent for entry in known.pending.values())
        if known.pending or known.interactions:
            assert not forget(known, ["A"]).state.pending


# -- adopt -------------------------------------------------------------------------------------------------------


def test_adopt() -> None:
    """What is declared is open from now on, as if its dispatch had succeeded, but under no requestid."""
    known = state(interactions={"B": opened(interaction("B"))}, failed={"f1": failed(DAY), "f2": failed(SMS)})
    mended = adopt(known, [DAY, interaction("B")], TARGET, POLICY.sensitive, LATER)
    new = opened(DAY, requestid="", at=LATER)
    assert mended.state == state(serial=8, interactions={**known.interactions, "A": new}, failed={"f2": failed(SMS)})
    assert [line.split(" (")[0] for line in mended.said] == ["Adopted A"]
    again = adopt(mended.state, [DAY], TARGET, POLICY.sensitive, LATER)
    assert again.state is mended.state


def test_adopt_stores_no_sensitive_value() -> None:
    """Of sensitive fields, the state holds as much as after a dispatch."""
    secret = interaction("A", linkeddata=[{"type": "clid", "value": "+44"}])
    adopted = adopt(state(), [secret], TARGET, POLICY.sensitive, LATER).state.interactions["A"]
    assert adopted == opened(secret, requestid="", at=LATER)
    assert b"+44" not in adopted.fields


@pytest.mark.parametrize(
    ("known", "command"),
    [
        (state(interactions={"A": opened(interaction("A", route="Night"))}), ("state", "show", "A")),
        (state(pending={"p": DISPATCH}), ("state", "resolve", "--as", "applied", "A")),
        (state(pending={"p": DISPATCH._replace(unsent=True)}), ("state", "show", "A")),
        (state(interactions={"A": opened(DAY)}, pending={"p": RELEASE}), ("state", "resolve", "--as", "applied", "A")),
        (state(failed={"f": failed(DAY, resent=True)}), ("state", "resolve", "--as", "applied", "A")),
    ],
)
def test_adopt_refuses_what_is_known_otherwise(known: State, command: tuple[str, ...]) -> None:
    """What is open with other content, pending, or in doubt isn't overwritten; then nothing is adopted."""
    with pytest.raises(ReconcilerError, match=r"^A: the state knows otherwise; nothing was adopted") as error:
        adopt(known, [DAY, SMS], TARGET, POLICY.sensitive, LATER)
    assert error.value.command == command


# -- new lineage -------------------------------------------------------------------------------------------------


def test_new_lineage() -> None:
    """Only lineage and serial change: requestids that are derived from them are met nowhere else."""
    known = state(interactions={"A": opened(DAY)}, pending={"p1": RELEASE}, failed={"f1": failed(SMS)})
    mended = new_lineage(known)
    assert mended.state == replace(known, lineage=mended.state.lineage, serial=8)
    assert UUID(mended.state.lineage) != UUID(LINEAGE)
    assert mended.state.lineage in mended.said[0]
    assert new_lineage(known).state.lineage != mended.state.lineage
