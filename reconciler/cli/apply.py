"""`reconciler apply`: lock, read, plan, guard, confirm, then intent, requests, outcomes (delivery/executor.py)."""

from __future__ import annotations

import argparse
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.choice import files
from reconciler.cli.console import Console
from reconciler.cli.current_state import prepare_folder, state_to_apply
from reconciler.cli.destinations import check_outputs
from reconciler.cli.job_summary import summarise_plan, summarise_report
from reconciler.cli.output import view
from reconciler.cli.progress import ProgressLine
from reconciler.cli.review import review
from reconciler.cli.saved import read_plan, require_same_place, require_same_plan
from reconciler.cli.signals import interruptible, listen
from reconciler.cli.workspace import Workspace, kept, open_workspace
from reconciler.delivery.answers import Answer
from reconciler.delivery.batch import Invocation
from reconciler.delivery.executor import apply
from reconciler.delivery.intent import Intent, intend
from reconciler.delivery.ports import ApplyOptions, Ports, Sender
from reconciler.delivery.redaction import conceal
from reconciler.delivery.throttle import StopSignal
from reconciler.errors import ExitCode, GuardRefusal, ReconcilerError, UsageError
from reconciler.planning.plan import Plan
from reconciler.planning.saved_plan import SavedPlan
from reconciler.render.annotations import refusal_annotations
from reconciler.render.outline import outline
from reconciler.render.report import report_text
from reconciler.render.text import closing_text, header, plan_text
from reconciler.render.words import count, left_out
from reconciler.state.stores.interface import Writer
from reconciler.times import stamp

if TYPE_CHECKING:
    from reconciler.delivery.tokens import Credentials


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Bring about what is declared, or exactly what a saved plan says."""
    _require_usable(options, console)
    listen(signal.SIGHUP)  # a terminal that goes away
    workspace = open_workspace(options, console)
    saved = _read_saved(workspace, options)
    prepare_folder(workspace, options)
    with workspace.store.hold("apply", timeout=options.lock_timeout, say=console.note) as store:
        return _run_locked(store, workspace, saved, options, console)


def _require_usable(options: argparse.Namespace, console: Console) -> None:
    """Raise UsageError for options that contradict each other, or the place we run in."""
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


def _read_saved(workspace: Workspace, options: argparse.Namespace) -> SavedPlan | None:
    """Return the plan that is to be applied, if it was saved; no output of this run goes where it, or a state, is."""
    path = Path(options.directory or ".") / options.plan if options.plan else None
    check_outputs(options, kept(workspace, options) | ({path: "the saved plan"} if path else {}))
    if not path:
        return None
    saved = read_plan(path)
    require_same_place(saved.plan, workspace)
    return saved


def _run_locked(
    store: Writer, workspace: Workspace, saved: SavedPlan | None, options: argparse.Namespace, console: Console
) -> ExitCode:
    found, no_state = state_to_apply(workspace, store, options, console)
    reviewed = review(workspace, found.state, options, console, standing=no_state, stored=saved)
    shown, plan, refused = reviewed.shown, reviewed.plan, reviewed.shown.refusals
    console.out(plan_text(shown, view(options, console, reviewed.values)))
    console.commands(refusal_annotations(refused))
    if saved:
        require_same_plan(saved.plan, plan, options.plan, workspace.settings.environment, console)
    if refused:
        summarise_plan(shown, options, console)
        raise GuardRefusal(f"refused by {count(len(refused), 'guard')}; nothing was sent.")
    state = conceal(found.state, workspace.settings.keys.policy.sensitive, reviewed.desired)
    if not plan.writes and not found.left_over and state is found.state:
        summarise_plan(shown, options, console)
        return ExitCode.UNKNOWN if plan.held else ExitCode.DONE
    # Looked for before the question: whoever has answered it expects that it is done.
    login = _login(workspace) if plan.sends else None
    if plan.changed and not (saved or _approved(shown, options, console)):
        raise ReconcilerError("declined; nothing was sent.")
    store.back_up(state)
    intent = intend(plan, reviewed.desired, state, stamp(reviewed.at), workspace.target)
    return _carry_out(intent, plan, store, workspace, console, _sender(workspace, login))


def _login(workspace: Workspace) -> Credentials:
    from reconciler.cli.connection import credentials  # noqa: PLC0415  # HTTP only where something is sent

    return credentials(workspace)


def _carry_out(  # noqa: PLR0913, PLR0917  # each is independent
    intent: Intent,
    plan: Plan,
    store: Writer,
    workspace: Workspace,
    console: Console,
    sending: AbstractContextManager[Sender],
) -> ExitCode:
    stop_signal = StopSignal()
    console.sent = plan.sends
    with sending as sender, interruptible(stop_signal, console):
        ports = Ports(store, sender, SystemClock(), ProgressLine(console), stop_signal, random.random)
        outcome = apply(intent, _options(workspace), ports)
        part = frozenset(change.address for change in plan.changes) if plan.selection else None
        hold_unknown = workspace.settings.keys.policy.hold_unknown
        report = replace(outcome, holds=plan.held, hold_unknown=hold_unknown, part=part, left_out=left_out(plan))
        console.out("\n" + report_text(report, console.command, console.style))
        summarise_report(report, workspace.settings.environment, console)
    return report.exit_code


def _approved(shown: SavedPlan, options: argparse.Namespace, console: Console) -> bool:
    """Ask, with the target right above the question; and with what it comes to, where that went elsewhere."""
    if options.auto_approve:
        return True
    made = outline(shown)
    seen = view(options, console)._replace(width=console.error_width, style=console.error_style)
    above = [header(made, seen)] if console.terminal else [header(made, seen), closing_text(made, seen)]
    console.raw_error("\n" + "\n\n".join(above) + "\n")
    return console.ask("Apply this? Only `yes` is taken: ") == "yes"


def _options(workspace: Workspace) -> ApplyOptions:
    keys = workspace.settings.keys
    return ApplyOptions(keys.parallelism, keys.request_bytes, frozenset(keys.sensitive))


@contextmanager
def _sender(workspace: Workspace, login: Credentials | None) -> Iterator[Sender]:
    """Give a client of the API, or of a sandbox started for this run; none at all where nothing is sent."""
    if login is None:
        yield _Nobody()
        return
    from reconciler.cli.connection import connect  # noqa: PLC0415  # HTTP only where something is sent

    with connect(workspace, login) as client:
        yield client


class _Nobody:
    def invoke(self, invocation: Invocation) -> Answer:
        raise AssertionError(f"a plan that sends nothing sent {len(invocation.requests)} requests")


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        """See throttle.Clock."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """See throttle.Clock."""
        return time.monotonic()

    def wait(self, seconds: float, until: threading.Event) -> None:
        """See throttle.Clock."""
        until.wait(seconds)
