"""HTTP/1.1 over sockets for the sandbox: connections, answers cut, trickled or never given."""

from __future__ import annotations

import socket
import ssl
import struct
import sys
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from reconciler.sandbox.answer import Answer, Hangup, message_answer
from reconciler.sandbox.control import PREFIX, control
from reconciler.sandbox.record import Arriving
from reconciler.sandbox.service import Service

_HARD_LIMIT: Final = 64 * 1024 * 1024
_RESET: Final = struct.pack("ii", 1, 0)


class Listener(ThreadingHTTPServer):
    """A listening socket and its connections, each in a daemon thread."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], service: Service, tls: ssl.SSLContext | None) -> None:
        self.service = service
        self.accepted: set[int] = set()
        self.resets: set[socket.socket] = set()
        self._tls = tls
        self._connections: set[socket.socket] = set()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, Handler)

    def server_bind(self) -> None:
        """Bind without the reverse DNS look-up of http.server."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        host, port = self.socket.getsockname()[:2]
        self.server_address, self.server_name, self.server_port = (host, port), host, port

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; its TLS handshake happens in its own thread."""
        connection, address = super().get_request()
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self.service.changed:
            self._connections.add(connection)
            self.accepted.add(address[1])
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
            self._connections.discard(request)
            self.service.changed.notify_all()

    def handle_error(self, _request: Any, _client_address: Any) -> None:
        """Keep what went wrong; a client that went away is not wrong."""
        error = sys.exception()
        if isinstance(error, Exception) and not isinstance(error, OSError):
            self.service.errors.append(error)

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def hang_up(self) -> None:
        """End the connections: calls in flight are answered first, as long as the client reads."""
        for how in (socket.SHUT_RD, socket.SHUT_RDWR):
            with self.service.changed:
                for connection in self._connections:
                    _shut(connection, how)
                if self.service.changed.wait_for(lambda: not self._connections, timeout=2):
                    return


def _shut(connection: socket.socket, how: int) -> None:
    try:
        # socket's own: on a TLS connection SSLSocket.shutdown would drop the session under the thread that uses it.
        socket.socket.shutdown(connection, how)
    except OSError:
        return  # it has ended by itself


class Handler(BaseHTTPRequestHandler):
    """One connection: reads calls, asks the service or the control endpoints, writes answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Listener
    headers: Message[str, str]

    def setup(self) -> None:
        """Shake hands, if there is TLS; raises OSError, which ends the connection."""
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

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
        elif self.path.startswith(PREFIX):
            self._send(control(self.server.service, self.command, self.path, self._lower_headers(), body))
        else:
            self._serve(body)

    def _lower_headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.headers.items()}

    def _length(self) -> int | None:
        # The body's length; None if it can't be read, which was answered then.
        text = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (text.isascii() and text.isdigit()):
            refusal = message_answer(411)
        elif int(text) > _HARD_LIMIT:
            refusal = message_answer(413)
        else:
            return int(text)
        self.close_connection = True
        self._send(refusal)
        return None

    def _serve(self, body: bytes) -> None:
        service = self.server.service
        arrival = service.arrive(Arriving(self.command, self.path.partition("?")[0], self._lower_headers(), body))
        answer = service.serve(arrival)
        if isinstance(answer, Hangup):
            self._hang_up(answer)
            return
        # Noted before it is sent: a client that has its answer finds it in the record.
        service.answered(arrival.call, answer.status)
        try:
            self._send(answer)
        except OSError:
            self.close_connection = True  # the client went away
            service.answered(arrival.call, None)

    def _hang_up(self, answer: Hangup) -> None:
        self.close_connection = True
        if answer.reset:
            self.server.resets.add(self.connection)

    def _send(self, answer: Answer) -> None:
        if answer.missing:
            self.close_connection = True
        body = b"" if self.command == "HEAD" else answer.content
        if not answer.spread:
            self.wfile.write(answer.head + body)
            return
        self.wfile.write(answer.head)
        pause = answer.spread / max(len(body) - 1, 1)
        for position in range(len(body)):
            if position:
                self.server.service.stopping.wait(pause)
            self.wfile.write(body[position : position + 1])


for _method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
    setattr(Handler, f"do_{_method}", Handler.answer)
