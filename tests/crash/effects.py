"""The effects of a run, seen where they leave the process: counted, told, and cut short at one of them.

Works in the forked process only. Wrapped are the calls of `os` and `fcntl` that change the state's folder, those of
obstore, a push of git's, and what httpx sends to and receives from the API (its `trace` extension). A `read` of a file
isn't seen.
"""

from __future__ import annotations

import base64
import fcntl
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import httpx
import obstore

from reconciler.state.stores.git import GitObjects
from reconciler.state.stores.interface import Put

When = Literal["before", "amid", "after"]
Say = Callable[[Mapping[str, Any]], None]
INVOKE: Final = "/interactions/invoke"
_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_SIGNALS: Final = {"KILL": signal.SIGKILL, "INT": signal.SIGINT, "TERM": signal.SIGTERM}
_EXCHANGES: Final = {
    "http11.send_request_headers": "send-headers",
    "http11.send_request_body": "send",
    "http11.receive_response_headers": "receive-headers",
    "http11.receive_response_body": "receive",
}
_BUCKET_CALLS: Final = ("get", "put", "list", "delete")
_TOKEN_EXCHANGES: Final = {"send", "receive"}


@dataclass(frozen=True)
class Cut:
    """Send this process `signal` at event `number` (from 1). `amid` writes half of the data first."""

    number: int
    when: When
    signal: str = "KILL"


def _durable_by_itself(_descriptor: int) -> None:
    """Do what fsync does for a process that is killed: nothing. What it does for a power cut is told by disk.py."""


class Effects:
    """Tells each event as it is about to happen; `install` wraps the calls."""

    def __init__(self, folder: Path, say: Say, cut: Cut | None) -> None:
        self._folder = str(folder)
        self._say = say
        self._cut = cut
        self._lock = threading.RLock()  # held through a change of a file, so that what is told has happened
        self._count = 0
        self._names: dict[int, str] = {}

    def install(self) -> None:
        """Wrap the calls, for the rest of this process' life."""
        for module, name, wrapper in (
            (os, "open", self._open(os.open)),
            (os, "close", self._close(os.close)),
            (os, "write", self._write(os.write)),
            (os, "pwrite", self._pwrite(os.pwrite)),
            (os, "ftruncate", self._ftruncate(os.ftruncate)),
            (os, "fsync", self._on_descriptor("fsync", _durable_by_itself)),
            (fcntl, "flock", self._on_descriptor("flock", fcntl.flock)),
            (os, "unlink", self._on_path("unlink", os.unlink)),
            (os, "remove", self._on_path("unlink", os.remove)),
            (os, "rename", self._on_paths("rename", os.rename)),
            (os, "replace", self._on_paths("rename", os.replace)),
            (os, "link", self._on_paths("link", os.link)),
            (httpx.HTTPTransport, "handle_request", self._exchange(httpx.HTTPTransport.handle_request)),
            (GitObjects, "put_all", self._on_branch(GitObjects.put_all)),
            (subprocess.Popen, "communicate", self._on_push(subprocess.Popen.communicate)),
            *(
                (obstore, name, self._on_bucket(name, getattr(obstore, name)))
                for name in ("get", "put", "list", "delete")
            ),
        ):
            setattr(module, name, wrapper)

    # -- one event -------------------------------------------------------------------------------------------------

    def _call(self, op: str, name: str, real: Callable[[], Any], **more: Any) -> Any:
        with self._lock:
            number = self._tell(op, name, **more)
            try:
                return real()
            finally:
                self._strike(number, "after")

    def _tell(self, op: str, name: str, **more: Any) -> int:
        with self._lock:
            self._count += 1
            self._say({"op": op, "name": name, **more})
            self._strike(self._count, "before")
            return self._count

    def _strike(self, number: int, when: When) -> None:
        if self._cut and (self._cut.number, self._cut.when) == (number, when):
            with self._lock:
                os.kill(os.getpid(), _SIGNALS[self._cut.signal])

    def _name(self, path: Any, folder: int | None = None) -> str | None:
        """Return the path's name in the folder, `.` for the folder itself, None for anything elsewhere."""
        text = os.fspath(path)
        if folder is not None:
            return text if self._names.get(folder) == "." else None
        if text == self._folder:
            return "."
        parent, _, name = text.rpartition("/")
        return name if parent == self._folder else None

    # -- files -----------------------------------------------------------------------------------------------------

    def _open(self, real: Callable[..., int]) -> Callable[..., int]:
        def opened(path: Any, flags: int, *arguments: Any, **named: Any) -> int:
            name = self._name(path, named.get("dir_fd")) if isinstance(path, str | os.PathLike) else None
            if name is None:
                return real(path, flags, *arguments, **named)
            if not flags & _WRITES:
                descriptor = real(path, flags, *arguments, **named)
            else:
                truncated = bool(flags & os.O_TRUNC)
                descriptor = self._call(
                    "open", name, lambda: real(path, flags, *arguments, **named), truncated=truncated
                )
            self._names[descriptor] = name
            return descriptor

        return opened

    def _close(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def close(descriptor: int) -> None:
            self._names.pop(descriptor, None)
            real(descriptor)

        return close

    def _write(self, real: Callable[..., int]) -> Callable[..., int]:
        def write(descriptor: int, data: Any) -> int:
            if descriptor in self._names:
                raise NotImplementedError("the harness knows pwrite only: a write tells no offset")
            return real(descriptor, data)

        return write

    def _pwrite(self, real: Callable[..., int]) -> Callable[..., int]:
        def pwrite(descriptor: int, data: Any, offset: int) -> int:
            if (name := self._names.get(descriptor)) is None:
                return real(descriptor, data, offset)
            with self._lock:
                number = self._tell("pwrite", name, offset=offset, data=base64.b64encode(data).decode())
                if self._cut == Cut(number, "amid"):
                    real(descriptor, bytes(data)[: len(data) // 2], offset)
                    self._strike(number, "amid")
                written = real(descriptor, data, offset)
                self._strike(number, "after")
            return written

        return pwrite

    def _ftruncate(self, real: Callable[[int, int], None]) -> Callable[[int, int], None]:
        def ftruncate(descriptor: int, length: int) -> None:
            if (name := self._names.get(descriptor)) is None:
                real(descriptor, length)
            else:
                self._call("ftruncate", name, lambda: real(descriptor, length), offset=length)

        return ftruncate

    def _on_descriptor(self, op: str, real: Callable[..., None]) -> Callable[..., None]:
        def call(descriptor: int, *arguments: Any) -> None:
            if (name := self._names.get(descriptor)) is None:
                real(descriptor, *arguments)
            else:
                self._call(op, name, lambda: real(descriptor, *arguments))

        return call

    def _on_path(self, op: str, real: Callable[..., None]) -> Callable[..., None]:
        def call(path: Any, **named: Any) -> None:
            if (name := self._name(path, named.get("dir_fd"))) is None:
                real(path, **named)
            else:
                self._call(op, name, lambda: real(path, **named))

        return call

    def _on_paths(self, op: str, real: Callable[..., None]) -> Callable[..., None]:
        def call(source: Any, target: Any, **named: Any) -> None:
            name, other = self._name(source, named.get("src_dir_fd")), self._name(target, named.get("dst_dir_fd"))
            if name is None or other is None:
                real(source, target, **named)
            else:
                self._call(op, name, lambda: real(source, target, **named), other=other)

        return call

    # -- buckets ---------------------------------------------------------------------------------------------------

    def _on_bucket(self, op: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(store: Any, path: Any, *arguments: Any, **named: Any) -> Any:
            name = "several" if isinstance(path, list) else str(path).rpartition("/")[2]
            return self._call(op, name, lambda: real(store, path, *arguments, **named))

        return call

    # -- branches --------------------------------------------------------------------------------------------------

    def _on_branch(self, real: Callable[..., list[object]]) -> Callable[..., list[object]]:
        def put_all(objects: GitObjects, puts: Sequence[Put]) -> list[object]:
            name = f"reconciler.state.json{puts[-1].name}"
            return list(self._call("put", name, lambda: real(objects, puts)))

        return put_all

    def _on_push(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """Return what is told that git has begun to push; killed before that is over, a run leaves git at work."""

        def communicate(process: Any, *arguments: Any, **named: Any) -> Any:
            if "push" not in process.args:
                return real(process, *arguments, **named)
            return self._call("push", "state", lambda: real(process, *arguments, **named))

        return communicate

    # -- HTTP ------------------------------------------------------------------------------------------------------

    def _exchange(self, real: Callable[..., httpx.Response]) -> Callable[..., httpx.Response]:
        def handle_request(transport: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
            request.extensions = {**request.extensions, "trace": self._tracer(request)}
            return real(transport, request)

        return handle_request

    def _tracer(self, request: httpx.Request) -> Callable[[str, Mapping[str, Any]], None]:
        numbers: dict[str, int] = {}
        invokes = request.url.path == INVOKE

        def trace(step: str, _details: Mapping[str, Any]) -> None:
            exchange, _, phase = step.rpartition(".")
            op = _EXCHANGES.get(exchange)
            if op is None or not (invokes or op in _TOKEN_EXCHANGES):
                return
            if phase == "started":
                numbers[op] = self._tell(op, request.url.path)
            else:
                self._strike(numbers[op], "after")

        return trace
