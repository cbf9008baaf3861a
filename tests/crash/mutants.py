# ruff: noqa: SLF001 - a mutant changes what is nobody else's business
"""The product with one protection removed each: what the harness must be able to catch.

A mutant is a patch made in the forked process only; its docstring says what goes wrong. The product has no switch.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Callable, Iterator
from dataclasses import replace
from stat import S_ISDIR
from types import SimpleNamespace
from typing import Any, Final
from uuid import uuid4

from reconciler.delivery import answers, client, executor, intent, retry, throttle
from reconciler.interaction import same_content
from reconciler.planning import planner, unknown_outcomes
from reconciler.planning.plan import Step
from reconciler.state import codec, model, transitions
from reconciler.state.model import Kind, Outcome, Result
from reconciler.state.stores import folder, journalfile, lock
from reconciler.state.stores.folder import Folder
from reconciler.state.stores.local import Writer

Mutant = Callable[[], None]
MUTANTS: Final[dict[str, Mutant]] = {}


def mutant(patch: Mutant) -> Mutant:
    """Make a patch known by its name."""
    MUTANTS[patch.__name__.replace("_", "-")] = patch
    return patch


def _set(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)


# -- intent and requestids ---------------------------------------------------------------------------------------


@mutant
def intent_not_saved() -> None:
    """Send the first request before the intent is saved."""
    real = Writer.save
    begun: list[bool] = []

    def save(self: Writer, new: model.State) -> None:
        if begun or not new.pending:
            real(self, new)
        else:
            begun.append(True)

    _set(Writer, "save", save)


@mutant
def random_requestids() -> None:
    """Draw requestids, instead of deriving them from the state that a run starts from."""
    _set(intent._Origin, "derive", lambda *_: str(uuid4()))


@mutant
def new_requestids_on_resend() -> None:
    """Send again, after an unknown outcome, under a new requestid."""

    def change(step: Step) -> Step | None:
        renewed = step.resend and step.kind in {Kind.DISPATCH, Kind.RELEASE}
        return step._replace(requestid=None, resend=False) if renewed else step

    _settle_with(change)


# -- journal and disk --------------------------------------------------------------------------------------------


@mutant
def no_journal() -> None:
    """Keep no journal: save outcomes at the end only."""
    _set(Writer, "append", lambda *_: None)


@mutant
def files_not_fsynced() -> None:
    """Fsync folders only, no files."""

    def sync(descriptor: int) -> None:
        if S_ISDIR(os.fstat(descriptor).st_mode):
            os.fsync(descriptor)

    for module in (folder, journalfile):
        _set(module, "sync", sync)


@mutant
def folder_not_fsynced() -> None:
    """Fsync files only, no folders."""
    _set(Folder, "sync", lambda _: None)


@mutant
def journal_removed_first() -> None:
    """Remove the journal before the state that holds its outcomes is saved."""
    real = Writer.save

    def save(self: Writer, new: model.State) -> None:
        self._journal.remove()
        real(self, new)

    _set(Writer, "save", save)


@mutant
def state_written_in_place() -> None:
    """Overwrite the state where it stands, instead of replacing it by a whole new file."""

    def save(self: Writer, new: model.State) -> None:
        with self._folder.open(self.path.name, os.O_RDWR | os.O_TRUNC) as state:
            folder.write_all(state, b"".join(codec.encode(new)), 0)
            folder.sync(state)
        self._journal.remove()
        self._state, self._look = new, self._folder.look(self.path.name)

    _set(Writer, "save", save)


# -- outcomes ----------------------------------------------------------------------------------------------------


@mutant
def refusal_settles() -> None:
    """Take a 400 after an unknown outcome as a definite failure."""
    real = retry._refused

    def refused(reason: str, invocation: Any, history: retry.History) -> retry.Decision:
        return real(reason, invocation, replace(history, unknown=False))

    _set(retry, "_refused", refused)


@mutant
def unknown_marked_unsent() -> None:
    """Mark as unsent what can't be settled, though an earlier try may have been processed."""
    real = retry._unsent
    _set(retry, "_unsent", lambda invocation, history: real(invocation, replace(history, unknown=False)))


@mutant
def half_taken_as_unsent() -> None:
    """Mark a half as unsent that can't be settled, though the body it was in may have been processed."""
    real = retry._unsent
    _set(retry, "_unsent", lambda invocation, history: real(invocation, replace(history, halved=False)))


@mutant
def refused_half_is_definite() -> None:
    """Take a request that is refused alone, after a larger body with it was, as certainly not processed."""
    real = retry._refused

    def refused(reason: str, invocation: Any, history: retry.History) -> retry.Decision:
        return real(reason, invocation, replace(history, halved=False))

    _set(retry, "_refused", refused)


@mutant
def gateway_s_answer_is_a_rejection() -> None:
    """Take a 404 as the API's word that nothing was processed."""
    real = answers.read_answer

    def read_answer(status: int, *arguments: Any) -> answers.Answer:
        match real(status, *arguments):
            case answers.Unknown(reason, stop=True):
                return answers.Rejected(reason)
            case answer:
                return answer

    _set(client, "read_answer", read_answer)


@mutant
def unsent_not_cleared() -> None:
    """Leave the mark `unsent` in the intent of the run that does send it."""

    def change(link: model.Pending, known: model.Pending | None) -> model.Pending:
        return link._replace(unsent=known.unsent if known else False)

    _link_with(change)


@mutant
def failure_of_resend_is_definite() -> None:
    """Take a resend that is answered as failed as if its first copy had failed."""
    real = transitions.Draft.settle

    def settle(self: Any, outcome: Outcome, at: str) -> None:
        real(self, outcome._replace(resent=False), at)

    _set(transitions.Draft, "settle", settle)


# -- burn and chains ---------------------------------------------------------------------------------------------


def _settle_with(change: Callable[[Step], Step | None]) -> None:
    real = unknown_outcomes._settling

    def settling(*arguments: Any) -> Iterator[Step]:
        return (changed for step in real(*arguments) if (changed := change(step)) is not None)

    _set(unknown_outcomes, "_settling", settling)


def _link_with(change: Callable[[model.Pending, model.Pending | None], model.Pending]) -> None:
    real = intent._link

    def link(*arguments: Any) -> model.Pending:
        known = next((one for one in arguments if isinstance(one, model.Pending)), None)
        return change(real(*arguments), known)

    _set(intent, "_link", link)


@mutant
def no_burn() -> None:
    """Leave the requestid of a dispatch of unknown outcome unburnt."""
    _settle_with(lambda step: None if step.kind is Kind.BURN else step)


@mutant
def no_release_after_burn() -> None:
    """Burn a requestid without releasing what it may have dispatched."""
    _settle_with(lambda step: None if step.kind is Kind.TOLERANT else step)


@mutant
def release_after_burn_tried_once() -> None:
    """Take one failure of a release of what may be open as a sign that nothing is."""
    real = unknown_outcomes.tolerant
    _set(unknown_outcomes, "tolerant", lambda provider, digest, _attempts: real(provider, digest, 1))


@mutant
def needless_tries_stay() -> None:
    """Leave the further tries of a release in the state when one has succeeded."""
    _set(transitions.Draft, "_further_tries", lambda *_: [])


@mutant
def chain_order_reversed() -> None:
    """Store the order of a chain the wrong way round."""
    _link_with(lambda link, _: link._replace(order=9 - link.order))


@mutant
def chain_sent_at_once() -> None:
    """Send links without waiting for the outcome of the one before them."""

    def heads(self: Any, *, dispatches: bool) -> Any:  # noqa: ARG001
        return [request for chain in self._chains for request in chain]

    def advance(self: Any, _requests: Any) -> None:
        self._chains = ()

    _set(executor._Courier, "_heads", heads)
    _set(executor._Courier, "_advance", advance)


@mutant
def outcome_journaled_late() -> None:
    """Send the next link before the outcome of the one before it is in the journal."""
    real, mark_unsent = Writer.append, executor._Courier._mark_unsent
    waiting: list[tuple[Writer, Any]] = []

    def end(self: Any) -> None:
        for store, record in waiting:
            real(store, record)
        mark_unsent(self)

    _set(Writer, "append", lambda store, record: waiting.append((store, record)))
    _set(executor._Courier, "_mark_unsent", end)


@mutant
def chain_goes_on_after_failed_release() -> None:
    """Send the dispatch of a replace though its release failed."""
    real = executor._Courier._advance

    def advance(self: Any, requests: Any) -> None:
        self.results = dict.fromkeys(self.results, Result.SUCCEEDED)
        real(self, requests)

    _set(executor._Courier, "_advance", advance)


@mutant
def burnt_requestid_dispatches() -> None:
    """Let a requestid that is being burnt carry its dispatch again, once that is declared again."""
    real = unknown_outcomes.settle

    def settle(links: unknown_outcomes.Links, wanted: Any, release_attempts: int) -> tuple[Step, ...]:
        for requestid, link in links:
            if link.kind is Kind.BURN and wanted and same_content(link.digest, wanted):
                return (Step(Kind.DISPATCH, link.provider, link.digest, requestid, resend=True),)
        return real(links, wanted, release_attempts)

    _set(planner, "settle", settle)


@mutant
def tolerant_release_stored_as_release() -> None:
    """Store a release that may fail as one that may not."""
    _link_with(lambda link, _: link._replace(kind=Kind.RELEASE) if link.kind is Kind.TOLERANT else link)


@mutant
def release_without_its_provider() -> None:
    """Send a release with the declared provider, not with that of its dispatch."""
    real = intent._request

    def request(change: Any, step: Step, desired: Any, *more: Any) -> Any:
        if step.kind is Kind.RELEASE:
            wanted = desired.get(change.address)
            step = step._replace(provider=wanted.provider if wanted else None)
        return real(change, step, desired, *more)

    _set(intent, "_request", request)


# -- one run and its end -----------------------------------------------------------------------------------------


@mutant
def no_lock() -> None:
    """Take the lock without asking whether somebody has it, nor what they did meanwhile."""
    _set(lock, "_acquire", lambda *_: None)
    others_not_noticed()


@mutant
def others_not_noticed() -> None:
    """Write without asking whether the lock and the files are still as they were left."""
    _set(Writer, "_require_unchanged", lambda _: None)


@mutant
def calls_in_flight_abandoned() -> None:
    """Stop at an interrupt without waiting for the answers of calls in flight."""
    queues: list[queue.SimpleQueue[Any]] = []
    real = throttle.Brake.interrupt

    def make() -> queue.SimpleQueue[Any]:
        queues.append(queue.SimpleQueue())
        return queues[-1]

    def interrupt(self: throttle.Brake) -> None:
        real(self)
        if queues:
            queues[-1].put(executor._Delivered(()))  # of what is awaited, that nothing came of it

    _set(throttle.Brake, "interrupt", interrupt)
    _set(executor, "queue", SimpleNamespace(SimpleQueue=make, Empty=queue.Empty))
