"""The state, as text and as JSON: a list of all that is known, and the story of one interaction.

Pure: returns strings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import orjson

from reconciler.commandline import PLAIN, CommandLine
from reconciler.escape import visible
from reconciler.interaction import Interaction, same_content
from reconciler.planning.diff import Secrecy, added
from reconciler.render.formats import (
    FORMAT_VERSION,
    FailedJson,
    MendedJson,
    OpenJson,
    PendingJson,
    PlaceJson,
    ShownJson,
    StateJson,
    StoryJson,
)
from reconciler.render.machine import target_object, to_json
from reconciler.render.outline import shown
from reconciler.render.words import count, times
from reconciler.state.model import Failed, Open, Pending, State, Target


def listing_text(state: State) -> str:
    """Return a line for each interaction, pending and failed request, and the counts."""
    lines = [*_rows(state)]
    counts = f"{len(state.interactions)} open, {len(state.pending)} pending, {len(state.failed)} failed"
    lines.append(f"State serial {state.serial}{_of(state.target)}: {counts}.")
    return "\n".join(lines) + "\n"


def _of(target: Target | None) -> str:
    account = f" ({visible(target.account)})" if target and target.account else ""
    return f" of {visible(target.base_url)}{account}" if target else ""


def _rows(state: State) -> Iterator[str]:
    for address, entry in sorted(state.interactions.items()):
        settled = "   (settled by a resend)" if entry.settled else ""
        yield f"open     {visible(address)}   since {entry.at}   {visible(entry.source)}{settled}"
    for requestid, link in sorted(state.pending.items(), key=lambda item: (item[1].address, item[1].order)):
        yield f"{link.standing:<8} {visible(link.address)}   {link.kind} {requestid}, {link.at}"
    for requestid, failure in sorted(state.failed.items(), key=lambda item: item[1].address):
        yield (
            f"failed   {visible(failure.address)}   {failure.action} {requestid}, {failure.last}, "
            f"{times(failure.attempts)}: {visible(failure.reason)}"
        )


def story_text(state: State, address: str, declared: Interaction | None, command: CommandLine = PLAIN) -> str:
    """Return what is known of one address: declared where, open since when, under which requestid, failures."""
    lines = [visible(address), *(f"  {line}" for line in _story(state, address, declared, command))]
    return "\n".join(lines) + "\n"


def _story(state: State, address: str, declared: Interaction | None, command: CommandLine) -> Iterator[str]:
    entry = state.interactions.get(address)
    yield f"declared   {visible(str(declared.place))}" if declared else "declared   no more"
    if entry:
        yield from _open(entry)
        if declared and not same_content(entry.digest, declared):
            yield f"changed    what is declared differs from what is open: {command('plan')}"
    else:
        yield "open       no"
    for requestid, link in state.chains().get(address, ()):
        yield f"{link.standing:<10} {link.kind} {requestid}, intended {link.at}"
        if link.held:
            yield f"           {visible(link.held)}"
    for requestid, failure in state.failures().get(address, ()):
        yield from _failure(requestid, failure)


def _open(entry: Open) -> Iterator[str]:
    settled = ", settled by a resend" if entry.settled else ""
    adopted = "" if entry.requestid else ", adopted"
    yield f"open       since {entry.at}{settled}{adopted}"
    yield f"requestid  {entry.requestid or 'none'}"
    yield f"provider   {visible(entry.provider) if entry.provider else 'none'}"
    yield f"source     {visible(entry.source)}"
    if entry.prevent_release:
        yield "lifecycle  prevent_release"
    fields = added(None, orjson.loads(entry.fields))
    size = max([10, *[len(visible(field.field)) for field in fields]])
    for field in fields:
        value = shown(field.after) if field.secrecy is Secrecy.OPEN else "(sensitive)"
        yield f"{visible(field.field):<{size}} {value}"


def _failure(requestid: str, failure: Failed) -> Iterator[str]:
    since = f", first {failure.first}" if failure.attempts > 1 else ""
    yield f"failed     {failure.action}, {times(failure.attempts)}, last {failure.last}{since}"
    yield f"           {visible(failure.reason)}"
    if failure.resent:
        yield "           it failed only when it was sent again: the first copy may have been processed"
    yield f"           requestid {requestid}"
    if failure.earlier:
        yield f"           {count(len(failure.earlier), 'requestid')} before: {', '.join(failure.earlier)}"


def listing_json(state: State) -> str:
    """Return what `state list --format json` prints."""
    document: StateJson = {
        "format_version": FORMAT_VERSION,
        "lineage": state.lineage,
        "serial": state.serial,
        "target": target_object(state.target),
        "interactions": list(_stories(state).values()),
    }
    return to_json(document)


def mended_json(before: State, after: State, said: Sequence[str], *, dry_run: bool) -> str:
    """Return what the `state` commands that write print with `--format json`."""
    old, new = _stories(before), _stories(after)
    others = sorted(address for address in old.keys() | new.keys() if old.get(address) != new.get(address))
    nothing = partial(_story_object, after, chains={}, failures={})
    document: MendedJson = {
        "format_version": FORMAT_VERSION,
        "dry_run": dry_run,
        "lineage": after.lineage,
        "serial": after.serial,
        "interactions": [new.get(address) or nothing(address) for address in others],
        "messages": list(said),
    }
    return to_json(document)


def _stories(state: State) -> dict[str, StoryJson]:
    """Return the story of each address, by address."""
    chains, failures = state.chains(), state.failures()
    addresses = sorted(state.interactions.keys() | chains.keys() | failures.keys())
    return {address: _story_object(state, address, chains, failures) for address in addresses}


def story_json(state: State, address: str, declared: Interaction | None) -> str:
    """Return what `state show --format json` prints."""
    story = _story_object(state, address, state.chains(), state.failures())
    place: PlaceJson | None = {"file": declared.place.file, "line": declared.place.line} if declared else None
    entry = state.interactions.get(address)
    fields = orjson.loads(entry.fields) if entry else None
    document: ShownJson = {**story, "fields": fields, "declared": place}
    return to_json(document)


def _story_object(
    state: State,
    address: str,
    chains: Mapping[str, list[tuple[str, Pending]]],
    failures: Mapping[str, list[tuple[str, Failed]]],
) -> StoryJson:
    entry = state.interactions.get(address)
    return {
        "address": address,
        "open": _open_object(entry) if entry else None,
        "pending": [_pending_object(*link) for link in chains.get(address, ())],
        "failed": [_failed_object(*failure) for failure in failures.get(address, ())],
    }


def _open_object(entry: Open) -> OpenJson:
    return {
        "since": entry.at,
        "requestid": entry.requestid,
        "provider": entry.provider,
        "source": entry.source,
        "prevent_release": entry.prevent_release,
        "settled": entry.settled,
    }


def _pending_object(requestid: str, link: Pending) -> PendingJson:
    return {
        "requestid": requestid,
        "kind": link.kind,
        "standing": link.standing,
        "provider": link.provider,
        "at": link.at,
        "held": link.held or None,
    }


def _failed_object(requestid: str, failure: Failed) -> FailedJson:
    return {
        "requestid": requestid,
        "action": failure.action,
        "attempts": failure.attempts,
        "first": failure.first,
        "last": failure.last,
        "reason": failure.reason,
        "earlier": failure.earlier,
    }
