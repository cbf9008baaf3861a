"""The emulator with a record, and with other answers to what the API's documentation leaves open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from reconciler.sandbox.call import Call as ArrivedCall
from reconciler.sandbox.emulator import Emulator, Fails
from reconciler.sandbox.invocation import ReceivedRequest
from reconciler.sandbox.memory import Memory, OpenInteraction, Remembered
from reconciler.sandbox.reply import Reply
from tests.api.record import Call, Double, Handling, Processed, Record


class FailedDuplicate(StrEnum):
    """What a duplicate of a request that failed does; undocumented, so each is possible."""

    FAILS = "fails"
    IGNORED = "ignored"
    PROCESSED = "processed"


class Redispatch(StrEnum):
    """What dispatching an externalid that is still open does; undocumented. It is recorded as a double either way."""

    FAILS = "fails"
    OPENS = "opens"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """What a test may have otherwise; each default is the sandbox's own.

    `clients`: client ids with their secrets; None takes any that are not empty.
    `access_token`: a token that is always valid, beside the issued ones.
    `remember_seconds`, `remember_requests`: how long, and how many, requestids are remembered; None: all, for ever.
    `done_duplicate_fails`: a duplicate of a request that succeeded is ignored but listed as failed.
    `reverse`: process the requests of a body from the last to the first.
    `keep`: how many calls and processed requests the record holds, the newest; None holds all.
    """

    clients: Mapping[str, str] | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)
    expires_in: int = Emulator.expires_in
    body_limit: int = Emulator.body_limit
    too_large_status: int = Emulator.too_large
    remember_seconds: float | None = None
    remember_requests: int | None = None
    failed_duplicate: FailedDuplicate = FailedDuplicate.FAILS
    done_duplicate_fails: bool = False
    redispatch: Redispatch = Redispatch.FAILS
    reverse: bool = False
    latency: float = 0.0
    memory: Path | None = None
    keep: int | None = None


class RecordingEmulator(Emulator):
    """The emulator, under the assumptions of a configuration; `record` is what happened.

    `copies` counts how often an externalid is open: above 1 only where `Redispatch.OPENS` opened it again.
    """

    def __init__(self, config: SandboxConfig | None = None, new_token: Callable[[], str] | None = None) -> None:
        super().__init__(new_token)
        self.config = config or SandboxConfig()
        self.record = Record(self.config.keep)
        self.copies: Counter[str] = Counter()
        self.expires_in, self.body_limit = self.config.expires_in, self.config.body_limit
        self.too_large = self.config.too_large_status

    def reset(self) -> None:
        """Forget everything but the issued tokens."""
        self.record, self.memory, self.copies = Record(self.config.keep), Memory(), Counter()

    @property
    def doubles(self) -> list[Double]:
        """The dispatches of externalids that were still open: violations."""
        return self.record.doubles

    def knows_client(self, client_id: str, secret: str) -> bool:
        """See Emulator; only the configured clients are known, if there are any."""
        clients = self.config.clients
        if clients is None:
            return super().knows_client(client_id, secret)
        return bool(secret) and clients.get(client_id) == secret

    def knows_token(self, token: str, now: float) -> bool:
        """See Emulator; the configured token never expires."""
        return token == self.config.access_token or super().knows_token(token, now)

    def process(self, call: ArrivedCall, now: float, fails: Fails) -> Reply:
        """See Emulator; requestids are forgotten as configured."""
        self._forget(now)
        answer = super().process(call, now, fails)
        self._forget(now)
        return answer

    def _forget(self, now: float) -> None:
        ids, config = self.memory.ids, self.config
        if config.remember_seconds is not None:
            while ids and next(iter(ids.values())).at < now - config.remember_seconds:
                ids.popitem(last=False)
        if config.remember_requests is not None:
            while len(ids) > config.remember_requests:
                ids.popitem(last=False)

    def ordered(self, requests: list[ReceivedRequest]) -> list[ReceivedRequest]:
        """See Emulator."""
        return requests[::-1] if self.config.reverse else requests

    def duplicate(self, known: Remembered) -> bool | None:
        """See Emulator."""
        if not known.failed:
            return self.config.done_duplicate_fails
        if self.config.failed_duplicate is FailedDuplicate.PROCESSED:
            return None
        return self.config.failed_duplicate is FailedDuplicate.FAILS

    def dispatch(self, call: ArrivedCall, externalid: str, opened: OpenInteraction) -> str:
        """See Emulator; one that is open is recorded as a double."""
        was = self.open.get(externalid)
        if was is not None:
            self.record.doubles.append(Double(externalid, _number(call), opened.requestid, was.requestid))
            if self.config.redispatch is Redispatch.FAILS:
                return "still open"
            self.memory.put(externalid, opened)
        else:
            super().dispatch(call, externalid, opened)
        self.copies[externalid] += 1
        return ""

    def close(self, externalid: str) -> None:
        """See Emulator; one copy ends."""
        self.copies[externalid] -= 1
        if self.copies[externalid] < 1:
            del self.copies[externalid]
            super().close(externalid)

    def note(
        self, call: ArrivedCall | None, provider: str | None, request: ReceivedRequest, outcome: Handling, reason: str
    ) -> None:
        """See Emulator."""
        self.record.add_processed(Processed(_number(call), provider, request, outcome, reason))


def _number(call: ArrivedCall | None) -> int:
    return call.n if isinstance(call, Call) else 0
