"""The product with one protection removed each: what the harness must be able to catch.

A mutant is a patch made in the forked process only; its docstring says what goes wrong. The product has no switch.
What it changes are public functions, methods and protocols: what behaves otherwise, however it is built.
"""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue
from stat import S_ISDIR
from typing import Any, Final
from uuid import uuid4

from reconciler.delivery import answers, executor
from reconciler.delivery.batch import Invocation, Request
from reconciler.delivery.intent import Intent, intend
from reconciler.delivery.ports import Ports, Sender
from reconciler.delivery.retry import History, RetryDecision, decide
from reconciler.delivery.throttle import StopSignal
from reconciler.interaction import Interaction, same_content
from reconciler.planning.plan import Step
from reconciler.planning.unknown_outcomes import PendingChain, settle, tolerant
from reconciler.state.journal import Record
from reconciler.state.model import Kind, Outcome, Pending, State
from reconciler.state.stores import folder
from reconciler.state.stores.folder import Folder
from reconciler.state.stores.interface import OutcomeWriter
from reconciler.state.stores.journalfile import JournalFile
from reconciler.state.stores.local import LocalWriter
from reconciler.state.stores.lock import Lock
from reconciler.state.transitions import StateTransition

Mutant = Callable[[], None]
Chain = tuple[Request, ...]
MUTANTS: Final[dict[str, Mutant]] = {}


def mutant(patch: Mutant) -> Mutant:
    """Make a patch known by its name."""
    MUTANTS[patch.__name__.replace("_", "-")] = patch
    return patch


def _set(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)


def _replace(public: object, other: object) -> None:
    """Put something in the place of a public function or class, wherever it was imported to."""
    for module in [module for name, module in sys.modules.items() if name.startswith("reconciler.")]:
        for name in [name for name, value in vars(module).items() if value is public]:
            _set(module, name, other)


# -- intent and requestids ---------------------------------------------------------------------------------------


def _intend_with(change: Callable[[Intent, State, Mapping[str, Interaction]], Intent]) -> None:
    """Change each intent, made from a state and what is desired."""

    def intended(plan: Any, desired: Mapping[str, Interaction], state: State, *more: Any) -> Intent:
        return change(intend(plan, desired, state, *more), state, desired)

    _replace(intend, intended)


def _link_with(change: Callable[[Pending, Pending | None], Pending]) -> None:
    """Change each link that is to be sent; the second is what was saved of it before, if it is sent again."""

    def linked(intent: Intent, state: State, _desired: object) -> Intent:
        sent = {request.requestid for chain in intent.chains for request in chain}
        links = {
            requestid: change(link, state.pending.get(requestid)) if requestid in sent else link
            for requestid, link in intent.state.pending.items()
        }
        return replace(intent, state=replace(intent.state, pending=links))

    _intend_with(linked)


def _chain_with(change: Callable[[Chain], Sequence[Chain]]) -> None:
    """Send each chain as other ones."""
    _intend_with(
        lambda intent, *_: replace(intent, chains=tuple(part for chain in intent.chains for part in change(chain)))
    )


def _settle_with(change: Callable[[Step], Step | None]) -> None:
    """Change the steps that settle what is unknown, or leave them out."""

    def settled(*arguments: Any) -> tuple[Step, ...]:
        return tuple(changed for step in settle(*arguments) if (changed := change(step)) is not None)

    _replace(settle, settled)


@mutant
def intent_not_saved() -> None:
    """Send the first request before the intent is saved."""
    real = LocalWriter.save
    begun: list[bool] = []

    def save(self: LocalWriter, new: State) -> None:
        if begun or not new.pending:
            real(self, new)
        else:
            begun.append(True)

    _set(LocalWriter, "save", save)


@mutant
def random_requestids() -> None:
    """Draw requestids, instead of deriving them from the state that a run starts from."""

    def drawn(intent: Intent, state: State, _desired: object) -> Intent:
        new = {
            request.requestid: str(uuid4())
            for chain in intent.chains
            for request in chain
            if request.requestid not in state.pending
        }
        pending = {new.get(requestid, requestid): link for requestid, link in intent.state.pending.items()}
        chains = tuple(
            tuple(request._replace(requestid=new.get(request.requestid, request.requestid)) for request in chain)
            for chain in intent.chains
        )
        return Intent(replace(intent.state, pending=pending), chains)

    _intend_with(drawn)


@mutant
def new_requestids_on_resend() -> None:
    """Send again, after an unknown outcome, under a new requestid."""

    def change(step: Step) -> Step:
        renewed = step.resend and step.kind in {Kind.DISPATCH, Kind.RELEASE}
        return step._replace(requestid=None, resend=False) if renewed else step

    _settle_with(change)


# -- journal and disk --------------------------------------------------------------------------------------------


@mutant
def no_journal() -> None:
    """Keep no journal: save outcomes at the end only."""
    _set(LocalWriter, "append", lambda *_: None)


@mutant
def files_not_fsynced() -> None:
    """Fsync folders only, no files."""

    def sync(descriptor: int) -> None:
        if S_ISDIR(os.fstat(descriptor).st_mode):
            os.fsync(descriptor)

    _replace(folder.sync, sync)


@mutant
def folder_not_fsynced() -> None:
    """Fsync files only, no folders."""
    _set(Folder, "sync", lambda _: None)


@mutant
def journal_removed_first() -> None:
    """Remove the journal before the state that holds its outcomes is saved."""
    save = LocalWriter.save
    journals: list[JournalFile] = []

    class Known(JournalFile):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            journals.append(self)

    def remove_and_save(self: LocalWriter, new: State) -> None:
        journals[-1].remove()
        save(self, new)

    _replace(JournalFile, Known)
    _set(LocalWriter, "save", remove_and_save)


@mutant
def state_written_in_place() -> None:
    """Overwrite the state where it stands, instead of replacing it by a whole new file."""
    rename = Folder.rename

    def overwrite(self: Folder, name: str, other: str) -> None:
        if not self.found(other) or other.endswith(".backup"):
            rename(self, name, other)
            return
        with self.open(other, os.O_RDWR | os.O_TRUNC) as state:
            folder.write_all(state, self.read(name), 0)
            folder.sync(state)
        self.remove(name)

    _set(Folder, "rename", overwrite)
    # A second name would be rewritten with the first, and is refused before that.
    _set(Folder, "copy", lambda self, name, copy: self.write(copy, [self.read(name)]))


# -- outcomes ----------------------------------------------------------------------------------------------------


def _decide_with(taken: type | tuple[type, ...], **forgotten: bool) -> None:
    """Decide about answers of some types with a history that lacks something."""

    def decided(answer: answers.Answer, invocation: Invocation, history: History, *more: Any) -> RetryDecision:
        known = replace(history, **forgotten) if isinstance(answer, taken) else history
        return decide(answer, invocation, known, *more)

    _replace(decide, decided)


_NOT_SETTLED: Final = (answers.Rejected, answers.Unknown, answers.NotProcessed)


@mutant
def refusal_settles() -> None:
    """Take a 400 after an unknown outcome as a definite failure."""
    _decide_with(answers.Refused, unknown=False)


@mutant
def unknown_marked_unsent() -> None:
    """Mark as unsent what can't be settled, though an earlier try may have been processed."""
    _decide_with(_NOT_SETTLED, unknown=False)


@mutant
def half_taken_as_unsent() -> None:
    """Mark a half as unsent that can't be settled, though the body it was in may have been processed."""
    _decide_with(_NOT_SETTLED, halved=False)


@mutant
def refused_half_is_definite() -> None:
    """Take a request that is refused alone, after a larger body with it was, as certainly not processed."""
    _decide_with(answers.Refused, halved=False)


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

    _replace(real, read_answer)


@mutant
def unsent_not_cleared() -> None:
    """Leave the mark `unsent` in the intent of the run that does send it."""
    _link_with(lambda link, known: link._replace(unsent=known.unsent if known else False))


@mutant
def failure_of_resend_is_definite() -> None:
    """Take a resend that is answered as failed as if its first copy had failed."""
    real = StateTransition.settle

    def settle(self: StateTransition, outcome: Outcome, at: str) -> None:
        real(self, outcome._replace(resent=False), at)

    _set(StateTransition, "settle", settle)


# -- burn and chains ---------------------------------------------------------------------------------------------


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
    _replace(tolerant, lambda provider, digest, _attempts: tolerant(provider, digest, 1))


@mutant
def needless_tries_stay() -> None:
    """Leave the further tries of a release in the state when one has succeeded."""

    class Keeps(StateTransition):
        def __init__(self, state: State) -> None:
            super().__init__(state)
            self._tries = {rid: link for rid, link in state.pending.items() if link.kind is Kind.TOLERANT}

        def settle(self, outcome: Outcome, at: str) -> None:
            super().settle(outcome, at)
            self._tries.pop(outcome.requestid, None)

        def done(self) -> State:
            done = super().done()
            return replace(done, pending={**done.pending, **self._tries})

    _replace(StateTransition, Keeps)


@mutant
def chain_order_reversed() -> None:
    """Store the order of a chain the wrong way round."""
    _link_with(lambda link, _: link._replace(order=9 - link.order))


@mutant
def chain_sent_at_once() -> None:
    """Send links without waiting for the outcome of the one before them."""
    _chain_with(lambda chain: [(request,) for request in chain])


@mutant
def outcome_journaled_late() -> None:
    """Send the next link before the outcome of the one before it is in the journal."""

    class Late:
        def __init__(self, store: OutcomeWriter) -> None:
            self._store = store
            self._waiting: list[Record] = []
            self.prepare, self.settle, self.require_held = store.prepare, store.settle, store.require_held

        def append(self, records: Sequence[Record]) -> None:
            self._waiting += records

        def save(self, state: State) -> None:
            for record in self._waiting:
                self._store.append([record])
            self._waiting.clear()
            self._store.save(state)

    _apply_with(lambda ports: replace(ports, store=Late(ports.store)))


@mutant
def chain_goes_on_after_failed_release() -> None:
    """Send the dispatch of a replace though its release failed."""
    _chain_with(lambda chain: [chain[:-1], chain[-1:]] if chain[0].kind is Kind.RELEASE and chain[1:] else [chain])


@mutant
def burnt_requestid_dispatches() -> None:
    """Let a requestid that is being burnt carry its dispatch again, once that is declared again."""

    def settled(links: PendingChain, wanted: Interaction | None, release_attempts: int) -> tuple[Step, ...]:
        for requestid, link in links:
            if link.kind is Kind.BURN and wanted and same_content(link.digest, wanted):
                return (Step(Kind.DISPATCH, link.provider, link.digest, requestid, resend=True),)
        return settle(links, wanted, release_attempts)

    _replace(settle, settled)


@mutant
def tolerant_release_stored_as_release() -> None:
    """Store a release that may fail as one that may not."""
    _link_with(lambda link, _: link._replace(kind=Kind.RELEASE) if link.kind is Kind.TOLERANT else link)


@mutant
def release_without_its_provider() -> None:
    """Send a release with the declared provider, not with that of its dispatch."""

    def change(intent: Intent, _state: object, desired: Mapping[str, Interaction]) -> Intent:
        def declared(request: Request) -> Request:
            wanted = desired.get(request.address)
            return request._replace(provider=wanted.provider if wanted else None)

        return replace(
            intent,
            chains=tuple(
                tuple(declared(request) if request.kind is Kind.RELEASE else request for request in chain)
                for chain in intent.chains
            ),
        )

    _intend_with(change)


# -- one run and its end -----------------------------------------------------------------------------------------


def _apply_with(change: Callable[[Ports], Ports]) -> None:
    """Carry out a plan in another outside world."""
    real = executor.apply
    _replace(real, lambda intent, options, ports, *more: real(intent, options, change(ports), *more))


@mutant
def no_lock() -> None:
    """Take the lock without asking whether somebody has it, nor what they did meanwhile."""
    _set(fcntl, "flock", lambda *_: None)
    others_not_noticed()


@mutant
def others_not_noticed() -> None:
    """Write without asking whether the lock and the files are still as they were left."""
    _replace(folder.look, lambda _: (0, 0, 0, 0))
    for held in (Lock, JournalFile):
        _set(held, "stands", property(lambda _: True))


@mutant
def calls_in_flight_abandoned() -> None:
    """Stop at an interrupt without waiting for the answers of calls in flight."""

    @dataclass(frozen=True)
    class Impatient:
        sender: Sender
        stop_signal: StopSignal

        def invoke(self, invocation: Invocation) -> answers.Answer:
            first: SimpleQueue[answers.Answer] = SimpleQueue()

            def answer() -> None:
                first.put(self.sender.invoke(invocation))

            def give_up() -> None:
                self.stop_signal.given.wait()
                first.put(answers.Unknown("nothing came of it"))

            for target in (answer, give_up):
                threading.Thread(target=target, daemon=True).start()
            return first.get()

    _apply_with(lambda ports: replace(ports, sender=Impatient(ports.sender, ports.stop_signal)))
