"""What a fault does to a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from reconciler.sandbox.call import Call
from reconciler.sandbox.reply import Hangup, Reply, message_answer

if TYPE_CHECKING:
    from reconciler.sandbox.service import Service

Options = dict[str, str]


class Effect(Protocol):
    """What happens to a call instead of its being processed and answered."""

    def serve(self, call: Call, api: Service) -> Reply | Hangup:
        """Do it, and return what is answered."""
        ...


@dataclass(frozen=True, slots=True)
class Fail:
    """The matching request, if it isn't a duplicate, is not carried out and is listed as failed; calls go on."""

    def serve(self, call: Call, api: Service) -> Reply | Hangup:
        """Serve the call: a failure concerns requests, which `Faults.fails` asks about."""
        return api.process(call)


@dataclass(frozen=True, slots=True)
class Status:
    """The call is answered with `code`, before it is processed or after; `retry_after` is the header's text."""

    code: int
    message: str | None = None
    retry_after: str | None = None
    processed: bool = False

    def serve(self, call: Call, api: Service) -> Reply | Hangup:
        """Answer with the status."""
        if self.processed:
            api.process(call)
        return message_answer(self.code, self.message, (("Retry-After", self.retry_after),) if self.retry_after else ())


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection is reset (or closed) without an answer, before or after processing."""

    processed: bool
    reset: bool = True

    def serve(self, call: Call, api: Service) -> Reply | Hangup:
        """Hang up."""
        if self.processed:
            api.process(call)
        return Hangup(self.reset)


@dataclass(frozen=True, slots=True)
class Late:
    """The answer comes `seconds` late (None: never); processed at once, or at the end of the delay."""

    seconds: float | None
    processed: bool

    def serve(self, call: Call, api: Service) -> Reply | Hangup:
        """Wait; a sandbox that stops meanwhile hangs up."""
        answer = api.process(call) if self.processed else None
        if api.stopping.wait(self.seconds):
            return Hangup()
        return answer or api.process(call)


Reader = Callable[[str, Options], Effect]
"""Makes an effect of the value behind its word ("" where there is none), taking its options out of the rest."""


def choice(options: Options, name: str, choices: Mapping[str, bool], default: str) -> bool:
    """Take an option out of the options, and return what it stands for; raises ValueError."""
    value = options.pop(name, default)
    if value not in choices:
        raise ValueError(f"{name}={value} is none of {', '.join(choices)}")
    return choices[value]


def whole(name: str, text: str) -> int:
    """Return a whole number from 1; raises ValueError."""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):  # noqa: PLR2004 - far above any count
        raise ValueError(f"{name} must be a whole number from 1, not {text!r}")
    return int(text)


def duration(name: str, text: str) -> float:
    """Return seconds, up to a day; raises ValueError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:  # noqa: PLR2004 - a day
        raise ValueError(f"{name} must be seconds, not {text!r}")
    return seconds


YES: Final[Mapping[str, bool]] = {"yes": True, "no": False}
RESET: Final[Mapping[str, bool]] = {"reset": True, "close": False}


def read_status(value: str, options: Options, *, processed: bool) -> Status:
    """Return a status of the fault language: `retry-after` in seconds; raises ValueError."""
    code = whole("the status", value)
    if not 200 <= code <= 599:  # noqa: PLR2004 - the statuses that end a call
        raise ValueError(f"the status must be from 200 to 599, not {code}")
    retry_after = options.pop("retry-after", None)
    if retry_after is not None and not (retry_after.isascii() and retry_after.isdigit()):
        raise ValueError(f"retry-after={retry_after} is not whole seconds")
    return Status(code, options.pop("message", None), retry_after, processed)


def read_drop(value: str, options: Options) -> Drop:
    """Return a `drop` of the fault language; raises ValueError."""
    processed = choice({"drop": value}, "drop", {"after": True, "before": False}, "")
    return Drop(processed, choice(options, "how", RESET, "reset"))


EFFECTS: Final[Mapping[str, Reader]] = {
    "fail": lambda _value, _options: Fail(),
    "status=": lambda value, options: read_status(value, options, processed=False),
    "status-after=": lambda value, options: read_status(value, options, processed=True),
    "drop=": read_drop,
    "late=": lambda value, options: Late(duration("late", value), choice(options, "processed", YES, "yes")),
    "hang": lambda _value, options: Late(None, choice(options, "processed", YES, "no")),
}
"""The effects by their word in the fault language; `=` ends those that take a value."""
