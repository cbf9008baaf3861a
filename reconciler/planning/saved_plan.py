"""A saved plan as bytes: what was reviewed, so that an apply does that and nothing else.

Pure. It holds no request bodies and no sensitive value: an apply plans again from the checkout and goes on only if
the fingerprint is the same. A checksum over the rest shows a file that was cut or edited.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import orjson

from reconciler.errors import PlanFileError, Problem
from reconciler.interaction import canonical, skill_names
from reconciler.planning.guards import Approvals, Refusal
from reconciler.planning.plan import Action, Change, Plan, Side
from reconciler.planning.policy import Excepted

VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """A plan with what was approved for it, and what a reviewer was told besides; `state` is where the state is."""

    plan: Plan
    approvals: Approvals
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[Problem, ...] = ()
    environment: str | None = None
    state: str = ""
    exceptions: tuple[Excepted, ...] = ()


def fingerprint(plan: Plan) -> str:
    """Return the SHA-256 of what the plan would do, and where: not of the serial, and not of local facts."""
    target = [plan.target.base_url, plan.target.account] if plan.target else None
    does = sorted((identity(change) for change in plan.changes if _does(change)), key=canonical)
    # Where everything is selected, it is as it was before there was a selection.
    part = [[plan.selection.targets, plan.selection.excludes]] if plan.selection else []
    return hashlib.sha256(canonical([target, plan.lineage, does, *part])).hexdigest()


def _does(change: Change) -> bool:
    return change.action not in {Action.RECORD, Action.DRIFT}


def identity(change: Change) -> list[Any]:
    """Return what makes a change the same change: what it does to which content, after which requests."""
    sides = [(side.provider, side.digest) if side else None for side in (change.before, change.after)]
    return [change.action, change.address, *sides, sorted(change.follows)]


def seems_applied(then: Plan, now: Plan) -> bool:
    """Whether nothing is left to do of a plan, since its state has moved on: it was applied already, most likely."""
    return now.serial > then.serial and not any(map(_does, now.changes))


def encode(saved: SavedPlan) -> bytes:
    """Return the plan file's bytes."""
    content = {
        "reconciler_plan": VERSION,
        "fingerprint": fingerprint(saved.plan),
        "environment": saved.environment,
        "state": saved.state,
        "approvals": asdict(saved.approvals),
        "refusals": [asdict(refusal) for refusal in saved.refusals],
        "warnings": [asdict(warning) for warning in saved.warnings],
        "exceptions": [asdict(exception) for exception in saved.exceptions],
        "plan": _plain(saved.plan),
    }
    return orjson.dumps({**content, "checksum": _checksum(content)}, option=orjson.OPT_INDENT_2) + b"\n"


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(canonical(content)).hexdigest()


def _plain(plan: Plan) -> dict[str, Any]:
    plain = asdict(plan)
    for change, made in zip(plain["changes"], plan.changes, strict=True):
        change.update(
            before=change["before"] and _plain_side(change["before"]),
            after=change["after"] and _plain_side(change["after"]),
            steps=[step._asdict() for step in change["steps"]],
            diff=[field._asdict() for field in made.differences],
        )
    return plain


def _plain_side(side: Side) -> dict[str, Any]:
    """Return it with no fields but its route and skills: the differences tell a reviewer all that changes."""
    fields = orjson.loads(side.fields)
    kept = {name: fields[name] for name in ("route",) if name in fields}
    if names := skill_names(fields):
        kept["routingdata"] = {"skills": [{"name": name} for name in names]}
    return {**side._asdict(), "fields": canonical(kept).decode()}


def decode(data: bytes, name: str) -> SavedPlan:
    """Return the saved plan; `name` is the file to blame. Raises PlanFileError for anything but a whole one."""
    try:
        content = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise _bad(name, "it is not whole JSON") from error
    if not isinstance(content, dict) or "reconciler_plan" not in content:
        raise _bad(name, "it is not a plan saved by reconciler")
    if content["reconciler_plan"] != VERSION:
        version = content["reconciler_plan"]
        raise PlanFileError(
            f"{name}: this plan is of version {version}; this reconciler reads version {VERSION}",
            hint="Apply it with the version of reconciler that saved it, or plan anew.",
        )
    checksum = content.pop("checksum", None)
    if checksum != _checksum(content):
        raise _bad(name, "it was changed after it was saved")
    saved = _saved(content, name)
    if fingerprint(saved.plan) != content["fingerprint"]:
        raise _bad(name, "its fingerprint is not that of its changes")
    return saved


def _bad(name: str, why: str) -> PlanFileError:
    return PlanFileError(f"{name}: {why}", hint="Plan anew", command=("plan", "--out", "FILE"))


def _saved(content: dict[str, Any], name: str) -> SavedPlan:
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415  # only where a plan is read

    try:
        return TypeAdapter(SavedPlan).validate_python(content)
    except ValidationError as error:
        raise _bad(name, "it does not hold what a plan holds") from error


def differences(then: Plan, now: Plan) -> Iterator[tuple[str, Change | None, Change | None]]:
    """Yield each address that two plans treat differently, with its change in either, by address."""
    old = {change.address: change for change in then.changes if _does(change)}
    new = {change.address: change for change in now.changes if _does(change)}
    for address in sorted(old.keys() | new.keys()):
        before, after = old.get(address), new.get(address)
        if before is None or after is None or identity(before) != identity(after):
            yield address, before, after
