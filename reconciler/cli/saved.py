"""The plan that an earlier run saved: read, and held against the API, the account and the plan of here and now."""

from __future__ import annotations

from pathlib import Path

from reconciler.cli.console import Console
from reconciler.cli.job_summary import summarise_stale
from reconciler.cli.workspace import Workspace, named
from reconciler.endless import read_bytes
from reconciler.errors import PlanFileError, StalePlan
from reconciler.planning import saved_plan
from reconciler.planning.plan import Plan
from reconciler.planning.saved_plan import SavedPlan, differences, fingerprint, seems_applied
from reconciler.render.stale import stale_text, why_stale
from reconciler.render.text import View


def read_plan(path: Path) -> SavedPlan:
    """Return a saved plan; raises PlanFileError."""
    try:
        data = read_bytes(path)
    except OSError as error:
        raise PlanFileError(f"{path}: the plan can't be read: {error.strerror}") from error
    return saved_plan.decode(data, str(path))


def require_same_place(plan: Plan, workspace: Workspace) -> None:
    """Raise PlanFileError if the plan was made for another API or account."""
    if plan.target != workspace.target:
        made_for = named(plan.target) if plan.target else "no target"
        raise PlanFileError(
            f"this plan was made for {made_for}, not for {named(workspace.target)}",
            hint="Apply it where it was made for: the same region, account, --env and --sandbox.",
        )


def require_same_plan(then: Plan, now: Plan, name: str, environment: str | None, console: Console) -> None:
    """Raise PlanFileError for the plan of another state, StalePlan if it would be another plan now."""
    if then.lineage != now.lineage:
        raise PlanFileError(
            f"this plan was made from a state of lineage {then.lineage}; the state here has {now.lineage}",
            hint="Use the state that it was made from, or plan anew.",
        )
    if fingerprint(then) != fingerprint(now):
        console.say("\n" + stale_text(differences(then, now), View(console.width, console.style)))
        summarise_stale(then, now, environment, console)
        anew = () if seems_applied(then, now) else ("plan", f"--out={name}")
        raise StalePlan(f"the saved plan is stale; nothing was sent. {why_stale(then, now)}", command=anew)
