"""Servers that no HTTP library would give: each connection is talked to by a function of the test."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

Talk = Callable[[socket.socket], None]


class Script:
    """A listening socket on loopback; `talk` gets each connection, in a thread of its own, and may read and write it.

    `port` 0 takes a free one. All connections end with the block.
    """

    def __init__(self, talk: Talk, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self._talk = talk
        self._tls = tls
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shut(self._listener)
        self._listener.close()
        self._threads[0].join()
        for connection in self._open:
            shut(connection)
        for thread in self._threads:
            thread.join()

    def _start(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                self._start(lambda connection=connection: self._serve(connection))  # type: ignore[misc]

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self._tls is None:
                self._talk(connection)
            else:
                with self._tls.wrap_socket(connection, server_side=True) as secured:
                    self._talk(secured)


def shut(connection: socket.socket) -> None:
    """End both directions, so that whoever reads or accepts wakes up."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def read_request(connection: socket.socket) -> bytes:
    """Return the next request, head and body; empty at the end of the connection."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return b""
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.partition(b":")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while len(body) < int(lengths[0] if lengths else 0):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def answer(body: bytes, status: str = "200 OK") -> bytes:
    """Return an HTTP answer with a JSON body."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def tunnel(connection: socket.socket, port: int) -> None:
    """Pass bytes both ways between a connection and a port of this machine until either ends."""
    with socket.create_connection(("127.0.0.1", port)) as other:
        back = threading.Thread(target=_pass_on, args=(other, connection), daemon=True)
        back.start()
        _pass_on(connection, other)
        back.join()


def _pass_on(source: socket.socket, destination: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            destination.sendall(data)
    shut(destination)
