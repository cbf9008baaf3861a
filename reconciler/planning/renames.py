"""Which releases and dispatches only give an interaction another externalid.

Pure. The API can't rename, so each is released and dispatched as ever: it is said, that a reviewer may see it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from reconciler.interaction import Interaction, content_digest, dispatch_body, is_once
from reconciler.planning.plan import Action, Change

_TRIED: Final = 16
"""So many releases are tried for each dispatch, where many are equal but for sensitive values."""


def with_renames(changes: Iterable[Change], declared: Mapping[str, Interaction]) -> tuple[Change, ...]:
    """Return the changes, each release and dispatch of equal content naming the other's address."""
    changes = tuple(changes)
    pairs = dict(_pairs(changes, declared))
    return tuple(
        replace(change, renamed=pairs[change.address]) if change.address in pairs else change for change in changes
    )


def _pairs(changes: tuple[Change, ...], declared: Mapping[str, Interaction]) -> Iterator[tuple[str, str]]:
    """Yield each address of a pair with the other one."""
    released: defaultdict[tuple[str | None, bytes], list[Change]] = defaultdict(list)
    for change in changes:
        if change.action is Action.RELEASE and change.before:
            released[change.before.provider, change.before.fields].append(change)
    for change in changes if released else ():
        if change.action is not Action.DISPATCH or not change.after or is_once(change.address):
            continue
        alike = released.get((change.after.provider, change.after.fields), [])
        wanted = declared[change.address]
        old = next((old for old in alike[:_TRIED] if _was(old, wanted)), None)
        if old:
            alike.remove(old)
            yield from ((old.address, change.address), (change.address, old.address))


def _was(release: Change, wanted: Interaction) -> bool:
    """Whether what is released has the content of what is declared, but for its externalid."""
    if release.before is None:
        return False
    scheme = release.before.digest.partition(":")[0]
    body = dispatch_body(release.address, wanted.request)
    return content_digest(wanted.provider, body, scheme) == release.before.digest
