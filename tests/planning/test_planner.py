"""The planner's cases: files in `planner/`, each document a case that needs no Python to be read.

title       what is expected
declared    a declaration file
state       what is open, pending and failed, by address and content: the digests are computed here
policy      what the configuration says, where it isn't the default
plan        the changes, in order. `requests` are the steps of the chain: `again: ID` is a resend, `under: ID` a first
            sending under a known requestid, and neither a request under a new one; `tries` are so many alike, of which
            the next is sent only if the one before it failed
unchanged, releasable, writes   what the plan counts and says, where the case is about it
saved       what the intent leaves in the state before anything is sent: addresses and requestids
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from reconciler import interaction
from reconciler.declarations.validation import validate
from reconciler.delivery.intent import Intent, intend
from reconciler.interaction import Interaction, content_digest, dispatch_body, is_once, packed, public_fields
from reconciler.planning.diff import FieldChange, Secrecy
from reconciler.planning.plan import Change, Plan, Step
from reconciler.planning.planner import PlanPolicy, plan
from reconciler.state.model import Failed, Kind, Open, Pending, State, Target
from reconciler.times import stamp
from reconciler.yamlfile.reader import parse
from tests.known import POLICY, RULES

FOLDER: Final = Path(__file__).parent / "cases"
NOW: Final = datetime(2026, 1, 2, 12, tzinfo=UTC)
SOURCE: Final = "interactions/crm.yaml"
TARGET: Final = Target("https://api.test")
LINEAGE: Final = "11111111-2222-4333-8444-555555555555"
CONTENT: Final = ("route", "linkeddata", "routingdata")
KEYS: Final = {"title", "declared", "state", "policy", "plan", "unchanged", "releasable", "writes", "saved"}


def cases() -> list[Any]:
    """Return the cases of all files."""
    return [
        pytest.param(case, id=f"{file.stem}: {case['title']}")
        for file in sorted(FOLDER.glob("*.yaml"))
        for case in YAML(typ="safe", pure=True).load_all(file.read_text(encoding="utf-8"))
    ]


@pytest.fixture(autouse=True)
def _older_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let there be a digest scheme before the current one."""

    def digest(provider: str | None, body: bytes) -> str:
        return "0:" + hashlib.sha1(repr(provider).encode() + body, usedforsecurity=False).hexdigest()

    monkeypatch.setattr(interaction, "SCHEMES", {**interaction.SCHEMES, "0": digest})  # there is only one yet


@pytest.mark.parametrize("case", cases())
def test_case(case: dict[str, Any]) -> None:
    """The plan of what is declared and known is the expected one, and so is what the intent saves."""
    assert case.keys() <= KEYS
    policy = policy_of(case.get("policy", {}))
    state = state_of(case.get("state", {}), policy)
    desired = {interaction.address: interaction for interaction in declared(case["declared"], policy)}
    made = plan(desired.values(), state, policy, NOW, TARGET)
    assert [shown(change) for change in made.changes] == case["plan"]
    counted = [name for name in ("unchanged", "releasable", "writes") if name in case]
    assert {name: getattr(made, name) for name in counted} == {name: case[name] for name in counted}
    check_dispatches(made, desired)
    intent = intend(made, desired, state, stamp(NOW), TARGET)
    check_chains(intent, state)
    if "saved" in case:
        assert shown_state(intent.state, state) == {"open": [], "pending": [], "failed": [], **case["saved"]}


def declared(text: str, policy: PlanPolicy) -> list[Interaction]:
    """Return the interactions of a declaration file."""
    rules = replace(RULES, sensitive=policy.sensitive)
    found = [validate(document, SOURCE, rules) for document in parse(text.encode(), SOURCE).documents]
    assert not [problem for checked in found for problem in checked.problems]
    return [interaction for checked in found for interaction in checked.interactions]


def policy_of(raw: dict[str, Any]) -> PlanPolicy:
    """Return the policy of a case."""
    usual = POLICY
    return PlanPolicy(
        sensitive=frozenset(raw.get("sensitive", usual.sensitive)),
        release_attempts=raw.get("release_attempts", usual.release_attempts),
        hold_unknown=raw.get("on_unknown") == "hold",
        resend_within=timedelta(hours=raw["resend_within"]) if "resend_within" in raw else usual.resend_within,
    )


def state_of(raw: dict[str, Any], policy: PlanPolicy) -> State:
    """Return the state of a case, with the digests of its contents."""
    # What was stored before a type became sensitive is stored in clear.
    stored = POLICY.sensitive
    return State(
        LINEAGE,
        serial=7,
        target=TARGET,
        interactions={address: opened(address, dict(entry), stored) for address, entry in raw.get("open", {}).items()},
        pending={
            entry["requestid"]: pending(address, order, dict(entry), policy)
            for address, links in raw.get("pending", {}).items()
            for order, entry in enumerate(links)
        },
        failed={
            entry["requestid"]: failed(address, dict(entry))
            for address, failures in raw.get("failed", {}).items()
            for entry in failures
        },
    )


def content(address: str, entry: dict[str, Any]) -> tuple[str | None, str, dict[str, Any]]:
    """Take the content out of an entry; return provider, digest and request."""
    provider = entry.pop("provider", None)
    request: dict[str, Any] = {name: entry.pop(name) for name in CONTENT if name in entry}
    body = dispatch_body(None if is_once(address) else address, request)
    return provider, content_digest(provider, body, entry.pop("scheme", "1")), request


def opened(address: str, entry: dict[str, Any], sensitive: frozenset[str]) -> Open:
    """Return an open interaction."""
    provider, digest, request = content(address, entry)
    fields = request if entry.pop("stored_in_clear", False) else public_fields(request, sensitive)
    return Open(provider, digest, "o1", "2026-01-01T00:00:00Z", entry.pop("source", SOURCE), packed(fields), **entry)


def pending(address: str, order: int, entry: dict[str, Any], policy: PlanPolicy) -> Pending:
    """Return a pending link."""
    provider, digest, request = content(address, entry)
    at = NOW - timedelta(hours=entry.pop("hours", 1))
    del entry["requestid"]
    kind = Kind(entry.pop("kind"))
    fields = public_fields(request, policy.sensitive) if kind is Kind.DISPATCH else {}
    return Pending(address, order, kind, provider, digest, stamp(at), SOURCE, packed(fields), **entry)


def failed(address: str, entry: dict[str, Any]) -> Failed:
    """Return a failed request."""
    provider, digest, _ = content(address, entry)
    del entry["requestid"]
    usual = {"attempts": 1, "first": stamp(NOW), "last": stamp(NOW), "reason": "", "source": SOURCE}
    return Failed(address=address, provider=provider, digest=digest, **{**usual, **entry})


def shown(change: Change) -> dict[str, Any]:
    """Return a change as a case writes it."""
    raw: dict[str, Any] = {"action": str(change.action), "address": change.address, "reason": str(change.reason)}
    if change.attempt > 1:
        raw["attempt"] = change.attempt
    if change.failure:
        raw["failure"] = change.failure
    if change.follows:
        raw["follows"] = list(change.follows)
    if change.steps:
        raw["requests"] = [
            {**step, "tries": tries} if (tries := len(list(alike))) > 1 else step
            for step, alike in groupby(map(shown_step, change.steps))
        ]
    if change.differences:
        raw["fields"] = [shown_field(field) for field in change.differences]
    return raw


def shown_step(step: Step) -> dict[str, Any]:
    """Return a request as a case writes it."""
    raw: dict[str, Any] = {"send": str(step.kind), "provider": step.provider}
    if step.requestid:
        raw["again" if step.resend else "under"] = step.requestid
    return raw


def shown_field(field: FieldChange) -> str:
    """Return a field's name, and what can be said of a sensitive one; its value must not be there."""
    if field.secrecy is Secrecy.OPEN:
        return field.field
    assert not any(side and "value" in side for side in (field.before, field.after))
    return f"{field.field} ({field.secrecy})"


def check_dispatches(made: Plan, desired: dict[str, Interaction]) -> None:
    """Check that whatever is dispatched is what is declared."""
    for change in made.changes:
        for step in change.steps:
            if step.kind is Kind.DISPATCH and not step.resend:
                assert step.digest == desired[change.address].digest


def check_chains(intent: Intent, before: State) -> None:
    """Check that each chain is saved as it will be sent, in its order, with nothing marked unsent or held.

    A resend keeps the time of its first intent, for the API's memory of its requestid starts there.
    """
    for chain in intent.chains:
        links = intent.state.chains()[chain[0].address]
        assert [(requestid, link.kind) for requestid, link in links] == [(r.requestid, r.kind) for r in chain]
        assert not any(link.unsent or link.held for _, link in links)
        times = [before.pending[request.requestid].at if request.resend else stamp(NOW) for request in chain]
        assert [link.at for _, link in links] == times


def shown_state(saved: State, before: State) -> dict[str, Any]:
    """Return what the intent saves as a case writes it."""
    known = before.pending.keys()
    links = [entry for chain in saved.chains().values() for entry in chain]
    guarded = ["prevent_release"] if any(entry.prevent_release for entry in saved.interactions.values()) else []
    return {
        "open": [*saved.interactions, *guarded],
        "pending": [requestid if requestid in known else "new" for requestid, _ in links],
        "failed": list(saved.failed),
    }
