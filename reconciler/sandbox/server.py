"""HTTP/1.1 over loopback for the sandbox, in threads of this process.

Beside the API, for people outside the process: `GET /sandbox/open` lists what is open, `POST /sandbox/complete` ends
the externalids in its body, one a line, as agents do.
"""

from __future__ import annotations

import socket
import struct
import sys
from contextlib import suppress
from email.message import Message
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Final, Self

from reconciler.delivery.workers import started
from reconciler.errors import ReconcilerError
from reconciler.sandbox.call import TOKEN_PATH
from reconciler.sandbox.reply import Hangup, Reply, json_answer, message_answer
from reconciler.sandbox.service import Service

HOST: Final = "127.0.0.1"
CONTROL: Final = "/sandbox/"
_HARD_LIMIT: Final = 64 * 1024 * 1024
_LOCAL: Final = frozenset({HOST, "localhost", "[::1]"})
_POLL: Final = 0.02
_RESET: Final = struct.pack("ii", 1, 0)


class Listener(ThreadingHTTPServer):
    """A listening socket and its connections, each in a daemon thread."""

    daemon_threads = True
    request_queue_size = 128
    handles: ClassVar[type[BaseHTTPRequestHandler]]

    def __init__(self, service: Service, port: int) -> None:
        self.service = service
        self.resets: set[socket.socket] = set()
        self.connections: set[socket.socket] = set()
        super().__init__((HOST, port), self.handles)

    def server_bind(self) -> None:
        """Bind without the reverse DNS look-up of http.server."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.server_name, self.server_port = self.socket.getsockname()

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        connection, address = super().get_request()
        with self.service.changed:
            self.connections.add(connection)
            self.service.changed.notify_all()
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Close a connection; one that was reset is not shut down first, for that would send a FIN."""
        if request in self.resets:
            self.resets.discard(request)
            request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.close_request(request)
        else:
            super().shutdown_request(request)
        with self.service.changed:
            self.connections.discard(request)
            self.service.changed.notify_all()

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """Keep what went wrong; a client that went away is not wrong."""
        error = sys.exception()
        if isinstance(error, Exception) and not isinstance(error, OSError):
            self.service.errors.append(error)

    def hang_up(self) -> None:
        """End the connections: calls in flight are answered first, as long as the client reads."""
        for how in (socket.SHUT_RD, socket.SHUT_RDWR):
            with self.service.changed:
                for connection in self.connections:
                    with suppress(OSError):  # it may have ended by itself
                        # socket's own: SSLSocket.shutdown would drop the session under the thread that uses it.
                        socket.socket.shutdown(connection, how)
                if self.service.changed.wait_for(lambda: not self.connections, timeout=2):
                    return


class Handler(BaseHTTPRequestHandler):
    """One connection: reads calls, asks the service, writes answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener
    headers: Message[str, str]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Log nothing."""

    def answer(self) -> None:
        """Serve one call, whatever its method; its line and headers have been read."""
        length = self._length()
        if length is None:
            return
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True  # the client went away in the middle
        elif self.path.startswith(CONTROL):
            self.write(self._control(body))
        else:
            self._serve(body)

    def _length(self) -> int | None:
        """Return the body's length; None if it can't be read, which was answered then."""
        text = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (text.isascii() and text.isdigit()):
            refusal = message_answer(411)
        elif len(text) > 18 or int(text) > _HARD_LIMIT:  # noqa: PLR2004 - no number of Python's own limit is read
            refusal = message_answer(413)
        else:
            return int(text)
        self.close_connection = True
        self.write(refusal)
        return None

    def _serve(self, body: bytes) -> None:
        service = self.server.service
        headers = {name.lower(): value for name, value in self.headers.items()}
        call = service.arrive(self.command, self.path.partition("?")[0], headers, body)
        answer = service.serve(call)
        if isinstance(answer, Hangup):
            self.close_connection = True
            if answer.reset:
                self.server.resets.add(self.connection)
            return
        # Noted before it is sent: a client that has its answer finds it noted.
        service.answered(call, answer.status)
        try:
            self.write(answer)
        except OSError:
            self.close_connection = True  # the client went away
            service.answered(call, None)

    def write(self, answer: Reply) -> None:
        """Write an answer; raises OSError."""
        self.wfile.write(answer.head + (b"" if self.command == "HEAD" else answer.content))

    def _control(self, body: bytes) -> Reply:
        if "Origin" in self.headers or self.headers.get("Host", "").rpartition(":")[0] not in _LOCAL:
            return message_answer(403, "For this machine only, and for no web page.")
        service = self.server.service
        match self.command, self.path.removeprefix(CONTROL):
            case "GET", "open":
                with service.changed:
                    return json_answer(
                        {"open": {x: {"provider": o.provider} for x, o in service.emulator.open.items()}}
                    )
            case "POST", "complete":
                lines = body.decode("utf-8", "replace").splitlines()
                return json_answer({"completed": [externalid for externalid in lines if service.complete(externalid)]})
        return message_answer(404)


Listener.handles = Handler
for _method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
    setattr(Handler, f"do_{_method}", Handler.answer)


class SandboxServer:
    """The emulated API on loopback; a context manager that serves in a daemon thread.

    `port` 0 takes a free one. Raises ReconcilerError if the port or the memory is in use or the memory can't be read.
    """

    scheme = "http"

    def __init__(self, service: Service, *, port: int = 0) -> None:
        self.service = service
        self.port = port
        self.listener: Listener | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def listen(self) -> Listener:
        """Return the listening socket; raises OSError."""
        return Listener(self.service, self.port)

    def start(self) -> None:
        """Load the memory, bind, and serve; it accepts connections when this returns."""
        self.service.open()
        try:
            self.listener = self.listen()
        except OSError as error:
            self.service.close()
            raise ReconcilerError(f"the sandbox can't listen on {HOST}:{self.port}: {error.strerror}") from error
        try:
            started(partial(self.listener.serve_forever, _POLL), "sandbox", daemon=True)
        except ReconcilerError:
            self.listener.server_close()
            self.service.close()
            raise

    def stop(self) -> None:
        """Stop accepting, end what waits, and save the memory; a second call does nothing."""
        listener, self.listener = self.listener, None
        if listener is None:
            return
        self.service.stopping.set()
        listener.shutdown()
        listener.server_close()
        with self.service.changed:
            self.service.changed.notify_all()
        listener.hang_up()
        self.service.close()

    @property
    def base_url(self) -> str:
        """`http://127.0.0.1:PORT`; raises RuntimeError when it is not running."""
        if self.listener is None:
            raise RuntimeError("the sandbox is not running")
        return f"{self.scheme}://{HOST}:{self.listener.server_port}"

    @property
    def token_url(self) -> str:
        """The address of the token call."""
        return self.base_url + TOKEN_PATH
