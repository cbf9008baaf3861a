"""Sensitive values taken out of what the API said before it is shown or stored, and out of a state.

Pure. The API may echo what it was sent, in its own encoding; the values of sensitive `linkeddata` go nowhere but
into the request.
"""

from __future__ import annotations

import html
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final
from urllib.parse import quote, quote_plus

import orjson

from reconciler.delivery.batch import Invocation
from reconciler.delivery.retry import NO_REASON
from reconciler.interaction import Interaction, is_sensitive, same_content, without_sensitive
from reconciler.state.entries import holding
from reconciler.state.model import Outcome, State

HIDDEN: Final = "(sensitive)"
LONGEST: Final = 300
_READ: Final = 20_000
_PHONE: Final = re.compile(r"[0-9+(). /-]*")
_SIGNIFICANT: Final = 9
_SHORT: Final = 4
_LONG: Final = 100
_NONE: Final[Mapping[str, Interaction]] = MappingProxyType({})


def hide(text: str, values: Iterable[str]) -> str:
    """Return the text without the values, in whatever usual encoding and letter case they stand there.

    A value of less than four characters counts only where it stands by itself.
    """
    lowered = text.lower()
    # No spelling is shorter than the value with its white space folded, but for a phone number's.
    likely = [value for value in values if len(" ".join(value.split())) <= max(len(text), _LONG)]
    found = {spelling for value in likely for spelling in _spellings(value) if spelling.lower() in lowered}
    if not found:
        return text
    longest_first = sorted(found, key=len, reverse=True)
    return re.sub("|".join(map(_pattern, longest_first)), HIDDEN, text, flags=re.IGNORECASE)


def _pattern(spelling: str) -> str:
    return re.escape(spelling) if len(spelling) >= _SHORT else rf"(?<!\w){re.escape(spelling)}(?!\w)"


def _spellings(value: str) -> Iterator[str]:
    escaped = orjson.dumps(value).decode()[1:-1]
    ascii_escaped = json.dumps(value)[1:-1]
    encoded = (
        value,
        escaped,
        ascii_escaped,
        ascii_escaped.replace("/", "\\/"),
        orjson.dumps(escaped).decode()[1:-1],
        json.dumps(ascii_escaped)[1:-1],
        repr(value)[1:-1],
        html.escape(value),
        quote(value),
        quote(value, safe=""),
        quote_plus(value),
    )
    for spelling in encoded:
        # Messages come with their white space folded.
        yield from (spelling, " ".join(spelling.split()))
    digits = "".join(filter(str.isdigit, value))
    if len(digits) >= _SIGNIFICANT and _PHONE.fullmatch(value):
        # The API may write a phone number its own way: without the plus, or as dialled inside the country.
        yield from (digits, digits[-_SIGNIFICANT:])


class Redactor:
    """Knows the sensitive values of one Invocation; looks them up only when there is something to clean."""

    def __init__(self, invocation: Invocation, sensitive: frozenset[str]) -> None:
        self._invocation = invocation
        self._sensitive = sensitive

    def clean(self, text: str) -> str:
        """Return the text without any sensitive value of the Invocation in its usual encodings, and not too long."""
        if not text or text == NO_REASON:
            return text
        values = set(self._values())
        clean = hide(text[:_READ], values)
        if len(text) > _READ:
            # Half a value at the cut was not found: as much as the longest spelling goes as well.
            clean = clean[: -max((len(spelling) for value in values for spelling in _spellings(value)), default=1)]
        return clean if len(clean) <= LONGEST else clean[: LONGEST - 1] + "…"

    def clean_outcomes(self, outcomes: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
        """Return the outcomes with clean reasons."""
        cleaned = {reason: self.clean(reason) for reason in {outcome.reason for outcome in outcomes}}
        if all(reason == clean for reason, clean in cleaned.items()):
            return outcomes
        return tuple(outcome._replace(reason=cleaned[outcome.reason]) for outcome in outcomes)

    def _values(self) -> Iterator[str]:
        for request in self._invocation.requests:
            yield from _values(request.body, self._sensitive)


def _values(fields: bytes, sensitive: frozenset[str]) -> Iterator[str]:
    """Yield the sensitive values of a body, or of stored fields, where they are there and not blank."""
    for item in orjson.loads(fields).get("linkeddata", ()):
        value = item.get("value")
        if isinstance(value, str) and value.strip() and is_sensitive(item, sensitive):
            yield value


def conceal(state: State, sensitive: frozenset[str], declared: Mapping[str, Interaction] = _NONE) -> State:
    """Return the state without the values that became sensitive after they were stored; the same one if it has none.

    They stand in fields, and maybe in what the API said. No fields are stored of what failed: `declared` tells those.
    """
    values: defaultdict[str, set[str]] = defaultdict(set)
    for address, fields in (*_clear(state, sensitive), *_failed(state, declared)):
        values[address].update(_values(fields, sensitive))
    if not values:
        return state
    interactions = state.editable()
    for address in values.keys() & interactions.keys():
        entry = interactions[address]
        interactions[address] = entry._replace(fields=without_sensitive(entry.fields, sensitive))
    pending = {
        requestid: link._replace(
            fields=without_sensitive(link.fields, sensitive), held=_unsaid(link.held, values[link.address])
        )
        if link.address in values
        else link
        for requestid, link in state.pending.items()
    }
    failed = {
        requestid: failure._replace(reason=_unsaid(failure.reason, values[failure.address]))
        if failure.address in values
        else failure
        for requestid, failure in state.failed.items()
    }
    concealed = replace(state, interactions=interactions, pending=pending, failed=failed)
    return state if concealed == state else concealed


def _clear(state: State, sensitive: frozenset[str]) -> Iterator[tuple[str, bytes]]:
    """Yield, with their addresses, the stored fields that may hold a sensitive value."""
    kinds = {rule[:end] for rule in sensitive for end, character in enumerate(f"{rule}:") if character == ":"}
    quoted = b"|".join(re.escape(orjson.dumps(kind)) for kind in sorted(kinds))
    # In canonical JSON a value follows its type. Decoding all that is stored would take ten times as long.
    holds = re.compile(b'"type":(?:%b),"value":' % quoted)
    yield from ((address, entry.fields) for address, entry in holding(state.interactions, holds))
    yield from ((link.address, link.fields) for link in state.pending.values() if holds.search(link.fields))


def _failed(state: State, declared: Mapping[str, Interaction]) -> Iterator[tuple[str, bytes]]:
    """Yield, with their addresses, the bodies of dispatches of which the API said something, where still declared."""
    spoken = [(link.address, link.digest) for link in state.pending.values() if link.held]
    spoken += [(failure.address, failure.digest) for failure in state.failed.values() if failure.reason != NO_REASON]
    for address, digest in spoken:
        if address in declared and same_content(digest, declared[address]):
            yield address, declared[address].body


def _unsaid(text: str, values: set[str]) -> str:
    return text if text == NO_REASON else hide(text, values)
