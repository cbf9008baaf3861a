"""The state as text: a list of all that is known, and the story of one interaction.

Pure: returns strings, and objects for JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reconciler.escape import visible
from reconciler.interaction import Interaction, same_content
from reconciler.render.words import count, times
from reconciler.state.model import Failed, Open, Pending, State


def listing_text(state: State) -> str:
    """Return a line for each interaction, pending and failed request, and the counts."""
    lines = [*_rows(state)]
    counts = f"{len(state.interactions)} open, {len(state.pending)} pending, {len(state.failed)} failed"
    lines.append(f"State serial {state.serial}: {counts}.")
    return "\n".join(lines) + "\n"


def _rows(state: State) -> Iterator[str]:
    for address, entry in sorted(state.interactions.items()):
        settled = "   (settled by a resend)" if entry.settled else ""
        yield f"open     {visible(address)}   since {entry.at}   {visible(entry.source)}{settled}"
    for requestid, link in sorted(state.pending.items(), key=lambda item: (item[1].address, item[1].order)):
        yield f"{_standing(link):<8} {visible(link.address)}   {link.kind} {requestid}, {link.at}"
    for requestid, failure in sorted(state.failed.items(), key=lambda item: item[1].address):
        yield (
            f"failed   {visible(failure.address)}   {failure.action} {requestid}, {failure.last}, "
            f"{times(failure.attempts)}: {visible(failure.reason)}"
        )


def _standing(link: Pending) -> str:
    return "held" if link.held else "unknown" if link.unknown else "unsent"


def story_text(state: State, address: str, declared: Interaction | None) -> str:
    """Return what is known of one address: declared where, open since when, under which requestid, failures."""
    lines = [visible(address), *(f"  {line}" for line in _story(state, address, declared))]
    return "\n".join(lines) + "\n"


def _story(state: State, address: str, declared: Interaction | None) -> Iterator[str]:
    entry = state.interactions.get(address)
    yield f"declared   {visible(str(declared.place))}" if declared else "declared   no more"
    if entry:
        yield from _open(entry)
        if declared and not same_content(entry.digest, declared):
            yield "changed    what is declared differs from what is open: see `reconciler plan`"
    else:
        yield "open       no"
    for requestid, link in state.chains().get(address, ()):
        yield f"{_standing(link):<10} {link.kind} {requestid}, intended {link.at}"
        if link.held:
            yield f"           {visible(link.held)}"
    for requestid, failure in state.failures().get(address, ()):
        yield from _failure(requestid, failure)


def _open(entry: Open) -> Iterator[str]:
    settled = ", settled by a resend" if entry.settled else ""
    yield f"open       since {entry.at}{settled}"
    yield f"requestid  {entry.requestid}"
    yield f"provider   {visible(entry.provider) if entry.provider else 'none'}"
    yield f"source     {visible(entry.source)}"
    if entry.prevent_release:
        yield "lifecycle  prevent_release"


def _failure(requestid: str, failure: Failed) -> Iterator[str]:
    since = f", first {failure.first}" if failure.attempts > 1 else ""
    yield f"failed     {failure.action}, {times(failure.attempts)}, last {failure.last}{since}"
    yield f"           {visible(failure.reason)}"
    if failure.resent:
        yield "           it failed only when it was sent again: the first copy may have been processed"
    yield f"           requestid {requestid}"
    if failure.earlier:
        yield f"           {count(len(failure.earlier), 'requestid')} before: {', '.join(failure.earlier)}"


def listing_object(state: State) -> dict[str, Any]:
    """Return the state as documented for `state list --format json`; digests stay out."""
    chains, failures = state.chains(), state.failures()
    addresses = sorted(state.interactions.keys() | chains.keys() | failures.keys())
    return {
        "format_version": 1,
        "lineage": state.lineage,
        "serial": state.serial,
        "interactions": [story_object(state, address, None, chains, failures) for address in addresses],
    }


def story_object(
    state: State,
    address: str,
    declared: Interaction | None,
    chains: dict[str, list[tuple[str, Pending]]] | None = None,
    failures: dict[str, list[tuple[str, Failed]]] | None = None,
) -> dict[str, Any]:
    """Return one interaction's story as documented for `state show --format json`."""
    chains = state.chains() if chains is None else chains
    failures = state.failures() if failures is None else failures
    entry = state.interactions.get(address)
    story: dict[str, Any] = {"address": address, "open": _open_object(entry) if entry else None}
    if declared:
        story["declared"] = {"file": declared.place.file, "line": declared.place.line}
    story["pending"] = [
        {
            "requestid": requestid,
            "kind": link.kind.value,
            "standing": _standing(link),
            "provider": link.provider,
            "at": link.at,
            "held": link.held or None,
        }
        for requestid, link in chains.get(address, ())
    ]
    story["failed"] = [
        {
            "requestid": requestid,
            "action": failure.action,
            "attempts": failure.attempts,
            "first": failure.first,
            "last": failure.last,
            "reason": failure.reason,
            "earlier": list(failure.earlier),
        }
        for requestid, failure in failures.get(address, ())
    ]
    return story


def _open_object(entry: Open) -> dict[str, Any]:
    return {
        "since": entry.at,
        "requestid": entry.requestid,
        "provider": entry.provider,
        "source": entry.source,
        "prevent_release": entry.prevent_release,
        "settled": entry.settled,
    }
