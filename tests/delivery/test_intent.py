"""From a plan to what is saved and sent: requestids that a second machine would derive as well, and the bodies."""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from uuid import UUID, uuid5

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from reconciler.delivery.intent import Intent, intend
from reconciler.interaction import Interaction
from reconciler.planning.planner import plan
from reconciler.state.model import Kind, Outcome, Pending, Result, State
from reconciler.state.repair import resolve
from reconciler.state.transitions import fold
from tests.known import AT, LINEAGE, NOW, POLICY, TARGET, failed, interaction, opened, pending, state

DAY: Final = interaction("A", "Old", "Day", linkeddata=[{"type": "clid", "value": "+44"}])
NIGHT: Final = interaction("A", "New", "Night", prevent_release=True)


def intent_of(desired: list[Interaction], known: State) -> Intent:
    """Return the intent of bringing the state to what is desired."""
    made = plan(desired, known, POLICY, NOW, TARGET)
    return intend(made, {entry.address: entry for entry in desired}, known, AT, TARGET)


def test_requestids_are_derived_from_the_state() -> None:
    """A requestid is made of lineage, serial, action, address and digest, as it ever was."""
    (chain,) = intent_of([NIGHT], state(interactions={"A": opened(DAY)})).chains
    assert [request.requestid for request in chain] == [
        str(uuid5(UUID(LINEAGE), f"7:release:A:{DAY.digest}")),
        str(uuid5(UUID(LINEAGE), f"7:dispatch:A:{NIGHT.digest}")),
    ]


def test_another_serial_makes_other_requestids() -> None:
    """A later attempt at the same thing is a new request."""
    first = intent_of([DAY], state(serial=7)).chains[0][0]
    assert intent_of([DAY], state(serial=7)).chains[0][0] == first
    assert intent_of([DAY], state(serial=8)).chains[0][0].requestid != first.requestid


def test_bodies() -> None:
    """A release names the externalid alone, a dispatch is what is declared; each has its own provider."""
    (chain,) = intent_of([NIGHT], state(interactions={"A": opened(DAY)})).chains
    assert [(request.kind, request.provider, orjson.loads(request.body)) for request in chain] == [
        (Kind.RELEASE, "Old", {"action": "release", "externalid": "A"}),
        (Kind.DISPATCH, "New", {"action": "dispatch", "externalid": "A", "route": "Night"}),
    ]


def test_a_burn_is_a_release_under_the_dispatchs_requestid() -> None:
    """The requestid of the dispatch is taken by a release of its externalid, with its provider."""
    (chain,) = intent_of([NIGHT], state(pending={"p1": pending(DAY)})).chains
    burn, *tries, dispatch = chain
    assert (burn.requestid, burn.kind, burn.provider, burn.resend) == ("p1", Kind.BURN, "Old", True)
    assert {burn.body, *(each.body for each in tries)} == {b'{"action":"release","externalid":"A"}'}
    name = f"7:release:A:{DAY.digest}"
    assert [each.requestid for each in tries] == [
        str(uuid5(UUID(LINEAGE), f"{name}{number}")) for number in ("", ":2", ":3")
    ]
    assert len({request.requestid for request in chain}) == 5
    assert dispatch.kind is Kind.DISPATCH


def test_what_is_saved() -> None:
    """The intent holds what a later run must know of each request, no sensitive value, and its target."""
    known = state(target=None, interactions={"A": opened(DAY)})
    saved = intent_of([NIGHT], known).state
    (_, release), (_, dispatch) = saved.chains()["A"]
    assert (saved.serial, saved.target, saved.interactions) == (8, TARGET, known.interactions)
    assert release == pending(DAY, Kind.RELEASE)
    assert dispatch == pending(NIGHT, order=1)
    new = intent_of([DAY], state()).state.chains()["A"][0][1]
    assert orjson.loads(new.fields)["linkeddata"] == [{"type": "clid"}]


def test_a_plan_without_changes_leaves_everything() -> None:
    """What the plan doesn't touch stays as it is, a held request included."""
    known = state(
        interactions={"A": opened(DAY), "once:x": opened(interaction("once:x"))},
        pending={"p1": pending(interaction("once:held"), held="no")},
    )
    saved = intent_of([DAY, interaction("once:x"), interaction("once:held")], known)
    assert saved.chains == ()
    assert saved.state == state(serial=8, interactions=known.interactions, pending=known.pending)


# -- requestids never collide ------------------------------------------------------------------------------------

CONTENTS: Final = [DAY, NIGHT, interaction("A"), interaction("A", "New")]
KINDS: Final = st.sampled_from(list(Kind))
RESULTS: Final = st.sampled_from([None, *Result])


def chain(links: list[tuple[Interaction, Kind, bool]]) -> dict[str, Pending]:
    """Return a chain of one address, as whatever hands may have left it."""
    return {
        f"p{order}": pending(content, kind, order, unsent=unsent) for order, (content, kind, unsent) in enumerate(links)
    }


CHAINS: Final = st.lists(st.tuples(st.sampled_from(CONTENTS), KINDS, st.booleans()), max_size=5).map(chain)
FAILURES: Final = st.dictionaries(
    st.sampled_from(["f1", "f2"]),
    st.builds(failed, st.sampled_from(CONTENTS), st.sampled_from(["dispatch", "release"]), resent=st.booleans()),
)
OPENED: Final = st.dictionaries(st.just("A"), st.builds(opened, st.sampled_from(CONTENTS)))
STATES: Final = st.builds(state, interactions=OPENED, pending=CHAINS, failed=FAILURES)
RUNS: Final = st.tuples(st.one_of(st.none(), st.sampled_from(CONTENTS)), st.lists(RESULTS, max_size=5))
ANSWERS: Final = st.booleans()


def new_ids(desired: list[Interaction], known: State) -> list[str]:
    """Return the requestids of the new requests that an intent sends, once all that it sends were found distinct."""
    made = plan(desired, known, POLICY, NOW, TARGET)
    intent = intend(made, {entry.address: entry for entry in desired}, known, AT, TARGET)
    steps = [step for change in made.changes for step in change.steps]
    sent = [request.requestid for requests in intent.chains for request in requests]
    assert len(set(sent)) == len(sent)
    assert set(sent) <= intent.state.pending.keys()
    assert [step.requestid or requestid for step, requestid in zip(steps, sent, strict=True)] == sent
    return [requestid for step, requestid in zip(steps, sent, strict=True) if not step.requestid]


def used(known: State) -> set[str]:
    """Return every requestid that a state knows of."""
    earlier = {requestid for failure in known.failed.values() for requestid in failure.earlier}
    return {*known.pending, *known.failed, *earlier, *(entry.requestid for entry in known.interactions.values())}


def answered(known: State, results: list[Result | None]) -> State:
    """Return the state after what became of the links of each chain, up to the first whose outcome isn't known."""
    for requestid, result in zip(list(known.pending), results, strict=False):
        if requestid in known.pending and result:
            resent = known.pending[requestid].order % 2 == 0
            known = fold(known, [(Outcome(requestid, result, resent=resent), AT)])
    return known


@given(known=STATES, moves=st.lists(st.one_of(RUNS, RUNS, ANSWERS), min_size=1, max_size=8))
@example(  # resolved twice, then another route: two burns of one content, and one tolerant release that wasn't sent
    known=state(
        pending=chain(
            [
                (DAY, Kind.BURN, False),
                (DAY, Kind.TOLERANT, False),
                (NIGHT, Kind.BURN, True),
                (DAY, Kind.DISPATCH, False),
            ]
        )
    ),
    moves=[False, False, (NIGHT, [])],
)
def test_requests_of_one_state_never_share_a_requestid(
    known: State, moves: list[tuple[Interaction | None, list[Result | None]] | bool]
) -> None:
    """Whatever runs, edits and people did, a new request has its own id, and a second machine derives the same."""
    for move in moves:
        if not isinstance(move, bool):
            wanted, results = move
            desired = [wanted] if wanted else []
            new = new_ids(desired, known)
            assert used(known).isdisjoint(new)
            assert new_ids(desired, known) == new
            known = answered(intent_of(desired, known).state, results)
        elif any(not link.unsent for link in known.pending.values()):
            known = resolve(known, ["A"], applied=move, at=AT).state


@given(known=STATES, wanted=st.sampled_from(CONTENTS), place=st.sampled_from(["failed", "earlier", "open", "pending"]))
def test_an_id_that_the_state_knows_already_is_taken(known: State, wanted: Interaction, place: str) -> None:
    """A serial that was set back by hand derives ids that were used: they are left alone, wherever they stand."""
    for requestid in new_ids([wanted], known):
        known = {
            "failed": replace(known, failed={**known.failed, requestid: failed(interaction("B"))}),
            "earlier": replace(known, failed={**known.failed, "fb": failed(interaction("B"), earlier=(requestid,))}),
            "open": replace(known, interactions={**known.interactions, "A": opened(wanted, requestid=requestid)}),
            "pending": replace(known, pending={**known.pending, requestid: pending(interaction("once:b"), held="no")}),
        }[place]
    assert used(known).isdisjoint(new_ids([wanted, interaction("once:b")], known))
