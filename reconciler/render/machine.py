"""A plan, and the problems of declarations, as JSON for scripts.

Pure. Digests stay out (phone numbers can be guessed from them), and so does every sensitive value.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from textwrap import indent

import orjson

from reconciler.errors import Problem
from reconciler.interaction import skill_names
from reconciler.planning.diff import FieldChange, Secrecy
from reconciler.planning.guards import Refusal
from reconciler.planning.plan import Action, Change, Side, Step
from reconciler.planning.policy import Excepted
from reconciler.planning.saved_plan import SavedPlan
from reconciler.render.formats import (
    FORMAT_VERSION,
    ChangeHeadJson,
    ChangeJson,
    Counted,
    ExceptionJson,
    FieldJson,
    PlanHeadJson,
    PlanJson,
    ProblemJson,
    ProblemsJson,
    RefusalJson,
    SideJson,
    StepJson,
    TargetJson,
)
from reconciler.state.model import Target


def plan_json(saved: SavedPlan) -> str:
    """Return the plan as one document; see `plan_json_pieces`."""
    return "".join(plan_json_pieces(saved))


def plan_json_pieces(saved: SavedPlan) -> Iterator[str]:
    """Yield the plan as an indented ASCII JSON document, a change at a time, newline included."""
    head: PlanJson = {"format_version": FORMAT_VERSION, **plan_head(saved), "changes": []}
    before, end = to_json(head).rsplit("]", 1)
    yield before
    lead = "\n"
    for change in saved.plan.changes:
        made: ChangeJson = {**change_head(change), "requests": [_step(step) for step in change.steps]}
        yield lead + indent(to_json(made).rstrip(), "    ")
        lead = ",\n"
    yield ("\n  ]" if saved.plan.changes else "]") + end


def plan_head(saved: SavedPlan) -> PlanHeadJson:
    """Return what a plan is about, and what it comes to."""
    plan, approved = saved.plan, saved.approvals
    counts = plan.counts()
    summary: dict[Counted, int] = {action: counts.get(action, 0) for action in Action}
    summary |= {"unchanged": plan.unchanged, "declared": plan.declared, "left_out": plan.left_out}
    targets, excludes = plan.selection.targets, plan.selection.excludes
    return {
        "environment": saved.environment,
        "target": target_object(plan.target),
        "state": {
            "location": saved.state or None,
            "lineage": plan.lineage,
            "serial": plan.serial,
            "open": plan.open,
        },
        "selection": {"targets": targets, "excludes": excludes} if plan.selection else None,
        "summary": summary,
        "approvals": {
            "releases": approved.releases,
            "dispatches": approved.dispatches,
            "empty": approved.empty,
            "outside": approved.outside,
            "older_commit": approved.older_commit,
        },
        "refusals": [_refusal(refusal) for refusal in saved.refusals],
        "warnings": [problem_object(warning) for warning in saved.warnings],
        "exceptions": [_exception(exception) for exception in saved.exceptions],
    }


def _exception(exception: Excepted) -> ExceptionJson:
    return {
        "address": exception.address,
        "rule": exception.rule,
        "reason": exception.reason,
        "until": exception.until,
        "place": exception.place,
    }


def target_object(target: Target | None) -> TargetJson | None:
    """Return an API and account."""
    return {"base_url": target.base_url, "account": target.account} if target else None


def problems_json(problems: Sequence[Problem]) -> str:
    """Return what `validate --format json` prints."""
    errors = sum(not problem.warning for problem in problems)
    document: ProblemsJson = {
        "format_version": FORMAT_VERSION,
        "valid": errors == 0,
        "problems": [problem_object(problem) for problem in problems],
    }
    return to_json(document)


def to_json(value: object) -> str:
    """Return indented JSON in ASCII, so that nothing declared can act on a terminal."""
    return json.dumps(value, indent=2) + "\n"


def problem_object(problem: Problem) -> ProblemJson:
    """Return one thing that is wrong in a file."""
    return {
        "severity": "warning" if problem.warning else "error",
        "code": problem.code,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
        "hint": problem.hint or None,
    }


def _refusal(refusal: Refusal) -> RefusalJson:
    return {
        "code": refusal.code,
        "message": refusal.message,
        "override": refusal.override or None,
        "hint": refusal.hint or None,
    }


def change_head(change: Change) -> ChangeHeadJson:
    """Return a change without its requests."""
    return {
        "action": change.action,
        "address": change.address,
        "reason": change.reason.value,
        "attempt": change.attempt,
        "last_failure": change.failure or None,
        "renamed": change.renamed or None,
        "follows": list(change.follows),
        "before": _side(change.before),
        "after": _side(change.after),
        "fields": [_field(field) for field in change.differences],
    }


def _side(side: Side | None) -> SideJson | None:
    if side is None:
        return None
    known = orjson.loads(side.fields)
    return {
        "provider": side.provider,
        "route": known.get("route"),
        "skills": skill_names(known) if known else None,
        "file": side.source,
        "line": side.line or None,
        "prevent_release": side.prevent_release,
    }


def _field(field: FieldChange) -> FieldJson:
    return {
        "field": field.field,
        "before": field.before,
        "after": field.after,
        "sensitive": field.secrecy is not Secrecy.OPEN,
        "maybe_changed": field.secrecy is Secrecy.MAYBE_CHANGED,
    }


def _step(step: Step) -> StepJson:
    return {"kind": step.kind, "provider": step.provider, "requestid": step.requestid, "resend": step.resend}
