"""What `plan` and `apply` share: what is declared, compared with the state, and the guards that stand against it."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from reconciler.cli.checkout import checkout
from reconciler.cli.choice import addresses, choices
from reconciler.cli.console import Console
from reconciler.cli.workspace import Workspace, read_declarations
from reconciler.declarations.loader import Declarations
from reconciler.declarations.seals import Seals
from reconciler.errors import DeclarationError
from reconciler.interaction import Interaction
from reconciler.planning.diff import linked_values
from reconciler.planning.guards import Approvals, Refusal, denied, older_commit, refusals
from reconciler.planning.plan import Plan
from reconciler.planning.planner import plan as make_plan
from reconciler.planning.policy import excepted
from reconciler.planning.saved_plan import SavedPlan
from reconciler.planning.selection import known, select
from reconciler.state.model import Applied, State

Refusals = tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Review:
    """A plan with all that it was made of; `values` are the sensitive ones to show, by address and field."""

    shown: SavedPlan
    declarations: Declarations
    at: datetime
    values: dict[str, dict[str, str]]

    @property
    def plan(self) -> Plan:
        """What an apply would do."""
        return self.shown.plan

    @property
    def desired(self) -> dict[str, Interaction]:
        """What is declared, by address."""
        return {interaction.address: interaction for interaction in self.declarations.interactions}


def review(  # noqa: PLR0913  # each is independent, and named by its callers
    workspace: Workspace,
    state: State,
    options: argparse.Namespace,
    console: Console,
    *,
    standing: tuple[Refusal, ...] = (),
    stored: SavedPlan | None = None,
    sealing: bool = False,
) -> Review:
    """Read what is declared and compare it with the state.

    `standing` are guards that stand already; what is `stored` in a saved plan, its approvals and its selection, holds
    here too. `sealing`: what is read is to be sealed, once the plan is carried out.
    """
    seals = None if options.no_seals else Seals(state, workspace.rules_in_force)
    declarations, no_path = _declarations(
        workspace, console, reveal=options.show_sensitive, seals=seals, sealing=sealing
    )
    console.observers.ended("read the declarations")
    if getattr(options, "timings", False):
        console.note(f"{len(declarations.sealed)} of {declarations.files} files are sealed")
    keys, at = workspace.settings.keys, datetime.now(UTC)
    said = _concealed(state, declarations, keys.plan_policy.sensitive)
    plan = make_plan(
        declarations.interactions, said, keys.plan_policy, at, workspace.target, as_sealed=declarations.as_sealed
    )
    plan = _chosen(plan, declarations, state, options, stored)
    approved = _approvals(options, stored.approvals if stored else Approvals())
    older = _older_commit(plan, workspace, state.applied, options, approved)
    refused = (
        *standing,
        *no_path,
        *older,
        *refusals(plan, keys.limits, approved, "." if no_path else _root(workspace)),
        *denied(declarations.denied),
    )
    place = _named_within(workspace, workspace.state_path) if workspace.state_path else workspace.place
    exceptions = excepted(keys.policy, declarations.interactions, at.date())
    shown = SavedPlan(plan, approved, refused, declarations.warnings, workspace.settings.environment, place, exceptions)
    console.observers.ended("compare")
    reveal = options.show_sensitive and console.terminal
    return Review(shown, declarations, at, _revealed(plan, declarations) if reveal else {})


def _chosen(
    plan: Plan, declarations: Declarations, state: State, options: argparse.Namespace, stored: SavedPlan | None
) -> Plan:
    """Return the plan of what is selected; where that is gone since the plan was saved, the plan is stale."""
    selection = stored.plan.selection if stored else choices(options)
    if not selection:
        return plan
    among = known(declarations.interactions, state)
    return plan.only(selection, select(selection, among).addresses if stored else addresses(selection, among, options))


def _concealed(state: State, declarations: Declarations, sensitive: frozenset[str]) -> State:
    """Return the state without what became sensitive in the API's words; no plan holds it from anywhere else."""
    if not state.failed:
        return state
    from reconciler.delivery.redaction import conceal  # noqa: PLC0415  # only where something failed

    declared = {interaction.address: interaction for interaction in declarations.interactions}
    return replace(state, failed=conceal(state, sensitive, declared).failed)


def _root(workspace: Workspace) -> str:
    """Return where the declarations were read from, named as their files are."""
    return _named_within(workspace, workspace.settings.interactions)


def _named_within(workspace: Workspace, path: Path) -> str:
    name = os.path.relpath(path, workspace.settings.folder)
    return os.fsencode(Path(name).as_posix()).decode(errors="replace")


def _declarations(
    workspace: Workspace, console: Console, *, reveal: bool, seals: Seals | None, sealing: bool
) -> tuple[Declarations, tuple[Refusal, ...]]:
    """Return what is declared; where the declarations' path itself is missing, nothing and the guard against that."""
    try:
        return read_declarations(workspace, console, reveal=reveal, seals=seals, sealing=sealing), ()
    except DeclarationError as error:
        if any(problem.code != "missing-path" for problem in error.problems):
            raise
        hint = "Correct the path (interactions), or make the folder if nothing is to be declared."
        missing = tuple(
            Refusal("missing-path", f"{problem.file}: {problem.message}", hint=hint) for problem in error.problems
        )
        return Declarations(()), missing


def _approvals(options: argparse.Namespace, stored: Approvals) -> Approvals:
    """Return what was approved on the command line, and else what a saved plan carries."""
    return Approvals(
        stored.releases if options.allow_releases is None else options.allow_releases,
        stored.dispatches if options.allow_dispatches is None else options.allow_dispatches,
        stored.empty or options.allow_empty,
        stored.outside if options.allow_outside is None else options.allow_outside,
        stored.older_commit if options.allow_older_commit is None else options.allow_older_commit,
    )


def _older_commit(
    plan: Plan, workspace: Workspace, applied: Applied | None, options: argparse.Namespace, approved: Approvals
) -> Refusals:
    """Return the guard against what does not follow what was applied, as far as git can tell."""
    if applied is None or not plan.writes:
        return ()
    tree = checkout(workspace, options)
    if tree is None or tree.follows(applied.commit):
        return ()
    found = tree.relation(applied.commit)
    refusal = older_commit(found[0], applied, found[1], approved) if found else None
    return (refusal,) if refusal else ()


def _revealed(plan: Plan, declarations: Declarations) -> dict[str, dict[str, str]]:
    wanted = {change.address for change in plan.changes}
    return {
        interaction.address: linked_values(interaction.request)
        for interaction in declarations.interactions
        if interaction.address in wanted
    }
