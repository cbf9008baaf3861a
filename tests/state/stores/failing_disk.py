"""A disk on which system calls fail: which call, on which file, from which time on, with which error."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self
from unittest import mock

FOLDER: Final = "the folder"
CALLS: Final = ("open", "pwrite", "ftruncate", "fsync", "fchmod", "fstat", "stat", "unlink", "link", "replace", "flock")


class Call(NamedTuple):
    """A system call, and the name of the file that it is about (of a new name: that)."""

    call: str
    file: str


class FailingDisk:
    """A context manager: calls are counted in `seen`, and fail where they should.

    `call` fails for `file` (any, if there is none given) from the `nth` time on, `times` times (for good, if none is
    given). `half`: half of the data is written before. `watch` is told of each such call, before it is made: the data
    of a write, and whether it fails.
    """

    def __init__(  # each is independent, and all but one have defaults
        self,
        call: str,
        file: str = "",
        number: int = errno.ENOSPC,
        *,
        nth: int = 1,
        times: int | None = None,
        half: bool = False,
        watch: Callable[[bytes, bool], None] = lambda _data, _fails: None,
    ) -> None:
        self.seen: list[Call] = []
        self.failed = 0
        self._call, self._file, self._number = call, file, number
        self._nth, self._times, self._half, self._watch = nth, times, half, watch
        self._names: dict[int, str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for name in CALLS:
            place = fcntl if name == "flock" else os
            wrapped = self._wrapped(name, getattr(place, name))
            self._stack.enter_context(mock.patch.object(place, name, wrapped))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _wrapped(self, call: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(target: Any, *arguments: Any, **named: Any) -> Any:
            name = self._name(call, target, arguments)
            data = bytes(arguments[0]) if call == "pwrite" else b""
            if self._fails(Call(call, name), data):
                if self._half:
                    real(target, data[: len(data) // 2], *arguments[1:], **named)
                raise OSError(self._number, os.strerror(self._number), name)
            answer = real(target, *arguments, **named)
            if call == "open":
                self._names[answer] = name
            return answer

        return wrapped

    def _name(self, call: str, target: Any, arguments: tuple[Any, ...]) -> str:
        if isinstance(target, int):
            return self._names.get(target, "")
        if call == "open" and arguments[0] & os.O_DIRECTORY:
            return FOLDER
        return Path(os.fsdecode(arguments[0] if call == "link" else target)).name

    def _fails(self, call: Call, data: bytes) -> bool:
        self.seen.append(call)
        if call.call != self._call or self._file not in {"", call.file}:
            return False
        self._nth -= 1
        fails = self._nth <= 0 and self.failed != self._times
        self.failed += fails
        self._watch(data, fails)
        return fails
