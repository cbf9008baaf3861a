"""Faults that no user rehearses: answers that can't be trusted, copies that come late, calls that wait to be let go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from math import ceil
from typing import TYPE_CHECKING, Final, cast

import orjson

from reconciler.sandbox.call import Call as ArrivedCall
from reconciler.sandbox.effects import (
    EFFECTS,
    RESET,
    YES,
    Options,
    Reader,
    Status,
    choice,
    duration,
    read_status,
)
from reconciler.sandbox.reply import Hangup, Reply
from reconciler.sandbox.service import Service

if TYPE_CHECKING:
    from tests.api.service import RecordingService

FOREIGN_ID: Final = "00000000-0000-4000-8000-00000000f0f0"


@dataclass(frozen=True, slots=True)
class CutAnswer(Reply):
    """An answer whose Content-Length promises `missing` bytes that never come."""

    missing: int = 16


@dataclass(frozen=True, slots=True)
class SlowAnswer(Reply):
    """An answer whose body is sent over so many seconds, a byte at a time."""

    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class Spoil:
    """The call is processed (or not) and its answer replaced by one that can't be trusted."""

    make: Callable[[ArrivedCall, Reply | None], Reply]
    processed: bool

    def serve(self, call: ArrivedCall, api: Service) -> Reply | Hangup:
        """Answer so."""
        return self.make(call, api.process(call) if self.processed else None)


@dataclass(frozen=True, slots=True)
class LateCopy:
    """The connection is reset (or closed); the body is processed when late copies are released."""

    reset: bool

    def serve(self, call: ArrivedCall, api: Service) -> Reply | Hangup:
        """Put the call aside."""
        service = cast("RecordingService", api)
        with service.changed:
            service.late.append(call)
        return Hangup(self.reset)


@dataclass(frozen=True, slots=True)
class Hang:
    """No answer until released; processed at once, or when released."""

    processed: bool

    def serve(self, call: ArrivedCall, api: Service) -> Reply | Hangup:
        """Wait."""
        answer = api.process(call) if self.processed else None
        if not cast("RecordingService", api).hang():
            return Hangup()
        return answer or api.process(call)


@dataclass(frozen=True, slots=True)
class ExpireToken:
    """Every token issued so far becomes invalid; then the call is served."""

    def serve(self, call: ArrivedCall, api: Service) -> Reply | Hangup:
        """Serve it."""
        service = cast("RecordingService", api)
        with service.changed:
            service.emulator.tokens.clear()
        return service.process(call)


@dataclass(frozen=True, slots=True)
class Dated:
    """A status whose Retry-After is a date, so many seconds from now."""

    status: Status
    seconds: float

    def serve(self, call: ArrivedCall, api: Service) -> Reply | Hangup:
        """Answer so."""
        when = formatdate(ceil(cast("RecordingService", api).clock() + self.seconds), usegmt=True)
        status = Status(self.status.code, self.status.message, when, self.status.processed)
        return status.serve(call, api)


def _status(value: str, options: Options, *, processed: bool) -> Status | Dated:
    """Read a status whose `retry-after` may also be `date`, `date+S`, `date-S` or `raw:TEXT`."""
    retry_after = options.get("retry-after", "")
    if retry_after.startswith("raw:"):
        del options["retry-after"]
        plain = read_status(value, options, processed=processed)
        return Status(plain.code, plain.message, retry_after.removeprefix("raw:"), processed)
    if not retry_after.startswith("date"):
        return read_status(value, options, processed=processed)
    del options["retry-after"]
    return Dated(read_status(value, options, processed=processed), float(retry_after.removeprefix("date") or 0))


def _slow(seconds: float) -> Spoil:
    """Return the true answer, led by spaces so that no gap between two bytes is above 0.1 seconds."""

    def slow(_call: ArrivedCall, answer: Reply | None) -> Reply:
        true = answer or Reply(200, b"[]")
        return SlowAnswer(true.status, true.body.rjust(ceil(seconds * 10) + 1), true.headers, spread=seconds)

    return Spoil(slow, processed=True)


def _redirect(url: str) -> Spoil:
    return Spoil(lambda _call, _answer: Reply(302, headers=(("Location", url),)), processed=False)


def _failed_ids(answer: Reply | None) -> list[str]:
    if answer is None or answer.status != 200:  # the one status that carries ids
        return []
    failed: list[str] = orjson.loads(answer.body)
    return failed


def _duplicate_id(call: ArrivedCall, answer: Reply | None) -> Reply:
    """List the first failed id twice, or the first id of the body where none failed."""
    sent = [request.requestid for request in call.requests if request.requestid is not None]
    failed = _failed_ids(answer)
    return Reply(200, orjson.dumps([*(failed or sent)[:1], *(failed or sent[:1])]))


_SPOILT: Final[Mapping[str, Callable[[ArrivedCall, Reply | None], Reply]]] = {
    "garbage": lambda _call, _answer: Reply(200, b"<html>oops</html>"),
    "not-array": lambda _call, _answer: Reply(200, b'{"x":1}'),
    "no-content": lambda _call, _answer: Reply(204),
    "truncated": lambda _call, answer: CutAnswer(200, answer.body if answer else b"["),
    "foreign-id": lambda _call, answer: Reply(200, orjson.dumps([*_failed_ids(answer), FOREIGN_ID])),
    "duplicate-id": _duplicate_id,
}


def _spoil(word: str) -> Reader:
    return lambda _value, options: Spoil(_SPOILT[word], choice(options, "processed", YES, "yes"))


ALL_EFFECTS: Final[Mapping[str, Reader]] = {
    **EFFECTS,
    "status=": lambda value, options: _status(value, options, processed=False),
    "status-after=": lambda value, options: _status(value, options, processed=True),
    "hang": lambda _value, options: Hang(choice(options, "processed", YES, "no")),
    "late-copy": lambda _value, options: LateCopy(choice(options, "how", RESET, "reset")),
    "expire-token": lambda _value, _options: ExpireToken(),
    "slow-body=": lambda value, _options: _slow(duration("slow-body", value)),
    "redirect=": lambda value, _options: _redirect(value),
    **{word: _spoil(word) for word in _SPOILT},
}
