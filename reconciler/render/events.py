"""What happens in a run as lines of JSON, for whoever follows it while it runs.

Pure. Bodies, digests and sensitive values stay out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from reconciler import __version__
from reconciler.delivery.answers import Accepted, Answer, NotProcessed, Refused, Rejected, Unknown
from reconciler.delivery.batch import Request
from reconciler.delivery.course import Course
from reconciler.delivery.events import Answered, Erred, Event, Finished, Planned, Saved, Sent, Settled, Started, Waiting
from reconciler.render.formats import AnsweredEvent, EventJson, Proves, SettledEvent, SettledRequestJson, WaitingEvent
from reconciler.render.machine import plan_head
from reconciler.render.result import error_object, state_after, tally
from reconciler.state.model import Outcome

MINOR: Final = 0
"""Raised by a new kind of line, or a new key; what could break a reader raises the major version."""


class EventLines:
    """Makes the lines of one run, in their order; `now` is the time of each. For one thread at a time."""

    def __init__(self, command: str, now: Callable[[], datetime], course: Course) -> None:
        self._command = command
        self._now = now
        self._course = course
        self._requests: dict[str, Request] = {}
        self._done = self._failed = self._expected = 0

    def version(self) -> EventJson:
        """Return the first line."""
        return {
            "event": "version",
            "time": self._stamp(),
            "format": "reconciler-events",
            "major": 1,
            "minor": MINOR,
            "reconciler": __version__,
            "command": self._command,
        }

    def heartbeat(self) -> EventJson:
        """Return the line that says that the run goes on."""
        return {"event": "heartbeat", "time": self._stamp()}

    def line(self, event: Event) -> EventJson | None:
        """Return the line of an event; None for those that have none."""
        time = self._stamp()
        line: EventJson | None = None
        match event:
            case Planned(shown):
                requests = sum(len(change.steps) for change in shown.plan.changes)
                line = {"event": "planned", "time": time, "plan": plan_head(shown), "requests": requests}
            case Started(chains, expected):
                self._requests = {request.requestid: request for chain in chains for request in chain}
                self._expected = expected
            case Sent():
                line = _sent(event, time)
            case Answered():
                line = _answered(event, time)
            case Waiting():
                line = _waiting(event, time, self._stamp(event.seconds))
            case Settled():
                line = self._settled(event, time)
            case Saved(state, folded=True):
                line = {"event": "folded", "time": time, "state": state_after(state)}
            case Erred():
                line = {"event": "error", "time": time, "error": error_object(event)}
            case Finished(exit_code):
                line = {"event": "finished", "time": time, "exit_code": exit_code, "counts": tally(self._course)}
        return line

    def _settled(self, event: Settled, time: str) -> SettledEvent:
        self._done += event.succeeded + event.failed
        self._failed += event.failed
        return {
            "event": "settled",
            "time": time,
            "requests": [self._outcome(outcome) for outcome in event.outcomes],
            "done": self._done,
            "failed": self._failed,
            "expected": self._expected,
        }

    def _outcome(self, outcome: Outcome) -> SettledRequestJson:
        request = self._requests[outcome.requestid]
        return {
            "requestid": outcome.requestid,
            "address": request.address,
            "kind": request.kind,
            "result": outcome.result,
            "reason": outcome.reason or None,
        }

    def _stamp(self, seconds: float = 0.0) -> str:
        when = self._now() + timedelta(seconds=seconds)
        return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encoded(line: EventJson) -> bytes:
    """Return a line as it is written, newline included: ASCII, so that nothing declared can act on a terminal."""
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def _sent(event: Sent, time: str) -> EventJson:
    return {
        "event": "sent",
        "time": time,
        "invocation": event.number,
        "attempt": event.attempt,
        "provider": event.invocation.provider,
        "requests": [
            {
                "requestid": request.requestid,
                "address": request.address,
                "kind": request.kind,
                "resend": request.resend,
            }
            for request in event.invocation.requests
        ],
    }


def _waiting(event: Waiting, time: str, until: str) -> WaitingEvent:
    return {
        "event": "waiting",
        "time": time,
        "invocation": event.number or None,
        "cause": event.cause,
        "reason": event.reason,
        "seconds": round(event.seconds, 3),
        "until": until,
    }


def _answered(event: Answered, time: str) -> AnsweredEvent:
    return {
        "event": "answered",
        "time": time,
        "invocation": event.number,
        "attempt": event.attempt,
        "answer": proves(event.answer),
        "status": event.answer.status,
        "failed": len(event.answer.failed) if isinstance(event.answer, Accepted) else 0,
        "reason": event.reason or None,
        "seconds": round(event.seconds, 3),
    }


def proves(answer: Answer) -> Proves:
    """Return what an answer proves, in a word."""
    match answer:
        case Accepted():
            return "accepted"
        case Unknown():
            return "unknown"
        case NotProcessed():
            return "not-processed"
        case Refused():
            return "refused"
        case Rejected():
            return "rejected"
