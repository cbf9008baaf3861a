"""A plan as data: frozen, sorted, serialisable, every change with a reason.

Pure. `apply` walks the same steps that a reviewer reads; nothing here can be called, and no bodies are held.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

import orjson

from reconciler.interaction import NO_FIELDS
from reconciler.planning.diff import FieldChange, compare
from reconciler.planning.selection import EVERYTHING, Selection
from reconciler.state.model import Kind, Target


class Action(StrEnum):
    """What a change does (docs/plan.md tells when each is planned)."""

    DISPATCH = "dispatch"
    RELEASE = "release"
    REPLACE = "replace"
    SETTLE = "settle"
    FORGET = "forget"
    HOLD = "hold"
    DRIFT = "drift"
    RECORD = "record"

    @property
    def counted(self) -> bool:
        """Whether it is a change: drift and record change nothing outside the state, a hold changes nothing at all."""
        return self not in {Action.DRIFT, Action.RECORD, Action.HOLD}


_COMPARED: Final = frozenset({Action.DISPATCH, Action.REPLACE, Action.DRIFT})


class Reason(StrEnum):
    """Why a change is planned."""

    NOT_OPEN = "declared, not open"
    UNDECLARED = "open, no longer declared"
    CHANGED = "content changed"
    AGAIN = "content changed, declared to be dispatched again"
    KEPT = "content changed, kept as declared"
    LOCAL = "only local facts changed"
    UNWANTED = "an earlier failure is wanted no more"
    GIVEN_UP = "release given up"
    MAYBE_OPEN = "may be open: failed only when sent again"
    MAYBE_CLOSED = "may be released: its release failed only when it was sent again"
    OUTCOME_UNKNOWN = "the outcome of an earlier request is unknown"
    ONCE_GONE = "once, no longer declared"
    ONCE_UNKNOWN_GONE = "once, no longer declared; whether it was dispatched is unknown"
    HELD_ONCE = "once, changed while its dispatch is unknown: it can be neither resent nor released"
    HELD_FAILED = "once, answered as failed only when it was sent again: it may have been dispatched"
    HELD_MAYBE_OPEN = "may be open: failed only when sent again, and prevent_release forbids to release it first"
    HELD_MAYBE_CLOSED = (
        "may be released: its release failed only when it was sent again, and prevent_release forbids another"
    )
    HELD_NEVER_GONE = "may be open, and with release_attempts: 0 no failed release proves that it is not"
    HELD_POLICY = "the outcome is unknown, and on_unknown is hold"
    HELD_AGE = "the outcome is unknown for longer than resend_within"
    HELD_CLOCK = "the outcome is unknown since a time that is still to come: a clock was ahead, so its age is not known"


class Step(NamedTuple):
    """One request of a change, in the order of its chain.

    `requestid` is None where apply makes a new one. `resend`: it may have been processed already, so only a
    valid 200 settles it.
    """

    kind: Kind
    provider: str | None
    digest: str
    requestid: str | None = None
    resend: bool = False


class Side(NamedTuple):
    """An interaction as it is (`before`) or shall be (`after`); `line` is 0 where it isn't declared now.

    `fields` are canonical JSON (`model.packed`) without sensitive values.
    """

    provider: str | None
    digest: str
    source: str
    line: int = 0
    fields: bytes = NO_FIELDS
    prevent_release: bool = False

    @property
    def place(self) -> str:
        """`file:line`, or the file alone."""
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one address, and why.

    `before` is what is or may be open, `after` what is declared. `follows` are the failed or pending requestids
    it comes after; `attempt` counts from 1; `failure` is the API's word on the last failed attempt. `records`: a
    drift that comes with local facts to write, or with traces to clear. `renamed` is the other address where a release
    and a dispatch are equal but for the externalid. `sensitive_changed`: a value that isn't shown differs; `diff`: the
    differences as a saved plan tells them, which holds no fields.
    """

    action: Action
    address: str
    reason: Reason
    before: Side | None = None
    after: Side | None = None
    steps: tuple[Step, ...] = ()
    diff: tuple[FieldChange, ...] | None = None
    follows: tuple[str, ...] = ()
    attempt: int = 1
    failure: str = ""
    records: bool = False
    renamed: str = ""
    sensitive_changed: bool = False

    @property
    def differences(self) -> tuple[FieldChange, ...]:
        """The fields that differ, compared when they are looked at: of 100,000 changes, few are."""
        if self.diff is not None:
            return self.diff
        if self.after is None or self.action not in _COMPARED:
            return ()
        provider, was = (self.before.provider, orjson.loads(self.before.fields)) if self.before else (None, {})
        shall = orjson.loads(self.after.fields)
        return compare(provider, was, self.after.provider, shall, sensitive_changed=self.sensitive_changed)

    @property
    def releases(self) -> bool:
        """Whether any of its requests may release an interaction."""
        return any(step.kind is not Kind.DISPATCH for step in self.steps)

    @property
    def dispatches(self) -> bool:
        """Whether any of its requests dispatches."""
        return any(step.kind is Kind.DISPATCH for step in self.steps)

    @property
    def place(self) -> str:
        """Where it is declared, else where it was."""
        side = self.after or self.before
        return side.place if side else ""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that an apply would do, sorted by address.

    `releasable` counts the interactions that are or may be open and could be released; `declared` counts the
    declarations; `unchanged` the open ones that are as declared; `left_out` the changes that `selection` leaves out.
    """

    target: Target | None
    lineage: str
    serial: int
    changes: tuple[Change, ...]
    declared: int
    open: int
    releasable: int
    unchanged: int
    selection: Selection = EVERYTHING
    left_out: int = 0

    def only(self, selection: Selection, addresses: Collection[str]) -> Plan:
        """Return the plan with the changes of what is selected; all that it counts besides stays that of the whole."""
        changes = tuple(change for change in self.changes if change.address in addresses)
        left_out = sum(
            change.address not in addresses and change.action is not Action.RECORD for change in self.changes
        )
        return replace(self, changes=changes, selection=selection, left_out=left_out)

    def counts(self) -> dict[Action, int]:
        """Return how many changes each action has; actions without any are absent."""
        return dict(Counter(change.action for change in self.changes))

    @property
    def changed(self) -> bool:
        """Whether an apply would change anything but local facts."""
        return any(change.action.counted for change in self.changes)

    @property
    def sends(self) -> bool:
        """Whether an apply would send anything."""
        return any(change.steps for change in self.changes)

    @property
    def writes(self) -> bool:
        """Whether an apply would change the state at all."""
        return any(change.records or change.action not in {Action.DRIFT, Action.HOLD} for change in self.changes)

    @property
    def held(self) -> tuple[Change, ...]:
        """The changes that wait for a person."""
        return tuple(change for change in self.changes if change.action is Action.HOLD)
