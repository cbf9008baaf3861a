"""`reconciler apply`: lock, read, plan, guard, confirm, then intent, requests, outcomes (reconciler/apply.py)."""

from __future__ import annotations

import argparse
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from reconciler import statefile
from reconciler.answers import Answer
from reconciler.apply import Options, Sender, Shell, apply
from reconciler.batch import Invocation
from reconciler.cli.console import Console, ProgressLine
from reconciler.cli.plan import show
from reconciler.cli.signals import interruptible
from reconciler.cli.workspace import Workspace, approvals, check_target, declarations_or_none, new_state, open_workspace
from reconciler.errors import ExitCode, GuardRefusal, ReconcilerError, StateMissing, UsageError
from reconciler.guard import refusals
from reconciler.intent import intend
from reconciler.lock import locked
from reconciler.pace import Brake
from reconciler.plan import Plan
from reconciler.planner import plan as make_plan
from reconciler.render.report import report_text
from reconciler.statefile import Found, StateFile
from reconciler.times import stamp


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Bring about what is declared."""
    if not options.auto_approve and not console.can_ask:
        raise UsageError(
            "without a terminal, nobody can approve the plan",
            hint="Use --auto-approve, or apply a plan that was saved and reviewed.",
        )
    workspace = open_workspace(options, console)
    _prepare_folder(workspace)
    with locked(workspace.state_path, "apply", datetime.now(UTC), timeout=options.lock_timeout):
        return _run_locked(workspace, options, console)


def _run_locked(workspace: Workspace, options: argparse.Namespace, console: Console) -> ExitCode:
    store = StateFile(workspace.state_path)
    found = _read_or_create(workspace, store, options, console)
    declarations, no_path = declarations_or_none(workspace, console, reveal=options.show_sensitive)
    now, state = datetime.now(UTC), found.state
    plan = make_plan(declarations.interactions, state, workspace.policy, now, workspace.target)
    refused = (*no_path, *refusals(plan, workspace.limits, approvals(options)))
    show(plan, refused, declarations, options, console)
    if refused:
        raise GuardRefusal(
            f"refused by a guard: {'; '.join(refusal.message for refusal in refused)}. Nothing was sent."
        )
    if not plan.writes and not found.left_over:
        return _nothing_to_do(plan)
    if plan.changed and not _approved(options, console):
        raise ReconcilerError("declined; nothing was sent.")
    desired = {interaction.address: interaction for interaction in declarations.interactions}
    store.back_up()
    intent = intend(plan, desired, state, stamp(now), workspace.target)
    with _sender(workspace, needed=plan.sends) as sender:
        brake = Brake()
        shell = Shell(store, sender, SystemClock(), ProgressLine(console), brake, random.Random())  # noqa: S311
        with interruptible(brake, console):
            report = apply(intent, _options(workspace), shell)
    console.out("\n" + report_text(report) if plan.changed else report_text(report))
    return report.exit_code


def _prepare_folder(workspace: Workspace) -> None:
    if workspace.sandbox:
        workspace.sandbox_folder.mkdir(exist_ok=True)


def _read_or_create(workspace: Workspace, store: StateFile, options: argparse.Namespace, console: Console) -> Found:
    try:
        found = statefile.read(workspace.state_path)
    except StateMissing:
        if not (options.new_state or workspace.sandbox):
            raise
        state = new_state()
        store.create(state)
        console.note(f"{workspace.shown(workspace.state_path)}: a new, empty state")
        return Found(state, left_over=False)
    check_target(found.state, workspace)
    return found


def _nothing_to_do(plan: Plan) -> ExitCode:
    return ExitCode.UNKNOWN if plan.held else ExitCode.DONE


def _approved(options: argparse.Namespace, console: Console) -> bool:
    return options.auto_approve or console.ask("Apply this? Only `yes` is taken: ") == "yes"


def _options(workspace: Workspace) -> Options:
    settings = workspace.settings
    return Options(settings.parallelism, settings.request_bytes, sensitive=settings.sensitive)


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
