"""What an answer of the API proves about the requests of an Invocation (docs/reliability.md has the table).

Pure. The API answers 200 with the requestids that failed [S]; an answer that can't be trusted proves nothing.
`status` is that of HTTP, where the API answered at all.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import orjson


@dataclass(frozen=True, slots=True)
class Accepted:
    """A valid 200: `failed` failed, the rest succeeded."""

    failed: frozenset[str]
    status: int | None = 200


@dataclass(frozen=True, slots=True)
class Unknown:
    """The requests may or may not have been processed. `retry_after` in seconds, if the API asked for it.

    `stop`: sending more is pointless. A gateway may answer so (404, a redirect, …) after they were processed.
    """

    reason: str
    retry_after: float = 0.0
    stop: bool = False
    status: int | None = None


@dataclass(frozen=True, slots=True)
class NotProcessed:
    """The requests have certainly not been processed, and may be sent again. `throttled`: the API said 429."""

    reason: str
    retry_after: float = 0.0
    throttled: bool = False
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The body as a whole was refused (400, 413, 417): it may be one of its requests.

    A request that was alone in it has not been processed. How the others are treated is not documented.
    """

    reason: str
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The API refuses to work with us (401, 403): nothing was processed, and sending more is pointless."""

    reason: str
    status: int | None = None


_TO_CHECK: Final = {
    401: "; check that the token is valid, and of this region",
    403: "; check the scope (interactions:write) and the region",
    404: "; check the base URL",
}

Answer = Accepted | Unknown | NotProcessed | Refused | Rejected


def read_answer(status: int, retry_after: str | None, body: bytes, sent: Collection[str], now: datetime) -> Answer:
    """Return what the answer proves; `sent` are the requestids of the Invocation, `now` reads a date in Retry-After."""
    wait = seconds(retry_after, now)
    if status == 200:  # noqa: PLR2004
        return _read_200(body, sent)
    reason = explain(status, body) + _TO_CHECK.get(status, "")
    match status:
        case 400 | 413 | 417:
            return Refused(reason)
        case 429:
            return NotProcessed(reason, wait, throttled=True)
        case 401 | 403:
            return Rejected(reason)
        case _ if 300 <= status < 500 and status != 408:  # noqa: PLR2004
            return Unknown(reason, stop=True)
        case _:
            return Unknown(reason, wait)


def _read_200(body: bytes, sent: Collection[str]) -> Answer:
    try:
        failed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Unknown("the API answered 200 with something that is not JSON")
    if not isinstance(failed, list) or not all(isinstance(requestid, str) for requestid in failed):
        return Unknown("the API answered 200 with something that is not a list of requestids")
    if len(set(failed)) != len(failed):
        return Unknown("the API answered 200 and named a requestid twice")
    if not set(failed) <= set(sent):
        return Unknown("the API answered 200 and named a requestid that was not sent")
    return Accepted(frozenset(failed))


def explain(status: int, body: bytes) -> str:
    """Return the status and the API's own message, on one line; still with whatever the API chose to echo."""
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        decoded = None
    said = ""
    if isinstance(decoded, dict):
        message = decoded.get("message") or decoded.get("error_description") or decoded.get("error") or ""
        said = message if isinstance(message, str) else _encoded(message)
    said = " ".join(said.split())
    return f"the API answered {status}: {said}" if said else f"the API answered {status}"


def _encoded(message: object) -> str:
    try:
        return orjson.dumps(message).decode()
    except orjson.JSONEncodeError:
        # It reads values that are nested deeper than it writes.
        return ""


def seconds(retry_after: str | None, now: datetime) -> float:
    """Return the seconds that a Retry-After header (a number or an HTTP date) asks for; 0.0 for none or nonsense."""
    if retry_after is None:
        return 0.0
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - now).total_seconds())
