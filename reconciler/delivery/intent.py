"""From a plan to what must be saved before anything is sent, and to the requests themselves.

Pure. A requestid is derived from the state it starts from, so that a run which starts from the same state again
(the disk of the first one is gone) sends the same requestids, and the API processes each only once.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID, uuid5

from reconciler.delivery.batch import Request
from reconciler.interaction import NO_FIELDS, Interaction, release_body
from reconciler.planning.plan import Action, Change, Plan, Reason, Side, Step
from reconciler.state.model import Failed, Kind, Open, Pending, State, Target

_DISPATCH: Final = Kind.DISPATCH  # found faster so, for every step
_LOCAL: Final = frozenset({Action.FORGET, Action.REPLACE, Action.RECORD, Action.DRIFT})


@dataclass(frozen=True, slots=True)
class Intent:
    """The state to save before the first request, and each address's requests in the order of its chain."""

    state: State
    chains: tuple[tuple[Request, ...], ...]


def intend(plan: Plan, desired: Mapping[str, Interaction], state: State, at: str, target: Target) -> Intent:
    """Return the intent of a plan made from `desired` and `state`; `at` is the time (UTC, ISO 8601).

    Every change but a hold replaces what is pending for its address, and keeps the failures that it follows.
    """
    interactions, (pending, failed) = state.editable(), _left(plan, state)
    origin = _Origin(state, plan)
    chains = []
    for change in plan.changes:
        if change.action in _LOCAL:
            _settle_locally(change, interactions, failed)
        chain = []
        for order, step in enumerate(change.steps):
            request = _request(change, step, desired, origin)
            pending[request.requestid] = _link(change, step, order, state.pending.get(request.requestid), at)
            chain.append(request)
        if chain:
            chains.append(tuple(chain))
    begun = replace(
        state, serial=state.serial + 1, target=target, interactions=interactions, pending=pending, failed=failed
    )
    return Intent(begun, tuple(chains))


def _left(plan: Plan, state: State) -> tuple[dict[str, Pending], dict[str, Failed]]:
    """Return what is pending, and what has failed, that the plan leaves as it is."""
    if not state.pending and not state.failed:
        return {}, {}
    touched = {change.address for change in plan.changes if change.action is not Action.HOLD}
    kept = {requestid for change in plan.changes for requestid in change.follows}
    pending = {rid: link for rid, link in state.pending.items() if link.address not in touched}
    failed = {rid: failure for rid, failure in state.failed.items() if failure.address not in touched or rid in kept}
    return pending, failed


def _settle_locally(change: Change, interactions: MutableMapping[str, Open], failed: dict[str, Failed]) -> None:
    """Do what needs no request: forget, take a release as given up, record local facts."""
    if change.action is Action.FORGET or (change.action is Action.REPLACE and change.reason is Reason.GIVEN_UP):
        interactions.pop(change.address, None)
        for requestid in change.follows:
            failed.pop(requestid, None)
    elif change.action in {Action.RECORD, Action.DRIFT} and change.before and change.after:
        # What has drifted stays open as it is; only the facts about it are written.
        content = change.before if change.action is Action.DRIFT else change.after
        interactions[change.address] = interactions[change.address]._replace(
            source=change.after.source,
            fields=content.fields,
            prevent_release=change.after.prevent_release,
        )


def _request(change: Change, step: Step, desired: Mapping[str, Interaction], origin: _Origin) -> Request:
    requestid = step.requestid or origin.derive(step, change.address)
    body = desired[change.address].body if step.kind is _DISPATCH else release_body(change.address)
    return Request(requestid, change.address, step.kind, step.provider, body, step.resend)


class _Origin:
    """The state that new requests start from, from which their requestids are derived.

    One that would meet an id which this state knows already, or which this plan has given to another request (hands
    may have left two alike in a chain), is numbered besides: a machine that starts from the same state numbers alike.
    """

    def __init__(self, state: State, plan: Plan) -> None:
        self._lineage, self._serial = UUID(state.lineage), state.serial
        self._taken = {*state.pending, *state.failed}
        self._taken.update(*(failure.earlier for failure in state.failed.values()))
        self._taken.update(
            state.interactions[change.address].requestid
            for change in plan.changes
            if change.address in state.interactions
        )

    def derive(self, step: Step, address: str) -> str:
        """Return the requestid of a new request: `uuid5(lineage, "{serial}:{action}:{address}:{digest}")`."""
        name = f"{self._serial}:{step.kind.action}:{address}:{step.digest}"
        requestid, number = str(uuid5(self._lineage, name)), 1
        while requestid in self._taken:
            number += 1
            requestid = str(uuid5(self._lineage, f"{name}:{number}"))
        self._taken.add(requestid)
        return requestid


def _link(change: Change, step: Step, order: int, known: Pending | None, at: str) -> Pending:
    """Return the link to save; a resend keeps the time of its first intent, for the API's memory starts there."""
    dispatches = step.kind is _DISPATCH
    side = (change.after if dispatches else change.before) or change.after or Side(step.provider, step.digest, "")
    return Pending(
        address=change.address,
        order=order,
        kind=step.kind,
        provider=step.provider,
        digest=step.digest,
        at=known.at if known and step.resend else at,
        source=side.source,
        fields=side.fields if dispatches else NO_FIELDS,
        prevent_release=side.prevent_release,
    )
