"""The journal's records as bytes: what became of requests since the state was saved.

Pure. A line each: a checksum, a space, and the record as JSON. A last line without its newline is torn (the
process died while writing it) and counts as never written; damage anywhere else is an error.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson

from reconciler.errors import StateError
from reconciler.state.model import Outcome, Result, State
from reconciler.state.transitions import fold

_CHECKSUM: Final = 8
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Record:
    """The outcomes of one Invocation; `serial` is that of the state whose pending requests they settle."""

    lineage: str
    serial: int
    at: str
    outcomes: tuple[Outcome, ...]


def encode(record: Record) -> bytes:
    """Return the record's line, newline included."""
    body = orjson.dumps(
        {
            "lineage": record.lineage,
            "serial": record.serial,
            "at": record.at,
            "outcomes": [_plain(outcome) for outcome in record.outcomes],
        }
    )
    return b"%08x %b\n" % (zlib.crc32(body), body)


def _plain(outcome: Outcome) -> dict[str, Any]:
    plain: dict[str, Any] = {"requestid": outcome.requestid, "result": outcome.result}
    if outcome.reason:
        plain["reason"] = outcome.reason
    if outcome.resent:
        plain["resent"] = True
    return plain


def decode(data: bytes, name: str) -> tuple[Record, ...]:
    """Return the records of a journal; `name` is the file to blame. Raises StateError for anything but a torn end."""
    whole, newline, _torn = data.replace(b"\r\n", b"\n").rpartition(b"\n")  # git's autocrlf
    return tuple(_decode_lines(whole, name)) if newline else ()


def _decode_lines(whole: bytes, name: str) -> Iterator[Record]:
    for number, line in enumerate(whole.split(b"\n"), start=1):
        checksum, body = line[:_CHECKSUM], line[_CHECKSUM + 1 :]
        if b"%08x" % zlib.crc32(body) != checksum or line[_CHECKSUM : _CHECKSUM + 1] != b" ":
            raise _damaged(name, number, "its checksum does not match")
        try:
            yield _record(orjson.loads(body))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _damaged(name, number, "it is not a record of this version") from error


def _record(raw: dict[str, Any]) -> Record:
    return Record(
        _of(str, raw["lineage"]), _of(int, raw["serial"]), _of(str, raw["at"]), tuple(map(_outcome, raw["outcomes"]))
    )


def _outcome(raw: dict[str, Any]) -> Outcome:
    return Outcome(
        _of(str, raw["requestid"]),
        Result(raw["result"]),
        _of(str, raw.get("reason", "")),
        resent=_of(bool, raw.get("resent", False)),
    )


def _of(kind: type[T], value: Any) -> T:
    """Return the value if it is of just this type; raises TypeError."""
    if type(value) is not kind:
        raise TypeError(kind)
    return value


def _damaged(name: str, number: int, why: str) -> StateError:
    return StateError(
        f"{name}: record {number} is damaged: {why}",
        hint="Restore state and journal together from where they are kept. If that can't be done, move the journal "
        "away: what it told is then unknown, and the next apply settles it under the same requestids, or holds it.",
    )


def fold_left_over(state: State, records: tuple[Record, ...], name: str) -> State:
    """Return the state with a left-over journal folded in; records of an earlier serial were folded already.

    Raises StateError for a journal of another lineage, or of a later serial: the state was restored without it.
    """
    for record in records:
        if record.lineage != state.lineage:
            raise StateError(
                f"{name}: the journal belongs to lineage {record.lineage}, the state to {state.lineage}",
                hint="They are of two different states: put the journal back beside its own state.",
            )
        if record.serial > state.serial:
            raise StateError(
                f"{name}: the journal continues serial {record.serial}, but the state is at serial {state.serial}: "
                "the state was restored from an older copy",
                hint=f"Put back the state with serial {record.serial}. If the older one is meant, make it a state "
                "of its own; the journal is set aside",
                command=("state", "new-lineage"),
            )
    current = [
        (outcome, record.at) for record in records if record.serial == state.serial for outcome in record.outcomes
    ]
    return fold(state, current) if current else state
