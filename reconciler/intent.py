"""From a plan to what must be saved before anything is sent, and to the requests themselves.

Pure. A requestid is derived from the state it starts from, so that a run which starts from the same state again
(the disk of the first one is gone) sends the same requestids, and the API processes each only once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from uuid import UUID, uuid5

from reconciler.batch import Request
from reconciler.errors import ReconcilerError
from reconciler.model import NO_FIELDS, Interaction, release_body
from reconciler.plan import Action, Change, Plan, Reason, Side, Step
from reconciler.state import Failed, Kind, Open, Pending, State, Target


@dataclass(frozen=True, slots=True)
class Intent:
    """The state to save before the first request, and each address's requests in the order of its chain."""

    state: State
    chains: tuple[tuple[Request, ...], ...]


def intend(plan: Plan, desired: Mapping[str, Interaction], state: State, at: str, target: Target) -> Intent:
    """Return the intent of a plan made from `desired` and `state`; `at` is the time (UTC, ISO 8601).

    Every change but a hold replaces what is pending for its address, and keeps the failures that it follows.
    """
    interactions, pending = dict(state.interactions), dict(state.pending)
    touched = {change.address for change in plan.changes if change.action is not Action.HOLD}
    kept = {requestid for change in plan.changes for requestid in change.follows}
    for requestid in [rid for rid, link in pending.items() if link.address in touched]:
        del pending[requestid]
    failed = {rid: failure for rid, failure in state.failed.items() if failure.address not in touched or rid in kept}
    chains = []
    for change in plan.changes:
        _settle_locally(change, interactions, failed)
        chain = tuple(_request(change, step, desired, state) for step in change.steps)
        for order, (step, request) in enumerate(zip(change.steps, chain, strict=True)):
            if request.requestid in pending:
                raise ReconcilerError(f"two requests of {change.address} would share the requestid {request.requestid}")
            pending[request.requestid] = _link(change, step, order, state.pending.get(request.requestid), at)
        if chain:
            chains.append(chain)
    begun = replace(
        state, serial=state.serial + 1, target=target, interactions=interactions, pending=pending, failed=failed
    )
    return Intent(begun, tuple(chains))


def _settle_locally(change: Change, interactions: dict[str, Open], failed: dict[str, Failed]) -> None:
    """Do what needs no request: forget, take a release as given up, record local facts."""
    if change.action is Action.FORGET or (change.action is Action.REPLACE and change.reason is Reason.GIVEN_UP):
        interactions.pop(change.address, None)
        for requestid in change.follows:
            failed.pop(requestid, None)
    elif change.action in {Action.RECORD, Action.DRIFT} and change.before and change.after:
        # What has drifted stays open as it is; only the facts about it are written.
        content = change.before if change.action is Action.DRIFT else change.after
        interactions[change.address] = replace(
            interactions[change.address],
            source=change.after.source,
            fields=content.fields,
            prevent_release=change.after.prevent_release,
        )


def _request(change: Change, step: Step, desired: Mapping[str, Interaction], state: State) -> Request:
    requestid = step.requestid or derive(state, step, change.address)
    body = desired[change.address].body if step.kind is Kind.DISPATCH else release_body(change.address)
    return Request(requestid, change.address, step.kind, step.provider, body, step.resend)


def derive(state: State, step: Step, address: str) -> str:
    """Return the requestid of a new request that starts from the state."""
    return str(uuid5(_namespace(state.lineage), f"{state.serial}:{step.kind.action}:{address}:{step.digest}"))


@lru_cache(maxsize=1)
def _namespace(lineage: str) -> UUID:
    return UUID(lineage)


def _link(change: Change, step: Step, order: int, known: Pending | None, at: str) -> Pending:
    """Return the link to save; a resend keeps the time of its first intent, for the API's memory starts there."""
    side = change.after if step.kind is Kind.DISPATCH else change.before
    side = side or change.after or Side(step.provider, step.digest, "")
    return Pending(
        address=change.address,
        order=order,
        kind=step.kind,
        provider=step.provider,
        digest=step.digest,
        at=known.at if known and step.resend else at,
        source=side.source,
        fields=side.fields if step.kind is Kind.DISPATCH else NO_FIELDS,
        prevent_release=side.prevent_release,
    )
