"""Sensitive values taken out of what the API said, before it is shown or stored.

Pure. The API may echo what it was sent; the values of sensitive `linkeddata` go nowhere but into the request.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final
from urllib.parse import quote

import orjson

from reconciler.batch import Invocation
from reconciler.delivery import NO_REASON
from reconciler.model import is_sensitive
from reconciler.state import Outcome

HIDDEN: Final = "(sensitive)"
LONGEST: Final = 300


class Scrubber:
    """Knows the sensitive values of one Invocation; looks them up only when there is something to clean."""

    def __init__(self, invocation: Invocation, sensitive: frozenset[str]) -> None:
        self._invocation = invocation
        self._sensitive = sensitive

    def clean(self, text: str) -> str:
        """Return the text without any sensitive value of the Invocation in its usual encodings, and not too long."""
        if not text or text == NO_REASON:
            return text
        for value in sorted(set(self._spellings()), key=len, reverse=True):
            text = text.replace(value, HIDDEN)
        # Cut only now: half a value would not be found.
        return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"

    def clean_outcomes(self, outcomes: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
        """Return the outcomes with clean reasons."""
        cleaned = {reason: self.clean(reason) for reason in {outcome.reason for outcome in outcomes}}
        return tuple(replace(outcome, reason=cleaned[outcome.reason]) for outcome in outcomes)

    def _spellings(self) -> Iterator[str]:
        for value in self._values():
            escaped = orjson.dumps(value).decode()[1:-1]
            # Messages come with their white space folded.
            yield from (value, " ".join(value.split()), escaped, quote(value), quote(value, safe=""))

    def _values(self) -> Iterator[str]:
        for request in self._invocation.requests:
            for item in orjson.loads(request.body).get("linkeddata", ()):
                if is_sensitive(item, self._sensitive) and item["value"].strip():
                    yield item["value"]
