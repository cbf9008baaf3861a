"""Pages to look at: of a plan, and of what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from reconciler.commandline import CommandLine
from reconciler.delivery.report import Report
from reconciler.planning.guards import Approvals
from reconciler.planning.selection import Selection
from reconciler.render.html.page import page
from reconciler.render.links import SourceLinks
from reconciler.state.model import Kind
from tests.known import opened, state
from tests.render import plans
from tests.render.plans import failed, interaction, pending

LINKS = SourceLinks("https://github.com/acme/contact-centre/blob/5d41402abc4b2a76b9719d911017c592aaaabbbb", "config")


def small() -> str:
    """Return the page of a plan of each kind of change, refused by two guards."""
    return page(plans.forty(), LINKS)


def reported(names: Sequence[str] = ("crm-1", "crm-2", "crm-3", "crm-4", "crm-5", "crm-6")) -> str:
    """Return the page of an apply in which, of six alike, two failed, and each of the others ended in another way."""
    now = [interaction(name, line=3 + number, route="CrmNight") for number, name in enumerate(names)]
    was = [interaction(name, line=3 + number) for number, name in enumerate(names)]
    saved = plans.saved(now, was, approved=Approvals(releases=len(names)))
    saved = replace(saved, plan=saved.plan.only(Selection((names[0], "crm-*")), names))
    reason = f"no such route: {names[0]}"
    links = {
        "requestid-3": pending(now[2], Kind.RELEASE),
        "requestid-4": pending(now[3], held=f"nobody knows of {names[3]}"),
        "requestid-5": pending(now[4], unsent=True),
    }
    failures = tuple((f"requestid-{n}", failed(now[n - 1], "dispatch", 2, reason)) for n in (1, 2))
    left = state(serial=13, pending=links, interactions={names[5]: opened(now[5])})
    done = Counter({Kind.DISPATCH: 1, Kind.RELEASE: 3})
    report = Report(left, done, failures, (f"the API answered 403: {names[0]}",), interrupted=True, gave_up=False)
    return page(saved, None, CommandLine(("--env", "prod")), report)
