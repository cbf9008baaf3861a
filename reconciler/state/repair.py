"""What a person may do to a state by hand: forget, rename, resolve, adopt, start a new lineage.

Pure. Each returns the new state and what to tell the person.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import uuid4

from reconciler.commandline import operands, resolutions
from reconciler.errors import ReconcilerError
from reconciler.interaction import ONCE_PREFIX, Interaction, identity_flaw, is_once, packed, public_fields, same_content
from reconciler.state.model import Failed, Kind, Open, Outcome, Pending, Result, State, Target
from reconciler.state.transitions import fold


@dataclass(frozen=True, slots=True)
class Mended:
    """A state after a person's hand, and the lines to tell them."""

    state: State
    said: tuple[str, ...]


def forget(state: State, addresses: Sequence[str]) -> Mended:
    """Return the state without the addresses; nothing is sent, so what is open stays open."""
    chains, failures = state.chains(), state.failures()
    for address in addresses:
        if any(not link.unsent for _, link in chains.get(address, ())):
            raise ReconcilerError(
                f"{address}: the outcome of a request is unknown, so it can't be forgotten",
                hint="Look it up, and say first what became of it (as not-applied if it was not processed)",
                command=resolutions(address)[0],
            )
        if address not in state.interactions and address not in chains and address not in failures:
            raise _unknown(address)
    gone, interactions = frozenset(addresses), state.editable()
    for address in gone & interactions.keys():
        del interactions[address]
    mended = replace(
        state,
        serial=state.serial + 1,
        interactions=interactions,
        pending={requestid: link for requestid, link in state.pending.items() if link.address not in gone},
        failed={requestid: failure for requestid, failure in state.failed.items() if failure.address not in gone},
    )
    said = [f"Forgot {address}. If it is open, it stays open, and nothing here knows of it." for address in addresses]
    return Mended(mended, tuple(said))


def rename(state: State, source: str, destination: str) -> Mended:
    """Return the state with a `once` under its new name; an externalid is the API's, and can't be renamed here."""
    if not (is_once(source) and is_once(destination)):
        raise ReconcilerError(
            "only a once can be renamed: an externalid is known to the API, which can't change it",
            hint="Change it in the declaration: the old one is released and the new one dispatched.",
        )
    if flaw := identity_flaw(destination.removeprefix(ONCE_PREFIX), once=True):
        raise ReconcilerError(f"once {flaw}", hint="No declaration could hold it under that name.")
    chains, failures = state.chains(), state.failures()
    if destination in state.interactions or destination in chains or destination in failures:
        raise ReconcilerError(f"{destination} is in the state already")
    if source not in state.interactions:
        raise _unknown(source)
    if source in chains:
        raise ReconcilerError(f"{source}: a request is pending", hint="Settle it first", command=("apply",))
    interactions = state.editable()
    interactions[destination] = interactions.pop(source)
    failed = {rid: failure for rid, failure in state.failed.items() if failure.address != source}
    mended = replace(state, serial=state.serial + 1, interactions=interactions, failed=failed)
    return Mended(mended, (f"{source} is {destination} now. Rename it in the declaration too.",))


def resolvable(state: State) -> frozenset[str]:
    """Return the addresses of which a person may say what became of a request."""
    chains = state.chains()
    doubtful = {failure.address for failure in state.failed.values() if failure.resent}
    unknown = {link.address for link in state.pending.values() if not link.unsent}
    return frozenset(unknown | {each for each in doubtful if _in_doubt(state, each, chains.get(each, ()))})


def resolve(state: State, addresses: Iterable[str], *, applied: bool, at: str) -> Mended:
    """Return the state after a person said the same of each address, in one step."""
    mended, said = state, list[str]()
    for address in addresses:
        once = _resolve(mended, address, applied=applied, at=at)
        mended = once.state
        said += once.said
    return Mended(replace(mended, serial=state.serial + 1), tuple(said))


def _resolve(state: State, address: str, *, applied: bool, at: str) -> Mended:
    """Return the state after a person said what became of the first request of unknown outcome of an address.

    Applied: as if the API had said so. Not applied: it is planned anew, under a new requestid. A request that failed
    only when it was sent again is such a one too, once nothing is pending that would settle it.
    """
    links = state.chains().get(address, [])
    if unknown := next((entry for entry in links if not entry[1].unsent), None):
        requestid, link = unknown
        mended = _applied(state, requestid, at) if applied else _not_applied(state, requestid, link, at)
        kind: str = link.kind
    elif doubtful := _in_doubt(state, address, links):
        requestid, failure = doubtful
        mended = _failure_resolved(state, requestid, failure, at, applied=applied)
        kind = failure.action
    else:
        raise ReconcilerError(f"{address}: nothing is unknown about it", hint="What is", command=("state", "list"))
    said = [f"{address}: the {kind} {requestid} is taken as {'applied' if applied else 'not applied'}."]
    left = [other for _, other in mended.chains().get(address, ()) if not other.unsent]
    if left:
        said.append(
            f"A {left[0].kind} of {address} is still unknown: apply settles it, or holds it for you, as a plan says."
        )
    return Mended(mended, tuple(said))


def _applied(state: State, requestid: str, at: str) -> State:
    return fold(state, [(Outcome(requestid, Result.SUCCEEDED), at)])


def _not_applied(state: State, requestid: str, link: Pending, at: str) -> State:
    pending = dict(state.pending)
    if link.kind in {Kind.DISPATCH, Kind.RELEASE}:
        del pending[requestid]
    else:
        # It must still be sent, whatever a person saw: under its own requestid, and counted from now. So must the
        # further tries of a tolerant release.
        for rid, other in state.pending.items():
            if rid == requestid or (other.address == link.address and other.kind is link.kind is Kind.TOLERANT):
                pending[rid] = other._replace(unsent=True, at=at)
    if link.kind is Kind.RELEASE:
        pending = {rid: other for rid, other in pending.items() if other.address != link.address}
    return replace(state, serial=state.serial + 1, pending=pending)


def _in_doubt(state: State, address: str, links: Sequence[tuple[str, Pending]]) -> tuple[str, Failed] | None:
    """Return what failed only when it was sent again, unless a request is pending that settles it."""
    if any(link.unknown or link.kind is Kind.TOLERANT for _, link in links):
        return None
    return next((entry for entry in state.failures().get(address, ()) if entry[1].resent), None)


def _failure_resolved(state: State, requestid: str, failure: Failed, at: str, *, applied: bool) -> State:
    """Return the state with the failure as a success, or as a failure for certain; what is unsent is planned anew."""
    pending = {rid: link for rid, link in state.pending.items() if link.address != failure.address}
    if not applied:
        failed = {**state.failed, requestid: failure._replace(resent=False)}
        return replace(state, serial=state.serial + 1, pending=pending, failed=failed)
    pending[requestid] = Pending(
        address=failure.address,
        order=0,
        kind=Kind(failure.action),
        provider=failure.provider,
        digest=failure.digest,
        at=failure.last,
        source=failure.source,
        prevent_release=failure.prevent_release,
    )
    return _applied(replace(state, pending=pending), requestid, at)


def adopt(state: State, declared: Iterable[Interaction], target: Target, sensitive: frozenset[str], at: str) -> Mended:
    """Return the state with the interactions as open, as they are declared; nothing is sent.

    Raises ReconcilerError, adopting none, where the state knows anything else of one.
    """
    chains, failures, interactions = state.chains(), state.failures(), state.editable()
    said, otherwise = [], []
    for wanted in declared:
        address, opened = wanted.address, state.interactions.get(wanted.address)
        doubtful = any(failure.resent for _, failure in failures.get(address, ()))
        if address in chains or doubtful or (opened and not same_content(opened.digest, wanted)):
            otherwise.append(address)
        elif not opened:
            interactions[address] = _as_declared(wanted, sensitive, at)
            said.append(f"Adopted {address} ({wanted.place}): open from now on, as it is declared.")
    if otherwise:
        raise _known_otherwise(otherwise, resolvable(state))
    if not said:
        return Mended(state, ("Nothing to adopt: all of it is known to be open, as declared.",))
    new = interactions.keys() - state.interactions.keys()
    failed = {rid: failure for rid, failure in state.failed.items() if failure.address not in new}
    adopted = replace(state, serial=state.serial + 1, target=target, interactions=interactions, failed=failed)
    return Mended(adopted, tuple(said))


def _as_declared(wanted: Interaction, sensitive: frozenset[str], at: str) -> Open:
    return Open(
        provider=wanted.provider,
        digest=wanted.digest,
        requestid="",
        at=at,
        source=wanted.place.file,
        fields=packed(public_fields(wanted.request, sensitive)),
        prevent_release=wanted.prevent_release,
    )


def _known_otherwise(addresses: Sequence[str], unknown: Collection[str]) -> ReconcilerError:
    first, more = addresses[0], f" and {len(addresses) - 1} more" if len(addresses) > 1 else ""
    wrong = f"{first}{more}: the state knows otherwise; nothing was adopted"
    if first in unknown:
        hint = "The outcome of a request is unknown. Look it up, and say what became of it, or leave it out (--exclude)"
        return ReconcilerError(wrong, hint=hint, command=resolutions(first)[0])
    hint = "Its content differs, or a request waits to be sent: apply that, or leave it out (--exclude). What is known"
    return ReconcilerError(wrong, hint=hint, command=("state", "show", *operands(first)))


def new_lineage(state: State) -> Mended:
    """Return the state under a lineage of its own: requestids that an abandoned later state sent are not met again."""
    mended = replace(state, lineage=str(uuid4()), serial=state.serial + 1, reader="", seals={})
    return Mended(mended, (f"The state has lineage {mended.lineage} now, at serial {mended.serial}.",))


def _unknown(address: str) -> ReconcilerError:
    return ReconcilerError(f"{address} is not in the state", hint="What is there", command=("state", "list"))
