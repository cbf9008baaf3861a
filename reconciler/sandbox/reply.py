"""What the sandbox answers, and its bytes on the wire. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson

_BODILESS: Final = frozenset({204, 304})
_MESSAGES: Final = {413: "Payload Too Large", 417: "Request size limit exceeded"}


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP answer; with a status that has no body, none is sent."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def content(self) -> bytes:
        """The body as it is sent."""
        return b"" if self.status in _BODILESS else self.body

    @property
    def head(self) -> bytes:
        """The status line and the headers, up to and including the empty line."""
        lines = [f"HTTP/1.1 {self.status} {phrase(self.status)}"]
        if self.status not in _BODILESS:
            lines += ["Content-Type: application/json", f"Content-Length: {len(self.body)}"]
        return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in self.headers), "", ""]).encode(
            "latin-1", "replace"
        )


@dataclass(frozen=True, slots=True)
class Hangup:
    """No answer: the connection is closed, or reset (SO_LINGER 0)."""

    reset: bool = True


def phrase(status: int) -> str:
    """Return the reason phrase of a status; an empty one if it has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def json_answer(value: Any, status: int = 200) -> Reply:
    """Return an answer that carries `value` as JSON."""
    return Reply(status, orjson.dumps(value))


def message_answer(status: int, message: str | None = None, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """Return `{"message": …}` with the status [D]; without a message, the documented one or the reason phrase."""
    text = message if message is not None else _MESSAGES.get(status, phrase(status))
    return Reply(status, orjson.dumps({"message": text}), headers)
