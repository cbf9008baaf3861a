"""The comparison of what is declared with what is known: `plan(desired, state, policy, now) -> Plan`.

Pure. Addresses are compared one by one; the tables in tests/planning/cases/ show each case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

import orjson

from reconciler.interaction import (
    Interaction,
    Json,
    OnChange,
    canonical,
    content_digest,
    dispatch_body,
    is_once,
    is_sensitive,
    packed,
    public_fields,
    same_content,
    without_sensitive,
)
from reconciler.planning.plan import Action, Change, Plan, Reason, Side, Step
from reconciler.planning.renames import with_renames
from reconciler.planning.unknown_outcomes import PendingChain, needs_settling, reuse_unsent, settle, tolerant, why_held
from reconciler.state.model import Failed, Kind, Open, Pending, State, Target

Failures = list[tuple[str, Failed]]


@dataclass(frozen=True, slots=True)
class PlanPolicy:
    """What the configuration decides about planning (docs/configuration.md)."""

    sensitive: frozenset[str]
    release_attempts: int
    hold_unknown: bool
    resend_within: timedelta


class _Case(NamedTuple):
    """All that is known of one address."""

    address: str
    wanted: Interaction | None
    opened: Open | None
    links: PendingChain
    failures: Failures


def plan(  # noqa: PLR0913  # each is independent, and the last ones are rarely given
    desired: Iterable[Interaction],
    state: State,
    policy: PlanPolicy,
    now: datetime,
    target: Target | None = None,
    *,
    as_sealed: frozenset[str] = frozenset(),
) -> Plan:
    """Return what brings the state to what is desired; addresses in `desired` are unique.

    What is at the addresses `as_sealed` is desired just as it is open, and nothing else is known of it.
    `now` decides only whether an unknown outcome is too old to be resent.
    """
    declared = {interaction.address: interaction for interaction in desired}
    chains, failures = state.chains(), state.failures()
    changes: list[Change] = []
    unchanged = len(as_sealed)
    opened_otherwise = state.interactions.keys() - as_sealed
    for address in sorted(declared.keys() | opened_otherwise | chains.keys() | failures.keys()):
        wanted, opened = declared.get(address), state.interactions.get(address)
        case = _Case(address, wanted, opened, chains.get(address, ()), failures.get(address, []))
        change = _change(case, policy, now)
        if change is not None:
            changes.append(change)
        unchanged += opened is not None and (change is None or change.action is Action.RECORD)
    return Plan(
        target=target or state.target,
        lineage=state.lineage,
        serial=state.serial,
        changes=with_renames(changes, declared),
        declared=len(declared) + len(as_sealed),
        open=len(state.interactions),
        releasable=_releasable(state, chains, failures),
        unchanged=unchanged,
    )


def _releasable(state: State, chains: Mapping[str, PendingChain], failures: Mapping[str, Failures]) -> int:
    maybe = {address for address, links in chains.items() if needs_settling(links)}
    maybe |= {address for address, entries in failures.items() if _maybe_open(entries)}
    return sum(not is_once(address) for address in state.interactions.keys() | maybe)


def _change(case: _Case, policy: PlanPolicy, now: datetime) -> Change | None:
    if needs_settling(case.links):
        return _unknown(case, policy, now)
    change = _known(case, policy)
    if change is None and (case.links or case.failures):
        # What was once wanted is wanted no more; the next apply clears its traces.
        before = _before(case.opened, policy) if case.opened else None
        return Change(Action.RECORD, case.address, Reason.UNWANTED, before, _after(case, policy))
    if change is not None and case.links:
        return replace(change, steps=reuse_unsent(change.steps, case.links))
    return change


def _known(case: _Case, policy: PlanPolicy) -> Change | None:
    if case.opened is None:
        return _closed(case, policy)
    if case.wanted is None:
        return _undeclared(case, case.opened, policy)
    same = same_content(case.opened.digest, case.wanted)
    if _maybe_closed(case.failures):
        if case.wanted.prevent_release and (same or case.wanted.on_change is OnChange.KEEP):
            return _held(case, Reason.HELD_MAYBE_CLOSED, _before(case.opened, policy), policy)
    elif same:
        return _same(case, case.opened, case.wanted, policy)
    return _differs(case, case.opened, case.wanted, policy)


# -- nothing is open ---------------------------------------------------------------------------------------------


def _closed(case: _Case, policy: PlanPolicy) -> Change | None:
    wanted, maybe_open = case.wanted, _maybe_open(case.failures)
    if maybe_open and not policy.release_attempts:
        return _held(case, Reason.HELD_NEVER_GONE, _failed_side(maybe_open), policy)
    if wanted is None:
        return _release_maybe_open(case, maybe_open, policy) if maybe_open else None
    if maybe_open and wanted.prevent_release:
        return _held(case, Reason.HELD_MAYBE_OPEN, _failed_side(maybe_open), policy)
    release_first = _tolerant(maybe_open, policy) if maybe_open else ()
    change = Change(
        Action.DISPATCH,
        case.address,
        Reason.MAYBE_OPEN if maybe_open else Reason.NOT_OPEN,
        after=_side(wanted, _public(wanted, policy)),
        steps=(*release_first, _dispatch(wanted)),
    )
    return _retried(change, case.failures, Kind.DISPATCH)


def _maybe_open(failures: Failures) -> Failed | None:
    return next((failure for _, failure in failures if failure.resent and failure.action == "dispatch"), None)


def _maybe_closed(failures: Failures) -> bool:
    """Whether a release failed only when it was sent again, so that the first copy may have closed what seems open."""
    return any(failure.resent and failure.action == "release" for _, failure in failures)


def _tolerant(failure: Failed, policy: PlanPolicy) -> tuple[Step, ...]:
    return tolerant(failure.provider, failure.digest, policy.release_attempts)


def _release_maybe_open(case: _Case, failure: Failed, policy: PlanPolicy) -> Change:
    steps = _tolerant(failure, policy)
    change = Change(Action.RELEASE, case.address, Reason.MAYBE_OPEN, _failed_side(failure), steps=steps)
    return replace(change, follows=tuple(requestid for requestid, _ in case.failures))


def _failed_side(failure: Failed) -> Side:
    return Side(failure.provider, failure.digest, failure.source, prevent_release=failure.prevent_release)


def _held(case: _Case, reason: Reason, before: Side, policy: PlanPolicy) -> Change:
    """Return a hold of what only a release could settle, while its declaration forbids any: the others go on."""
    follows = tuple(requestid for requestid, _ in case.failures)
    return Change(Action.HOLD, case.address, reason, before, _after(case, policy), follows=follows)


# -- open --------------------------------------------------------------------------------------------------------


def _undeclared(case: _Case, opened: Open, policy: PlanPolicy) -> Change:
    before = _before(opened, policy)
    if is_once(case.address):
        return Change(Action.FORGET, case.address, Reason.ONCE_GONE, before=before)
    if _given_up(case.failures, policy):
        return _with_failure(Change(Action.FORGET, case.address, Reason.GIVEN_UP, before=before), case.failures)
    steps = (Step(Kind.RELEASE, opened.provider, opened.digest),)
    change = Change(Action.RELEASE, case.address, Reason.UNDECLARED, before=before, steps=steps)
    return _retried(change, case.failures, Kind.RELEASE)


def _same(case: _Case, opened: Open, wanted: Interaction, policy: PlanPolicy) -> Change | None:
    if (
        opened.source == wanted.place.file
        and opened.prevent_release == wanted.prevent_release
        and opened.fields == canonical(public_fields(wanted.request, policy.sensitive))
    ):
        return None
    return Change(Action.RECORD, case.address, Reason.LOCAL, _before(opened, policy), _after(case, policy))


def _differs(case: _Case, opened: Open, wanted: Interaction, policy: PlanPolicy) -> Change:
    before, after = _before(opened, policy), _side(wanted, _public(wanted, policy))
    secret = _sensitive_changed(opened.provider, opened.digest, orjson.loads(before.fields), wanted, policy.sensitive)
    change = partial(Change, address=case.address, before=before, after=after, sensitive_changed=secret)
    maybe_closed, failures = _maybe_closed(case.failures), case.failures
    if wanted.on_change is OnChange.KEEP and not maybe_closed:
        known = (opened.source, opened.prevent_release, opened.fields)
        records = known != (after.source, after.prevent_release, before.fields) or bool(case.links or failures)
        return change(action=Action.DRIFT, reason=Reason.KEPT, records=records)
    dispatch = _dispatch(wanted)
    if is_once(case.address):
        return _retried(change(action=Action.DISPATCH, reason=Reason.AGAIN, steps=(dispatch,)), failures, Kind.DISPATCH)
    if _given_up(failures, policy):
        return _with_failure(change(action=Action.REPLACE, reason=Reason.GIVEN_UP, steps=(dispatch,)), failures)
    reason = Reason.MAYBE_CLOSED if maybe_closed else Reason.CHANGED
    steps = (Step(Kind.RELEASE, opened.provider, opened.digest), dispatch)
    return _retried(change(action=Action.REPLACE, reason=reason, steps=steps), failures, Kind.RELEASE)


def _sensitive_changed(
    provider: str | None, digest: str, was: Mapping[str, Json], wanted: Interaction, sensitive: frozenset[str]
) -> bool:
    """Whether a sensitive value differs: the old content with the new values would have the old digest if none did."""
    hidden = [item for item in was.get("linkeddata", ()) if "value" not in item]
    secret = [item for item in wanted.request.get("linkeddata", ()) if is_sensitive(item, sensitive)]
    if hidden != [_named(item) for item in secret]:
        return True
    externalid = None if is_once(wanted.address) else wanted.address
    body = dispatch_body(externalid, _with_values(was, secret))
    return content_digest(provider, body, digest.partition(":")[0]) != digest


def _with_values(fields: Mapping[str, Json], items: Iterable[Json]) -> Mapping[str, Json]:
    """Return the fields with the items, in their order, for those that lack a value."""
    values = iter(items)
    linked = [item if "value" in item else next(values) for item in fields.get("linkeddata", ())]
    return {**fields, "linkeddata": linked} if linked else fields


def _named(item: Mapping[str, Json]) -> dict[str, Json]:
    return {name: part for name, part in item.items() if name != "value"}


# -- unknown -----------------------------------------------------------------------------------------------------


def _unknown(case: _Case, policy: PlanPolicy, now: datetime) -> Change:
    before, after = _maybe(case, policy), _after(case, policy)
    unknown = tuple(requestid for requestid, link in case.links if link.unknown)
    follows = (*unknown, *(requestid for requestid, _ in case.failures))
    held = why_held(case.links, case.wanted, now, hold=policy.hold_unknown, within=policy.resend_within)
    if is_once(case.address) and case.wanted is None and held is not Reason.HELD_POLICY:
        return Change(Action.FORGET, case.address, Reason.ONCE_UNKNOWN_GONE, before=before, follows=follows)
    steps = settle(case.links, case.wanted, policy.release_attempts)
    if not held and not policy.release_attempts and any(step.kind is Kind.BURN for step in steps):
        held = Reason.HELD_NEVER_GONE
    if held:
        return Change(Action.HOLD, case.address, held, before, after, follows=follows)
    return Change(Action.SETTLE, case.address, Reason.OUTCOME_UNKNOWN, before, after, steps, follows=follows)


def _maybe(case: _Case, policy: PlanPolicy) -> Side:
    """Return what is or may be open: what the state says, else the request that may have been processed."""
    if case.opened:
        return _before(case.opened, policy)
    last: Pending = next(link for _, link in reversed(case.links) if link.unknown or link.kind is Kind.TOLERANT)
    guarded = any(link.prevent_release for _, link in case.links)
    return Side(last.provider, last.digest, last.source, prevent_release=guarded)


# -- parts -------------------------------------------------------------------------------------------------------


def _dispatch(wanted: Interaction) -> Step:
    return Step(Kind.DISPATCH, wanted.provider, wanted.digest)


def _side(wanted: Interaction, fields: Mapping[str, Json]) -> Side:
    return Side(
        wanted.provider,
        wanted.digest,
        wanted.place.file,
        wanted.place.line,
        packed(fields),
        wanted.prevent_release,
    )


def _public(wanted: Interaction, policy: PlanPolicy) -> dict[str, Json]:
    return public_fields(wanted.request, policy.sensitive)


def _after(case: _Case, policy: PlanPolicy) -> Side | None:
    return _side(case.wanted, _public(case.wanted, policy)) if case.wanted else None


def _before(opened: Open, policy: PlanPolicy) -> Side:
    return Side(
        opened.provider,
        opened.digest,
        opened.source,
        fields=without_sensitive(opened.fields, policy.sensitive),
        prevent_release=opened.prevent_release,
    )


def _given_up(failures: Failures, policy: PlanPolicy) -> bool:
    attempts = max((failure.attempts for _, failure in failures if failure.action == "release"), default=0)
    return 0 < policy.release_attempts <= attempts


def _with_failure(change: Change, failures: Failures) -> Change:
    _, last = max(failures, key=lambda entry: entry[1].last)
    return replace(change, follows=tuple(requestid for requestid, _ in failures), failure=last.reason)


def _retried(change: Change, failures: Failures, kind: Kind) -> Change:
    """Return the change as a further attempt where the same action failed before."""
    before = [entry for entry in failures if entry[1].action == kind.action]
    if not before:
        return change
    attempts = max(failure.attempts for _, failure in before)
    return replace(_with_failure(change, before), attempt=attempts + 1)
