"""From a plan to what is saved and sent: requestids that a second machine would derive as well, and the bodies."""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from uuid import UUID, uuid5

import orjson
import pytest

from reconciler.delivery.intent import Intent, intend
from reconciler.errors import ReconcilerError
from reconciler.interaction import Interaction
from reconciler.planning.plan import Step
from reconciler.planning.planner import Policy, plan
from reconciler.state.model import Kind, State
from tests.known import AT, LINEAGE, NOW, TARGET, interaction, opened, pending, state

DAY: Final = interaction("A", "Old", "Day", linkeddata=[{"type": "clid", "value": "+44"}])
NIGHT: Final = interaction("A", "New", "Night", prevent_release=True)


def intent_of(desired: list[Interaction], known: State) -> Intent:
    """Return the intent of bringing the state to what is desired."""
    made = plan(desired, known, Policy(), NOW, TARGET)
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
    burn, tolerant, dispatch = chain
    assert (burn.requestid, burn.kind, burn.provider, burn.resend) == ("p1", Kind.BURN, "Old", True)
    assert burn.body == tolerant.body == b'{"action":"release","externalid":"A"}'
    assert len({burn.requestid, tolerant.requestid, dispatch.requestid}) == 3


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


def test_two_requests_never_share_a_requestid() -> None:
    """A plan that would do so is refused before anything is saved."""
    made = plan([DAY], state(), Policy(), NOW, TARGET)
    (change,) = made.changes
    twice = Step(Kind.DISPATCH, "Old", DAY.digest)
    broken = replace(made, changes=(replace(change, steps=(twice, twice)),))
    with pytest.raises(ReconcilerError, match="would share the requestid"):
        intend(broken, {"A": DAY}, state(), AT, TARGET)
