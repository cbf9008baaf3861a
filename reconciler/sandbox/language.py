"""The fault language: text to faults. Pure.

A fault is an effect, then its options and matchers in any order:

    fail externalid=ObjectId_003 times=1
    status=503 retry-after=1 times=2
    drop=after nth=3

Faults are separated by newlines or by `;`. Values with spaces, `;` or quotes are quoted as in a shell. Lines that
start with `#` are comments. docs/sandbox.md is the reference.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Final, Literal, cast, get_args

from reconciler.errors import UsageError
from reconciler.sandbox.effects import (
    Drop,
    Effect,
    ExpireToken,
    Fail,
    Hang,
    How,
    Late,
    LateCopy,
    Redirect,
    SlowBody,
    Spoil,
    SpoilKind,
    Status,
    retry_after_header,
)
from reconciler.sandbox.match import REQUEST_MATCHERS, Fault, Match, Path

Options = dict[str, str]
_INVOKE_ONLY: Final = frozenset({"fail", "late-copy", "foreign-id", "duplicate-id"})


def parse(text: str) -> tuple[Fault, ...]:
    """Return the faults of a text; raises UsageError that shows the fault and says what is wrong with it."""
    return tuple(_fault(words) for line in text.split("\n") for words in _split(line) if words)


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


def _fault(words: list[str]) -> Fault:
    word, equals, value = words[0].partition("=")
    try:
        options = _options(words[1:])
        times = options.pop("times", "1")
        match = _match(word, options)
        effect = _effect(word, value if equals else None, options)
        _check_used_up(word, options)
        return Fault(effect, match, None if times == "always" else _count("times", times))
    except ValueError as error:
        raise UsageError(f"fault '{' '.join(words)}': {error}", hint="docs/sandbox.md lists the faults.") from error


def _check_used_up(word: str, options: Options) -> None:
    if options:
        raise ValueError(f"{next(iter(options))!r} is no option of {word!r}")


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


def _match(word: str, options: Options) -> Match:
    path = _one_of("path", options.pop("path", "invoke"), get_args(Path))
    nth = _count("nth", options.pop("nth", "1"))
    values = {name: options.pop(name) for name in REQUEST_MATCHERS if name in options}
    if "action" in values:
        _one_of("action", values["action"], ("dispatch", "release"))
    if path != "invoke" and word in _INVOKE_ONLY:
        raise ValueError(f"{word!r} is for path=invoke only")
    if path == "token" and values:
        raise ValueError(f"{next(iter(values))!r} is for path=invoke only: a token call holds no requests")
    return Match(cast("Path", path), nth=nth, **values)


def _effect(word: str, value: str | None, options: Options) -> Effect:
    if word in _PLAIN and value is None:
        return _PLAIN[word](options)
    if word in _VALUED and value:
        return _VALUED[word](value, options)
    if word in _PLAIN:
        raise ValueError(f"{word!r} takes no value")
    if word in _VALUED:
        raise ValueError(f"{word!r} needs a value: {word}=…")
    close = get_close_matches(word, [*_PLAIN, *_VALUED], n=1)
    raise ValueError(f"{word!r} is not a fault" + (f"; did you mean {close[0]!r}?" if close else ""))


def _status(value: str, options: Options, *, processed: bool) -> Effect:
    code = _count("the status", value)
    if not 200 <= code <= 599:  # noqa: PLR2004 - the statuses that end a call
        raise ValueError(f"the status must be from 200 to 599, not {code}")
    retry_after = options.pop("retry-after", None)
    if retry_after is not None:
        try:
            retry_after_header(retry_after, 0)
        except ValueError:
            raise ValueError(f"retry-after={retry_after} is neither seconds, date[+S] nor raw:TEXT") from None
    return Status(code, options.pop("message", None), retry_after, processed)


def _drop(value: str, options: Options) -> Effect:
    when = _one_of("drop", value, ("before", "after"))
    return Drop(cast('Literal["before", "after"]', when), _how(options))


def _how(options: Options) -> How:
    return cast("How", _one_of("how", options.pop("how", "reset"), get_args(How)))


def _processed(options: Options, default: str) -> bool:
    return _one_of("processed", options.pop("processed", default), ("yes", "no")) == "yes"


def _spoil(kind: SpoilKind) -> Callable[[Options], Effect]:
    return lambda options: Spoil(kind, _processed(options, "yes"))


_PLAIN: Final[Mapping[str, Callable[[Options], Effect]]] = {
    "fail": lambda _options: Fail(),
    "late-copy": lambda options: LateCopy(_how(options)),
    "hang": lambda options: Hang(_processed(options, "no")),
    "expire-token": lambda _options: ExpireToken(),
    **{kind: _spoil(kind) for kind in cast("tuple[SpoilKind, ...]", get_args(SpoilKind))},
}
_VALUED: Final[Mapping[str, Callable[[str, Options], Effect]]] = {
    "status": lambda value, options: _status(value, options, processed=False),
    "status-after": lambda value, options: _status(value, options, processed=True),
    "drop": _drop,
    "late": lambda value, options: Late(_seconds("late", value), _processed(options, "yes")),
    "slow-body": lambda value, _options: SlowBody(_seconds("slow-body", value)),
    "redirect": lambda value, _options: Redirect(value),
}


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"{name}={value} is none of {', '.join(known)}")
    return value


def _count(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ValueError(f"{name} must be a whole number from 1, not {text!r}")
    return int(text)


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{name} must be seconds, not {text!r}")
    return seconds
