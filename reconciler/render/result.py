"""What became of an apply, and why a run ended early, as JSON for scripts.

Pure. As in a plan, digests and sensitive values stay out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from reconciler.commandline import CommandLine, adoption, resolutions
from reconciler.delivery.batch import Request
from reconciler.delivery.course import Course, RequestOutcome
from reconciler.delivery.events import Erred
from reconciler.errors import ExitCode
from reconciler.planning.plan import Change
from reconciler.render.formats import (
    FORMAT_VERSION,
    AppliedJson,
    ApplyJson,
    ErrorJson,
    FailureJson,
    RequestJson,
    StateAfterJson,
    Tallied,
)
from reconciler.render.machine import change_head, plan_head, problem_object, to_json
from reconciler.state.model import DONE_IF_ANSWERED, Kind, State

_SUCCESSES: Final[dict[Kind, Tallied]] = {
    Kind.DISPATCH: "dispatched",
    Kind.RELEASE: "released",
    Kind.TOLERANT: "released",
}


def apply_json(course: Course, exit_code: ExitCode, command: CommandLine) -> str:
    """Return what `apply --format json` prints."""
    shown, report = course.shown, course.report
    changes = [_applied(change, course, command) for change in (shown.plan.changes if shown else ())]
    document: ApplyJson = {
        "format_version": FORMAT_VERSION,
        "exit_code": exit_code,
        "error": error_object(course.error) if course.error else None,
        "plan": plan_head(shown) if shown else None,
        "counts": tally(course),
        "problems": list(report.problems) if report else [],
        "state": state_after(course.state) if course.state else None,
        "changes": changes,
    }
    return to_json(document)


def failure_json(erred: Erred) -> str:
    """Return what another command prints where it fails."""
    document: FailureJson = {
        "format_version": FORMAT_VERSION,
        "exit_code": erred.exit_code,
        "error": error_object(erred),
    }
    return to_json(document)


def error_object(erred: Erred) -> ErrorJson:
    """Return why a run ended early."""
    return {
        "code": erred.code,
        "message": erred.message,
        "hint": erred.hint or None,
        "command": erred.command or None,
        "problems": [problem_object(problem) for problem in erred.problems],
    }


def _applied(change: Change, course: Course, command: CommandLine) -> AppliedJson:
    return {
        **change_head(change),
        "outcome": course.outcome(change),
        "requests": [_request(request, course) for request in course.requests(change.address)],
        "commands": [command(*words) for words in _ways_on(change, course)],
    }


def _request(request: Request, course: Course) -> RequestJson:
    outcome, reason = course.became(request)
    return {
        "requestid": request.requestid,
        "kind": request.kind,
        "provider": request.provider,
        "resend": request.resend,
        "outcome": outcome,
        "reason": reason or None,
    }


def _ways_on(change: Change, course: Course) -> Iterator[tuple[str, ...]]:
    """Yield the words of the commands that a person may need: to say what became of it, or that it is open."""
    if course.outcome(change) == "held":
        yield from resolutions(change.address)
    elif course.report and any(
        course.report.maybe_open(course.report.state.failed[request.requestid])
        for request in course.requests(change.address)
        if request.requestid in course.report.state.failed
    ):
        yield adoption(change.address)


def tally(course: Course) -> dict[Tallied, int]:
    """Return how many requests ended how, as the report counts them, and how many changes are held."""
    counts: dict[Tallied, int] = dict.fromkeys(("dispatched", "released", "failed", "unknown", "unsent", "held"), 0)
    for change in course.shown.plan.changes if course.shown else ():
        counts["held"] += course.outcome(change) == "held"
        for request in course.requests(change.address):
            if tallied := _tallied(course.became(request)[0], request.kind):
                counts[tallied] += 1
    return counts


def _tallied(outcome: RequestOutcome, kind: Kind) -> Tallied | None:
    match outcome:
        case "succeeded":
            return _SUCCESSES.get(kind)
        case "failed":
            return None if kind in DONE_IF_ANSWERED else "failed"
        case "unknown" | "unsent":
            return outcome
        case _:
            return None


def state_after(state: State) -> StateAfterJson:
    """Return what a saved state holds."""
    return {
        "serial": state.serial,
        "open": len(state.interactions),
        "pending": len(state.pending),
        "failed": len(state.failed),
    }
