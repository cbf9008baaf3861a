"""`reconciler apply`: lock, read, plan, guard, confirm, then intent, requests, outcomes (delivery/executor.py)."""

from __future__ import annotations

import argparse
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.checkout import Checkout, checkout
from reconciler.cli.choice import files
from reconciler.cli.clock import SystemClock
from reconciler.cli.console import Console
from reconciler.cli.current_state import prepare_folder, state_to_apply
from reconciler.cli.destinations import check_outputs
from reconciler.cli.job_summary import summarise_plan, summarise_report
from reconciler.cli.output import text, view, write_page
from reconciler.cli.progress import ProgressLine
from reconciler.cli.review import Review, review
from reconciler.cli.saved import read_plan, require_same_place, require_same_plan
from reconciler.cli.signals import interruptible, listen
from reconciler.cli.workspace import Workspace, kept, open_workspace
from reconciler.declarations.seals import reader
from reconciler.delivery.answers import Answer
from reconciler.delivery.batch import Invocation
from reconciler.delivery.events import Planned, Reported
from reconciler.delivery.executor import apply
from reconciler.delivery.intent import Intent, intend
from reconciler.delivery.ports import ApplyOptions, Ports, Sender
from reconciler.delivery.record import Occasion, remembered
from reconciler.delivery.redaction import conceal
from reconciler.delivery.report import Report
from reconciler.delivery.sealing import resealed
from reconciler.delivery.throttle import StopSignal
from reconciler.errors import Declined, ExitCode, GuardRefusal, UsageError
from reconciler.planning.plan import Plan
from reconciler.planning.saved_plan import SavedPlan
from reconciler.render.annotations import refusal_annotations
from reconciler.render.outline import outline
from reconciler.render.report import report_text
from reconciler.render.text import closing_text, header, plan_text
from reconciler.render.words import count, left_out
from reconciler.state.model import Applied, State
from reconciler.state.stores.interface import StoredState, Writer
from reconciler.state.stores.owner import who
from reconciler.times import stamp

if TYPE_CHECKING:
    from reconciler.delivery.tokens import Credentials


Permit = Callable[[Plan, State], None]
"""Raises what refuses a plan; called under the lock, before anything is saved or sent."""


def permit_all(_plan: Plan, _state: State) -> None:
    """Refuse nothing."""


@dataclass(frozen=True, slots=True)
class _Run:
    """What the steps of one apply share; `saved` is the plan to carry out, where one is given."""

    options: argparse.Namespace
    console: Console
    workspace: Workspace
    saved: SavedPlan | None
    store: Writer
    permit: Permit
    tree: Checkout | None
    occasion: Occasion


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Bring about what is declared, or exactly what a saved plan says."""
    console.silent = console.silent or options.format == "json"
    _require_usable(options, console)
    listen(signal.SIGHUP)  # a terminal that goes away
    workspace = open_workspace(options, console)
    console.observers.ended("settings")
    return carry_out(workspace, options, console)


def carry_out(
    workspace: Workspace, options: argparse.Namespace, console: Console, permit: Permit = permit_all
) -> ExitCode:
    """Lock, plan, and apply the plan, unless something or somebody refuses it."""
    saved = _read_saved(workspace, options, console)
    prepare_folder(workspace, options)
    with workspace.store.hold("apply", timeout=options.lock_timeout, say=console.note) as store:
        tree = checkout(workspace, options)
        occasion = _occasion(tree, "apply PLAN" if saved else "apply")
        return _carry_out(_Run(options, console, workspace, saved, store, permit, tree, occasion))


def _carry_out(run: _Run) -> ExitCode:
    """Go from the state, read under the lock, to the state that says what became of it."""
    found, reviewed = _review(run)
    _show(reviewed, run)
    _require_as_saved(reviewed.plan, run)
    _require_allowed(reviewed.shown, run)
    state = conceal(found.state, run.workspace.settings.keys.plan_policy.sensitive, reviewed.desired)
    if not (reviewed.plan.writes or found.left_over or state is not found.state):
        return _nothing_to_do(reviewed, state, run)
    run.permit(reviewed.plan, found.state)
    # Looked for before the question: whoever has answered it expects that it is done.
    login = _login(run.workspace) if reviewed.plan.sends else None
    _require_approval(reviewed.shown, run)
    run.store.back_up(state)
    state = run.occasion.applied_to(state)
    intent = intend(reviewed.plan, reviewed.desired, state, stamp(reviewed.at), run.workspace.target)
    return _send(intent, reviewed, login, run)


def _occasion(tree: Checkout | None, command: str) -> Occasion:
    head = tree.head() if tree else None
    return Occasion(stamp(datetime.now(UTC)), who(), command, *(head or ()))


# -- the steps, in their order -----------------------------------------------------------------------------------------


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


def _read_saved(workspace: Workspace, options: argparse.Namespace, console: Console) -> SavedPlan | None:
    """Return the plan that is to be applied, if it was saved; no output of this run goes where it, or a state, is."""
    path = Path(options.directory or ".") / options.plan if options.plan else None
    check_outputs(options, kept(workspace, options) | ({path: "the saved plan"} if path else {}), console)
    if not path:
        return None
    saved = read_plan(path)
    require_same_place(saved.plan, workspace)
    return saved


def _review(run: _Run) -> tuple[StoredState, Review]:
    found, no_state = state_to_apply(run.workspace, run.store, run.options, run.console)
    run.console.observers.ended("read the state")
    of = (run.workspace, found.state, run.options, run.console)
    return found, review(*of, standing=no_state, stored=run.saved, sealing=True)


def _show(reviewed: Review, run: _Run) -> None:
    run.console.observers.told(Planned(reviewed.shown))
    for piece in text(reviewed.shown, run.options, run.console, reviewed.values):
        run.console.say(piece)
    write_page(reviewed.shown, run.options, run.console)  # what there is to see, until there is more
    run.console.commands(refusal_annotations(reviewed.shown.refusals))


def _require_as_saved(plan: Plan, run: _Run) -> None:
    if run.saved:
        environment = run.workspace.settings.environment
        require_same_plan(run.saved.plan, plan, run.options.plan, environment, run.console)


def _require_allowed(shown: SavedPlan, run: _Run) -> None:
    """Raise GuardRefusal where a guard stands against the plan."""
    if shown.refusals:
        summarise_plan(shown, run.options, run.console)
        wrong, code = f"refused by {count(len(shown.refusals), 'guard')}; nothing was sent.", shown.refusals[0].code
        raise GuardRefusal(wrong, hint=f"What {code} means", command=("explain", code))


def _nothing_to_do(reviewed: Review, state: State, run: _Run) -> ExitCode:
    """End a run that changes nothing, but maybe what the state remembers: the commit, or seals of another reader."""
    summarise_plan(reviewed.shown, run.options, run.console)
    known = state
    if run.tree and _is_news(run.tree, state.applied, run.occasion.commit):
        state = run.occasion.applied_to(state)
    if state.interactions and state.reader != reader() and not reviewed.plan.selection:
        state = resealed(state, reviewed.plan, reviewed.declarations, run.workspace.rules_in_force)
    if state is not known:
        run.store.save(replace(state, serial=state.serial + 1))
    return ExitCode.UNKNOWN if reviewed.plan.held else ExitCode.DONE


def _is_news(tree: Checkout, applied: Applied | None, commit: str | None) -> bool:
    """Whether the state doesn't know of this commit, and it, or one since that which it knows, changed what is read."""
    if commit is None or applied is None:
        return commit is not None
    return commit != applied.commit and tree.follows(applied.commit) and tree.changed_since(applied.commit)


def _login(workspace: Workspace) -> Credentials:
    from reconciler.cli.connection import credentials  # noqa: PLC0415  # HTTP only where something is sent

    return credentials(workspace)


def _require_approval(shown: SavedPlan, run: _Run) -> None:
    """Ask, with the target right above the question; and with what it comes to, where that went elsewhere."""
    if not shown.plan.changed or run.saved or run.options.auto_approve:
        return
    made, console = outline(shown), run.console
    seen = view(run.options, console)._replace(width=console.error_width, style=console.error_style)
    above = [header(made, seen)] if console.terminal else [header(made, seen), closing_text(made, seen)]
    if console.silent:
        above = [plan_text(shown, seen)]
    if run.options.new_state:
        above.append("With --new-state: where there is no state, this starts with an empty one.")
    console.raw_error("\n" + "\n\n".join(above) + "\n")
    if console.ask("Apply this? Only `yes` is taken: ") != "yes":
        raise Declined("declined; nothing was sent.")


def _send(intent: Intent, reviewed: Review, login: Credentials | None, run: _Run) -> ExitCode:
    """Send what is intended, and report what became of it."""
    shown = reviewed.shown
    keys, console, stop_signal = run.workspace.settings.keys, run.console, StopSignal()
    console.sent = shown.plan.sends
    with _sender(run.workspace, login) as sender, interruptible(stop_signal, console):
        options = ApplyOptions(keys.width, keys.request_bytes, frozenset(keys.sensitive))
        clock = SystemClock()
        console.observers.add(ProgressLine(console, clock.monotonic))
        ports = Ports(run.store, sender, clock, console.observers, stop_signal, random.random)
        report = apply(intent, options, ports, partial(_completed, reviewed=reviewed, run=run))
        _report(report, shown, run)
    return report.exit_code


def _completed(outcome: Report, reviewed: Review, run: _Run) -> Report:
    """Return the report with what the plan knows, and its state with what that remembers of this run."""
    plan = reviewed.plan
    part = frozenset(change.address for change in plan.changes) if plan.selection else None
    hold_unknown = run.workspace.settings.keys.plan_policy.hold_unknown
    report = replace(outcome, holds=plan.held, hold_unknown=hold_unknown, part=part, left_out=left_out(plan))
    state = remembered(report, plan, run.occasion)
    return replace(report, state=resealed(state, plan, reviewed.declarations, run.workspace.rules_in_force))


def _report(report: Report, shown: SavedPlan, run: _Run) -> None:
    run.console.say("\n" + report_text(report, run.console.command, run.console.style))
    run.console.observers.told(Reported(report))
    summarise_report(report, run.workspace.settings.environment, run.console)
    write_page(shown, run.options, run.console, report)


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
