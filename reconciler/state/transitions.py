"""From one state to the next: what each outcome makes of it.

Pure. A state is never changed in place: a transition returns a new one, with the next serial.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from itertools import takewhile
from typing import Final

from reconciler.errors import StateError
from reconciler.interaction import is_once
from reconciler.state.model import DONE_IF_ANSWERED, Failed, Kind, Open, Outcome, Pending, Result, State

EARLIER_KEPT: Final = 10
_UNSENT, _SUCCEEDED, _RELEASE = Result.UNSENT, Result.SUCCEEDED, Kind.RELEASE  # found faster so, for every outcome


def fold(state: State, outcomes: Iterable[tuple[Outcome, str]]) -> State:
    """Return the state after the outcomes, each with the time it was known (UTC, ISO 8601).

    An outcome of a requestid that is not pending is an error: nothing in the state could be told from it.
    """
    transition = StateTransition(state)
    for outcome, at in outcomes:
        transition.settle(outcome, at)
    return transition.done()


class StateTransition:
    """A state on its way to the next: copies of its maps, made once for any number of outcomes."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._interactions = state.editable()
        self._pending = dict(state.pending)
        self._failed = dict(state.failed)
        self._failures = {address: dict(entries) for address, entries in state.failures().items()}
        self._opened: dict[str, Open] = {}

    def done(self) -> State:
        """Return the state after all outcomes so far, as `fold` does; nothing may be settled from then on."""
        return replace(
            self._state,
            serial=self._state.serial + 1,
            interactions=self._interactions,
            pending=self._pending,
            failed=self._failed,
        )

    def take_opened(self) -> dict[str, Open]:
        """Return what has been opened since this was last asked, by address."""
        opened, self._opened = self._opened, {}
        return opened

    def settle(self, outcome: Outcome, at: str) -> None:
        """Take in one outcome; see `fold`."""
        link = self._pending.get(outcome.requestid)
        if link is None:
            raise StateError(f"the journal holds an outcome of request {outcome.requestid}, which is not pending")
        if outcome.result is _UNSENT:
            self._pending[outcome.requestid] = link._replace(unsent=True)
        elif link.kind in DONE_IF_ANSWERED:
            self._released_if_open(outcome, link)
        elif outcome.result is _SUCCEEDED:
            self._succeeded(outcome, link, at)
        else:
            self._failed_for_good(outcome, link, at)

    @cached_property
    def _chains(self) -> dict[str, set[str]]:
        """The requestids that are pending for each address, and some that no longer are; for releases only."""
        chains: defaultdict[str, set[str]] = defaultdict(set)
        for requestid, link in self._pending.items():
            chains[link.address].add(requestid)
        return dict(chains)

    def _others(self, address: str) -> list[str]:
        return [requestid for requestid in self._chains.get(address, ()) if requestid in self._pending]

    def _forget_failures(self, address: str) -> None:
        for requestid in self._failures.pop(address, {}):
            self._failed.pop(requestid, None)

    def _released_if_open(self, outcome: Outcome, link: Pending) -> None:
        del self._pending[outcome.requestid]
        if link.kind is Kind.BURN:
            return
        if further := self._further_tries(link):
            if outcome.result is not _SUCCEEDED:
                return
            for requestid in further:
                del self._pending[requestid]
        if not self._others(link.address):
            self._forget_failures(link.address)
        for failedid, failure in self._failures.get(link.address, {}).items():
            # What may have been open is released now: a further retry needs no release before it.
            self._failures[link.address][failedid] = self._failed[failedid] = failure._replace(resent=False)

    def _further_tries(self, link: Pending) -> list[str]:
        """Return the requestids of the tries that stand right behind this one of a tolerant release."""
        behind = [(self._pending[requestid], requestid) for requestid in self._others(link.address)]
        chain = sorted((other.order, other.kind, requestid) for other, requestid in behind if other.order > link.order)
        return [requestid for _, _, requestid in takewhile(lambda entry: entry[1] is Kind.TOLERANT, chain)]

    def _succeeded(self, outcome: Outcome, link: Pending, at: str) -> None:
        del self._pending[outcome.requestid]
        if link.kind is _RELEASE:
            self._interactions.pop(link.address, None)
            self._forget_failures_of(link.address, "release")
            return
        if link.address in self._failures:
            self._forget_failures(link.address)
        self._interactions[link.address] = self._opened[link.address] = Open(
            provider=link.provider,
            digest=link.digest,
            requestid=outcome.requestid,
            at=at,
            source=link.source,
            fields=link.fields,
            prevent_release=link.prevent_release,
            settled=outcome.resent,
        )

    def _forget_failures_of(self, address: str, action: str) -> None:
        failures = self._failures.get(address, {})
        for requestid in [rid for rid, failure in failures.items() if failure.action == action]:
            del failures[requestid]
            del self._failed[requestid]

    def _failed_for_good(self, outcome: Outcome, link: Pending, at: str) -> None:
        if link.kind is Kind.DISPATCH and outcome.resent and is_once(link.address):
            # It can't be released first, so a new attempt might double it: only a person can tell.
            held = outcome.reason or "answered as failed when it was sent again"
            self._pending[outcome.requestid] = link._replace(held=held)
            return
        del self._pending[outcome.requestid]
        if link.kind is Kind.RELEASE:
            for requestid in self._others(link.address):
                del self._pending[requestid]
        self._record_failure(outcome, link, at)

    def _record_failure(self, outcome: Outcome, link: Pending, at: str) -> None:
        failures = self._failures.setdefault(link.address, {})
        previous = [(rid, failure) for rid, failure in failures.items() if failure.action == link.kind.action]
        self._forget_failures_of(link.address, link.kind.action)
        earlier = [rid for before, failure in previous for rid in (*failure.earlier, before)]
        failures[outcome.requestid] = self._failed[outcome.requestid] = Failed(
            address=link.address,
            action=link.kind.action,
            provider=link.provider,
            digest=link.digest,
            attempts=1 + max((failure.attempts for _, failure in previous), default=0),
            first=min((failure.first for _, failure in previous), default=at),
            last=at,
            reason=outcome.reason,
            earlier=tuple(earlier[-EARLIER_KEPT:]),
            source=link.source,
            prevent_release=link.prevent_release,
            # Once in doubt, a further failure leaves it in doubt; a tolerant release ends that for a dispatch.
            resent=outcome.resent or any(failure.resent for _, failure in previous),
        )
