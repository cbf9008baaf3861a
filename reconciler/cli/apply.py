"""`reconciler apply`: lock, read, plan, guard, confirm, then intent, requests, outcomes (reconciler/apply.py)."""

from __future__ import annotations

import argparse
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from reconciler.cli.choice import files
from reconciler.cli.console import Console, ProgressLine
from reconciler.cli.destinations import check_outputs
from reconciler.cli.output import append_summary, markdown, summary_wanted, text
from reconciler.cli.review import review
from reconciler.cli.show import read_plan
from reconciler.cli.signals import interruptible, listen
from reconciler.cli.workspace import (
    Workspace,
    check_target,
    kept,
    named,
    new_state,
    no_state_refusal,
    open_workspace,
)
from reconciler.delivery.answers import Answer
from reconciler.delivery.batch import Invocation
from reconciler.delivery.executor import Options, Sender, Shell, apply
from reconciler.delivery.intent import Intent, intend
from reconciler.delivery.redaction import conceal
from reconciler.delivery.report import Report
from reconciler.delivery.throttle import Brake
from reconciler.errors import (
    ExitCode,
    GuardRefusal,
    PlanFileError,
    ReconcilerError,
    StalePlan,
    StateMissing,
    UsageError,
)
from reconciler.planning.guards import Refusal
from reconciler.planning.plan import Plan
from reconciler.planning.saved_plan import SavedPlan, differences, fingerprint, seems_applied
from reconciler.render.annotations import refusal_annotations
from reconciler.render.report import report_text
from reconciler.render.stale import stale_text, why_stale
from reconciler.render.words import count
from reconciler.state.stores.local import Writer
from reconciler.state.stores.reading import MAKE_STATE, WRONG_PATH, Found
from reconciler.times import stamp


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Bring about what is declared, or exactly what a saved plan says."""
    if not options.auto_approve and not options.plan and not console.can_ask:
        raise UsageError(
            "without a terminal, nobody can approve the plan",
            hint="Use --auto-approve, or apply a plan that was saved and reviewed.",
        )
    if options.plan and (options.target or options.exclude or [*files(options)]):
        raise UsageError(
            "a saved plan holds what was selected for it",
            hint="Apply it without --target and --exclude, or plan anew with them.",
        )
    listen(signal.SIGHUP)  # a terminal that goes away
    workspace = open_workspace(options, console)
    plan_file = Path(options.directory or ".") / options.plan if options.plan else None
    check_outputs(options, kept(workspace, options) | ({plan_file: "the saved plan"} if plan_file else {}))
    saved = read_plan(plan_file) if plan_file else None
    if saved:
        _require_same_place(saved.plan, workspace)
    _prepare_folder(workspace, options)
    with workspace.store.hold("apply", timeout=options.lock_timeout, say=console.note) as store:
        return _run_locked(store, workspace, saved, options, console)


def _run_locked(
    store: Writer, workspace: Workspace, saved: SavedPlan | None, options: argparse.Namespace, console: Console
) -> ExitCode:
    found, no_state = _read_or_create(workspace, store, options, console)
    reviewed = review(workspace, found.state, options, console, standing=no_state, stored=saved)
    shown, plan, refused = reviewed.shown, reviewed.plan, reviewed.shown.refusals
    console.out(text(shown, console, reviewed.values))
    console.commands(refusal_annotations(refused))
    if saved:
        _require_same_plan(saved.plan, plan, options.plan, workspace.settings.environment, console)
    if refused:
        _summarise_plan(shown, options, console)
        raise GuardRefusal(f"refused by {count(len(refused), 'guard')}; nothing was sent.")
    state = conceal(found.state, workspace.settings.keys.policy.sensitive, reviewed.desired)
    if not plan.writes and not found.left_over and state is found.state:
        _summarise_plan(shown, options, console)
        return ExitCode.UNKNOWN if plan.held else ExitCode.DONE
    if plan.changed and not (saved or _approved(options, console)):
        raise ReconcilerError("declined; nothing was sent.")
    store.back_up(state)
    intent = intend(plan, reviewed.desired, state, stamp(reviewed.at), workspace.target)
    return _carry_out(intent, plan, store, workspace, console)


def _carry_out(intent: Intent, plan: Plan, store: Writer, workspace: Workspace, console: Console) -> ExitCode:
    brake = Brake()
    console.sent = plan.sends
    with _sender(workspace, needed=plan.sends) as sender, interruptible(brake, console):
        shell = Shell(store, sender, SystemClock(), ProgressLine(console), brake, random.Random())  # noqa: S311
        outcome = apply(intent, _options(workspace), shell)
        part = frozenset(change.address for change in plan.changes) if plan.selection else None
        hold_unknown = workspace.settings.keys.policy.hold_unknown
        report = replace(outcome, holds=plan.held, hold_unknown=hold_unknown, part=part)
        console.out("\n" + report_text(report, console.command))
        _summarise_report(report, workspace, console)
    return report.exit_code


def _summarise_plan(shown: SavedPlan, options: argparse.Namespace, console: Console) -> None:
    """Put a plan that is not carried out into the summary of the job."""
    if summary_wanted():
        append_summary(markdown(shown, options, console), console)


def _summarise_report(report: Report, workspace: Workspace, console: Console) -> None:
    """Put what became of it into the summary of the job."""
    if summary_wanted():
        from reconciler.render.markdown.report import report_markdown  # noqa: PLC0415  # only in a pipeline

        append_summary(report_markdown(report, workspace.settings.environment, command=console.command), console)


def _require_same_place(plan: Plan, workspace: Workspace) -> None:
    """Raise PlanFileError if the plan was made for another API or account."""
    if plan.target != workspace.target:
        made_for = named(plan.target) if plan.target else "no target"
        raise PlanFileError(
            f"this plan was made for {made_for}, not for {named(workspace.target)}",
            hint="Apply it where it was made for: the same region, account, --env and --sandbox.",
        )


def _require_same_plan(then: Plan, now: Plan, name: str, environment: str | None, console: Console) -> None:
    """Raise PlanFileError for the plan of another state, StalePlan if it would be another plan now."""
    if then.lineage != now.lineage:
        raise PlanFileError(
            f"this plan was made from a state of lineage {then.lineage}; the state here has {now.lineage}",
            hint="Use the state that it was made from, or plan anew.",
        )
    if fingerprint(then) != fingerprint(now):
        console.out("\n" + stale_text(differences(then, now), width=console.width))
        _summarise_stale(then, now, environment, console)
        anew = () if seems_applied(then, now) else ("plan", f"--out={name}")
        raise StalePlan(f"the saved plan is stale; nothing was sent. {why_stale(then, now)}", command=anew)


def _summarise_stale(then: Plan, now: Plan, environment: str | None, console: Console) -> None:
    """Put what came out differently into the summary of the job."""
    if summary_wanted():
        from reconciler.render.markdown.report import stale_markdown  # noqa: PLC0415  # only in a pipeline

        append_summary(stale_markdown(differences(then, now), why_stale(then, now), environment), console)


def _prepare_folder(workspace: Workspace, options: argparse.Namespace) -> None:
    """Make the folder of a state that may be made; a missing one is otherwise as wrong as a missing state."""
    folder = workspace.state_path.parent
    if options.new_state or workspace.sandbox:
        folder.mkdir(parents=True, exist_ok=True)
    elif not folder.is_dir():
        wrong = f"{workspace.shown(folder)}: there is no such folder for the state"
        raise StateMissing(wrong, hint=WRONG_PATH, command=MAKE_STATE)


def _read_or_create(
    workspace: Workspace, store: Writer, options: argparse.Namespace, console: Console
) -> tuple[Found, tuple[Refusal, ...]]:
    """Return the state, made anew where that was asked for; or an empty one and the guard against going on with it."""
    try:
        found = store.read()
    except StateMissing as missing:
        state = new_state(workspace.target)
        if not (options.new_state or workspace.sandbox):
            console.warn(str(missing), console.hint(missing))
            return Found(state, left_over=False), (no_state_refusal(workspace, "--new-state"),)
        store.create(state)
        console.note(f"{workspace.shown(workspace.state_path)}: a new, empty state")
        return Found(state, left_over=False), ()
    check_target(found.state, workspace)
    return found, ()


def _approved(options: argparse.Namespace, console: Console) -> bool:
    return options.auto_approve or console.ask("Apply this? Only `yes` is taken: ") == "yes"


def _options(workspace: Workspace) -> Options:
    keys = workspace.settings.keys
    return Options(keys.parallelism, keys.request_bytes, frozenset(keys.sensitive))


@contextmanager
def _sender(workspace: Workspace, *, needed: bool) -> Iterator[Sender]:
    """Give a client of the API, or of a sandbox started for this run; none at all where nothing is sent."""
    if not needed:
        yield _Nobody()
        return
    from reconciler.cli.connection import connect  # noqa: PLC0415  # HTTP only where something is sent

    with connect(workspace) as client:
        yield client


class _Nobody:
    def invoke(self, invocation: Invocation) -> Answer:
        raise AssertionError(f"a plan that sends nothing sent {len(invocation.requests)} requests")


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        """See pace.Clock."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See pace.Clock."""
        return time.monotonic()

    def wait(self, seconds: float, until: threading.Event) -> None:
        """See pace.Clock."""
        until.wait(seconds)
