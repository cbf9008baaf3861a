"""The fault language of docs/sandbox.md, and the faults that wait for their calls.

A lock makes it safe to add while calls are served. In a text, lines that start with `#` are comments.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from threading import Lock
from typing import Final, get_args

from reconciler.errors import UsageError
from reconciler.sandbox.call import Call, CallKind
from reconciler.sandbox.effects import EFFECTS, Effect, Fail, Options, Reader, whole
from reconciler.sandbox.invocation import ReceivedRequest

_MATCHERS: Final[tuple[str, ...]] = ("action", "externalid", "requestid", "route")
_PATHS: Final = ("any", *get_args(CallKind))


@dataclass(slots=True, eq=False)
class Fault:
    """An effect and the calls that it is for: to `path`, with a request that has all of `values`.

    It begins with the `nth` that matches and is applied `times` times (None: always); for `Fail` requests are
    counted, not calls. `text` is the effect as it was written.
    """

    effect: Effect
    text: str
    path: str = "invoke"
    values: Mapping[str, str] = field(default_factory=dict)
    nth: int = 1
    times: int | None = 1
    seen: int = 0

    def fits(self, call: Call) -> bool:
        """Whether the call is one of these."""
        if self.path not in ("any", call.kind):
            return False
        return not self.values or any(self.fits_request(request) for request in call.requests)

    def fits_request(self, request: ReceivedRequest) -> bool:
        """Whether the request has all the values."""
        return all(getattr(request, name) == value for name, value in self.values.items())

    def due(self) -> bool:
        """Count one more that matches; returns whether the fault is to be applied to it."""
        self.seen += 1
        return self.seen >= self.nth


class Faults:
    """The faults that wait. Of several that are due for a call the one added first is applied, the others wait on.

    Failures are kept apart, by externalid: they concern requests, and stand beside what happens to the call.
    `effects` are the words that texts may hold.
    """

    def __init__(self, *faults: str, effects: Mapping[str, Reader] = EFFECTS) -> None:
        self._effects = effects
        self._calls: list[Fault] = []
        self._failures: dict[str | None, list[Fault]] = {}
        self._lock = Lock()
        self.add(*faults)

    def add(self, *texts: str) -> None:
        """Add the faults of texts behind those that wait. Raises UsageError, adding none."""
        parsed = [fault for text in texts for fault in parse(text, self._effects)]
        with self._lock:
            for fault in parsed:
                if isinstance(fault.effect, Fail):
                    self._failures.setdefault(fault.values.get("externalid"), []).append(fault)
                else:
                    self._calls.append(fault)

    def clear(self) -> None:
        """Drop all that wait."""
        with self._lock:
            self._calls.clear()
            self._failures.clear()

    @property
    def waiting(self) -> int:
        """How many have times left."""
        with self._lock:
            return sum(map(len, (self._calls, *self._failures.values())))

    def take(self, call: Call) -> Fault | None:
        """Return the fault of a call, None for none, and count it."""
        with self._lock:
            return _take(self._calls, lambda fault: fault.fits(call))

    def fails(self, request: ReceivedRequest) -> bool:
        """Return whether a request fails, and count it."""
        with self._lock:
            groups = [self._failures.get(key, []) for key in {request.externalid, None}]
            taken = [_take(group, lambda fault: fault.fits_request(request)) for group in groups if group]
            return any(fault is not None for fault in taken)


def _take(waiting: list[Fault], fits: Callable[[Fault], bool]) -> Fault | None:
    due = [fault for fault in waiting if fits(fault) and fault.due()]
    if not due:
        return None
    fault = due[0]
    if fault.times is not None:
        fault.times -= 1
        if not fault.times:
            waiting.remove(fault)
    return fault


def parse(text: str, effects: Mapping[str, Reader] = EFFECTS) -> list[Fault]:
    """Return the faults of a text; raises UsageError that shows the fault and says what is wrong with it."""
    return [_fault(words, effects) for line in text.split("\n") for words in _split(line) if words]


def _split(line: str) -> list[list[str]]:
    if line.lstrip().startswith("#"):
        return []
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";")
    lexer.whitespace_split, lexer.commenters = True, ""
    groups: list[list[str]] = [[]]
    try:
        for word in lexer:
            if word.strip(";"):
                groups[-1].append(word)
            else:
                groups.append([])
    except ValueError as error:
        raise UsageError(f"fault {line!r}: {error}") from error
    return groups


def _fault(words: list[str], effects: Mapping[str, Reader]) -> Fault:
    word, equals, value = words[0].partition("=")
    try:
        options = _options(words[1:])
        times = options.pop("times", "1")
        path = options.pop("path", "invoke")
        nth = whole("nth", options.pop("nth", "1"))
        values = {name: options.pop(name) for name in _MATCHERS if name in options}
        shown = " ".join([words[0], *(f"{name}={shlex.quote(option)}" for name, option in options.items())])
        effect = _reader(word + equals, value, effects)(value, options)
        if options:
            raise ValueError(f"{next(iter(options))!r} is no option of {word!r}")  # noqa: TRY301 - one handler for all
        _check(path, values)
        return Fault(effect, shown, path, values, nth, None if times == "always" else whole("times", times))
    except ValueError as error:
        raise UsageError(f"fault '{' '.join(words)}': {error}", hint="docs/sandbox.md lists the faults.") from error


def _options(words: Iterable[str]) -> Options:
    options: Options = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not value:
            raise ValueError(f"{name!r} needs a value: {name}=…")
        if name in options:
            raise ValueError(f"{name!r} is given twice")
        options[name] = value
    return options


def _check(path: str, values: Mapping[str, str]) -> None:
    if path not in _PATHS:
        raise ValueError(f"path={path} is none of {', '.join(_PATHS)}")
    if values.get("action", "dispatch") not in ("dispatch", "release"):
        raise ValueError(f"action={values['action']} is none of dispatch, release")
    if path == "token" and values:
        raise ValueError(f"{next(iter(values))!r} is for path=invoke only: a token call holds no requests")


def _reader(word: str, value: str, effects: Mapping[str, Reader]) -> Reader:
    if word in effects and (value or not word.endswith("=")):
        return effects[word]
    bare = word.removesuffix("=")
    if bare in effects:
        raise ValueError(f"{bare!r} takes no value")
    if f"{bare}=" in effects:
        raise ValueError(f"{bare!r} needs a value: {bare}=…")
    close = get_close_matches(bare, [known.removesuffix("=") for known in effects], n=1)
    raise ValueError(f"{bare!r} is not a fault" + (f"; did you mean {close[0]!r}?" if close else ""))
