"""What a fault does to a call, each as a value whose `str()` is its text in the fault language. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from email.utils import formatdate
from math import ceil
from typing import ClassVar, Final, Literal

import orjson

from reconciler.sandbox.answer import Answer, Hangup, message_answer
from reconciler.sandbox.record import Call

FOREIGN_ID: Final = "00000000-0000-4000-8000-00000000f0f0"
SpoilKind = Literal["garbage", "not-array", "foreign-id", "duplicate-id", "no-content", "truncated"]
How = Literal["reset", "close"]


@dataclass(frozen=True, slots=True)
class Fail:
    """The matching request, if it isn't a duplicate, is not carried out and is listed as failed."""

    def __str__(self) -> str:
        return "fail"


@dataclass(frozen=True, slots=True)
class Status:
    """The call is answered with `code`, before it is processed or, if `processed`, after.

    `retry_after`: seconds as digits, `date`, `date+S`, `date-S` (an HTTP date, from now), or `raw:TEXT`.
    """

    code: int
    message: str | None = None
    retry_after: str | None = None
    processed: bool = False

    def __str__(self) -> str:
        parts = [f"{'status-after' if self.processed else 'status'}={self.code}"]
        if self.retry_after is not None:
            parts.append(f"retry-after={shlex.quote(self.retry_after)}")
        if self.message is not None:
            parts.append(f"message={shlex.quote(self.message)}")
        return " ".join(parts)

    def answer(self, now: float) -> Answer:
        """Return the answer; `now` is in seconds since the epoch."""
        if self.retry_after is None:
            return message_answer(self.code, self.message)
        return message_answer(self.code, self.message, (("Retry-After", retry_after_header(self.retry_after, now)),))


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection is reset (or closed) without an answer, before or after processing."""

    when: Literal["before", "after"]
    how: How = "reset"

    def __str__(self) -> str:
        return f"drop={self.when}{_how(self.how)}"

    @property
    def processed(self) -> bool:
        """Whether the call is processed first."""
        return self.when == "after"


@dataclass(frozen=True, slots=True)
class LateCopy:
    """The connection is reset (or closed); the body is processed when late copies are released."""

    how: How = "reset"

    def __str__(self) -> str:
        return f"late-copy{_how(self.how)}"


@dataclass(frozen=True, slots=True)
class Late:
    """The answer comes `seconds` late; processed at once, or at the end of the delay."""

    seconds: float
    processed: bool = True

    def __str__(self) -> str:
        return f"late={_seconds(self.seconds)}{_processed(self.processed, default=True)}"


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer until released; processed at once, or when released. A server that stops resets the connection."""

    processed: bool = False

    def __str__(self) -> str:
        return f"hang{_processed(self.processed, default=False)}"


@dataclass(frozen=True, slots=True)
class Spoil:
    """The call is processed (or not) and its answer replaced by one that can't be trusted; see `spoilt`."""

    kind: SpoilKind
    processed: bool = True

    def __str__(self) -> str:
        return f"{self.kind}{_processed(self.processed, default=True)}"


@dataclass(frozen=True, slots=True)
class SlowBody:
    """The call is processed; the body of its answer, led by spaces, takes `seconds`, a byte at a time."""

    seconds: float
    processed: ClassVar[bool] = True

    def __str__(self) -> str:
        return f"slow-body={_seconds(self.seconds)}"

    def answer(self, answer: Answer) -> Answer:
        """Return the answer, padded so that no gap between two bytes is above 0.1 seconds."""
        padded = answer.body.rjust(ceil(self.seconds * 10) + 1)
        return Answer(answer.status, padded, answer.headers, spread=self.seconds)


@dataclass(frozen=True, slots=True)
class Redirect:
    """302 to `url`; not processed."""

    url: str
    processed: ClassVar[bool] = False

    def __str__(self) -> str:
        return f"redirect={shlex.quote(self.url)}"


@dataclass(frozen=True, slots=True)
class ExpireToken:
    """Every token issued so far becomes invalid; then the call is served."""

    def __str__(self) -> str:
        return "expire-token"


Replacing = Status | Drop | Spoil | SlowBody | Redirect
CallEffect = Replacing | LateCopy | Late | Hang | ExpireToken
Effect = Fail | CallEffect


def _seconds(seconds: float) -> str:
    return repr(float(seconds)).removesuffix(".0")


def _how(how: How) -> str:
    return "" if how == "reset" else f" how={how}"


def _processed(processed: bool, *, default: bool) -> str:  # noqa: FBT001 - the value is the point
    return "" if processed == default else f" processed={'yes' if processed else 'no'}"


def hangup(effect: Drop | LateCopy) -> Hangup:
    """Return how the connection ends."""
    return Hangup(reset=effect.how == "reset")


def retry_after_header(text: str, now: float) -> str:
    """Return the header's value for a `retry-after` of the fault language; raises ValueError."""
    if text.startswith("raw:"):
        return text.removeprefix("raw:")
    if text.startswith("date"):
        return formatdate(ceil(now + float(text.removeprefix("date") or "0")), usegmt=True)
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return text


def replaced(effect: Replacing, call: Call, answer: Answer | None, now: float) -> Answer | Hangup:
    """Return what is answered in place of `answer`, which is None if the call was not processed."""
    match effect:
        case Status():
            return effect.answer(now)
        case Drop():
            return hangup(effect)
        case Redirect():
            return Answer(302, headers=(("Location", effect.url),))
        case SlowBody():
            return effect.answer(answer or Answer(200, b"[]"))
        case Spoil():
            return spoilt(effect, call, answer)


def spoilt(effect: Spoil, call: Call, answer: Answer | None) -> Answer:
    """Return the untrustworthy answer; `answer` is the true one, None if the call was not processed.

    `duplicate-id` lists the first failed id twice, or the first id of the body where none failed.
    """
    match effect.kind:
        case "garbage":
            return Answer(200, b"<html>oops</html>")
        case "not-array":
            return Answer(200, b'{"x":1}')
        case "no-content":
            return Answer(204)
        case "truncated":
            return Answer(200, answer.body if answer else b"[", missing=16)
    failed = _failed_ids(answer)
    if effect.kind == "foreign-id":
        return Answer(200, orjson.dumps([*failed, FOREIGN_ID]))
    return Answer(200, orjson.dumps([*(failed or call.requestids)[:1], *(failed or call.requestids[:1])]))


def _failed_ids(answer: Answer | None) -> list[str]:
    if answer is None or answer.status != 200:  # noqa: PLR2004 - the one status that carries ids
        return []
    failed: list[str] = orjson.loads(answer.body)
    return failed
