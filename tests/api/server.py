"""The sandbox server as tests run it: what reached it, hooks, and everything that can be waited for."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from ssl import SSLContext
from typing import Any

from reconciler.sandbox.call import CallKind
from reconciler.sandbox.faults import Faults
from reconciler.sandbox.reply import Reply
from reconciler.sandbox.server import Handler, Listener
from reconciler.sandbox.server import SandboxServer as PlainServer
from tests.api.assumptions import RecordingEmulator, SandboxConfig
from tests.api.effects import ALL_EFFECTS, CutAnswer, SlowAnswer
from tests.api.record import Call
from tests.api.service import Hook, RecordingService


class _Handler(Handler):
    """Shakes hands where there is TLS, and writes answers that are cut short or trickle, too."""

    def setup(self) -> None:
        """See Handler; raises OSError, which ends the connection."""
        if shake := getattr(self.request, "do_handshake", None):
            shake()
        super().setup()

    def write(self, answer: Reply) -> None:
        """See Handler."""
        if isinstance(answer, CutAnswer):
            self.close_connection = True
            whole = f"Content-Length: {len(answer.body)}"
            cut = f"Content-Length: {len(answer.body) + answer.missing}\r\nConnection: close"
            self.wfile.write(answer.head.replace(whole.encode(), cut.encode()) + answer.content)
        elif isinstance(answer, SlowAnswer):
            self.wfile.write(answer.head)
            pause = answer.spread / max(len(answer.content) - 1, 1)
            for position in range(len(answer.content)):
                if position:
                    self.server.service.stopping.wait(pause)
                self.wfile.write(answer.content[position : position + 1])
        else:
            super().write(answer)


class _Listener(Listener):
    """Speaks https if there is `tls`, and knows which connections it has accepted, by their port."""

    handles = _Handler

    def __init__(self, service: RecordingService, port: int, tls: SSLContext | None) -> None:
        self.accepted: set[int] = set()
        super().__init__(service, port)
        if tls is not None:  # each handshake happens in its connection's own thread
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def get_request(self) -> tuple[socket.socket, Any]:
        """See Listener."""
        connection, address = super().get_request()
        with self.service.changed:
            self.accepted.add(address[1])
            self.service.changed.notify_all()
        return connection, address


class SandboxServer(PlainServer):
    """The emulated API, recorded.

    `faults`: texts of the fault language. `clock`: seconds since the epoch. `tls`: serve https with this context.
    `on_call` runs before each call is processed, `on_processed` after, before its answer is sent.
    """

    service: RecordingService

    def __init__(
        self,
        config: SandboxConfig | None = None,
        faults: Iterable[str] = (),
        *,
        port: int = 0,
        tls: SSLContext | None = None,
        clock: Callable[[], float] = time.time,
        on_call: Hook | None = None,
        on_processed: Hook | None = None,
    ) -> None:
        self.faults = Faults(*faults, effects=ALL_EFFECTS)
        service = RecordingService(config or SandboxConfig(), self.faults, clock)
        service.on_call, service.on_processed = on_call, on_processed
        super().__init__(service, port=port)
        self.tls = tls
        self.scheme = "https" if tls else "http"

    def listen(self) -> _Listener:
        """See SandboxServer."""
        return _Listener(self.service, self.port, self.tls)

    @property
    def emulator(self) -> RecordingEmulator:
        """The emulator: what is open, and the record. Look at it when no call is being served (`wait_idle`)."""
        return self.service.emulator

    @property
    def calls(self) -> list[Call]:
        """The calls to the API so far, in order of arrival."""
        with self.service.changed:
            return list(self.emulator.record.calls)

    @property
    def errors(self) -> list[Exception]:
        """What went wrong in the sandbox itself; such a call was answered with 500."""
        return self.service.errors

    @property
    def connected(self) -> int:
        """How many connections were accepted so far."""
        return len(self.listener.accepted) if isinstance(self.listener, _Listener) else 0

    @property
    def hanging(self) -> int:
        """How many calls hang now; `wait_until(lambda: server.hanging == 1)` is when one can be released."""
        return self.service.hanging

    @property
    def on_call(self) -> Hook | None:
        """Runs before each call is processed, in the call's thread."""
        return self.service.on_call

    @on_call.setter
    def on_call(self, hook: Hook | None) -> None:
        self.service.on_call = hook

    @property
    def on_processed(self) -> Hook | None:
        """Runs after each call is processed (or was not, by its fault), before its answer is sent."""
        return self.service.on_processed

    @on_processed.setter
    def on_processed(self, hook: Hook | None) -> None:
        self.service.on_processed = hook

    def wait_until(self, condition: Callable[[], bool], timeout: float = 10.0) -> None:
        """Wait until the condition holds; it is looked at after every step of a call. Raises TimeoutError."""
        self.service.wait_until(condition, timeout)

    def wait_for_calls(self, n: int, timeout: float = 10.0, kind: CallKind | None = None) -> list[Call]:
        """Wait until `n` calls (of the kind) have arrived since the start and return all calls."""
        arrived = self.emulator.record.arrived
        self.wait_until(lambda: (arrived.total() if kind is None else arrived[kind]) >= n, timeout)
        return self.calls

    def wait_idle(self, timeout: float = 10.0) -> None:
        """Wait until every connection made so far has ended; raises TimeoutError.

        After a client was killed, this is when all that reached the server has been processed. Calls that hang, and
        clients that keep a connection alive, are waited for.
        """
        listener = self.listener
        if not isinstance(listener, _Listener):
            return
        # Connections are accepted in their order: when this one is, all earlier ones have been.
        with socket.socket(listener.address_family) as probe:
            probe.bind((str(listener.server_address[0]), 0))
            own = probe.getsockname()[1]
            listener.accepted.discard(own)
            probe.connect((str(listener.server_address[0]), listener.server_port))
            self.wait_until(lambda: own in listener.accepted, timeout)
        self.wait_until(lambda: not listener.connections, timeout)

    def come_back(self, port: int) -> None:
        """Serve again after `stop`, on this port, as the same API."""
        self.port = port
        self.service.stopping.clear()
        self.start()

    def reset(self) -> None:
        """Forget everything: memory, record, faults, late copies."""
        self.service.reset()

    def release(self) -> None:
        """Let the calls go that hang now: they are processed, if they weren't, and answered."""
        self.service.release()

    def release_late_copies(self) -> list[Reply]:
        """Process the bodies that `late-copy` held back, oldest first; returns what nobody gets to see."""
        return self.service.release_late_copies()

    def complete(self, externalid: str) -> bool:
        """End an open interaction as an agent does; returns whether it was open."""
        return self.service.complete(externalid)
