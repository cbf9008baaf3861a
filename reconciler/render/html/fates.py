"""What became of each change of a plan.

Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from reconciler.commandline import adoption, resolutions
from reconciler.delivery.report import Report
from reconciler.planning.plan import Action, Change
from reconciler.render.html.changes import LOOK_UP, Fate
from reconciler.render.outline import ORDER
from reconciler.render.report import NEXT
from reconciler.render.words import times

OUTCOMES: Final = {
    "failed": ("failed", NEXT["failed"]),
    "unknown": ("unknown", f"May or may not have been processed. {NEXT['unknown']}"),
    "held": ORDER[Action.HOLD],
    "unsent": ("not sent", NEXT["unsent"]),
    "drift": ORDER[Action.DRIFT],
    "done": ("done", ""),
}
"""Each way in which a change may end, the worst first, with its title and what comes of it."""


def fates(report: Report, changes: Iterable[Change]) -> dict[str, Fate]:
    """Return what became of each address; of several outcomes, the worst."""
    found = {change.address: Fate("drift" if change.action is Action.DRIFT else "done") for change in changes}
    requests: defaultdict[str, list[str]] = defaultdict(list)
    for outcome, pending in (("unsent", report.unsent), ("unknown", report.unknown)):
        for requestid, link in pending:
            requests[link.address].append(f"{outcome}: {link.kind} requestid {requestid}")
            found[link.address] = Fate(outcome)
    for held in report.held:
        requests[held.address] += [f"{action} requestid {requestid}" for action, requestid in held.requests]
        found[held.address] = Fate("held", (held.why,), (), LOOK_UP, resolutions(held.address))
    for requestid, failure in report.failed:
        requests[failure.address].append(f"{failure.action} requestid {requestid}")
        again = (f"failed {times(failure.attempts)} in a row",) if failure.attempts > 1 else ()
        said = (f"{failure.action} failed: {failure.reason}", *again)
        adopt = ("It may be open already. If it is, take it as that:", (adoption(failure.address),))
        found[failure.address] = Fate("failed", said, (), *(adopt if report.maybe_open(failure) else ()))
    return {address: fate._replace(requests=tuple(requests[address])) for address, fate in found.items()}
