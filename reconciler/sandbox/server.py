"""The sandbox server: the emulated API on loopback, in a thread of this process or until it is told to stop."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from threading import Event, Thread
from types import TracebackType
from typing import TYPE_CHECKING, Self

from reconciler.errors import ReconcilerError, UsageError
from reconciler.sandbox.answer import Answer
from reconciler.sandbox.config import TOKEN_PATH, SandboxConfig
from reconciler.sandbox.emulator import Emulator
from reconciler.sandbox.faults import Fault, Faults
from reconciler.sandbox.listener import Listener
from reconciler.sandbox.record import Call, CallKind
from reconciler.sandbox.service import Hook, Service

if TYPE_CHECKING:
    from ssl import SSLContext

_POLL = 0.02


class SandboxServer:
    """The emulated API on a loopback address; a context manager that serves in a daemon thread.

    `faults`: those that wait from the start, as values or texts of the fault language. `port` 0 takes a free one.
    `tls`: serve https with this context. `clock`: seconds since the epoch. `on_call` runs before each call is
    processed, `on_processed` after, before its answer is sent; both may be set later.
    Raises UsageError for a host that is not loopback or a wrong fault, ReconcilerError if the address or the memory is
    in use or the memory can't be read.
    """

    def __init__(  # noqa: PLR0913 - each is independent, and named by its callers
        self,
        config: SandboxConfig | None = None,
        faults: Iterable[Fault | str] = (),
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls: SSLContext | None = None,
        clock: Callable[[], float] = time.time,
        on_call: Hook | None = None,
        on_processed: Hook | None = None,
    ) -> None:
        self.faults = Faults()
        self.faults.add(*faults)
        self._service = Service(config or SandboxConfig(), self.faults, clock)
        self._service.on_call, self._service.on_processed = on_call, on_processed
        self._address = (_loopback(host), port)
        self._tls = tls
        self._listener: Listener | None = None
        self._thread: Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Load the memory, bind, and serve; it accepts connections when this returns."""
        self._service.open()
        try:
            self._listener = Listener(self._address, self._service, self._tls)
        except OSError as error:
            self._service.close()
            host, port = self._address
            raise ReconcilerError(f"the sandbox can't listen on {host}:{port}: {error.strerror}") from error
        self._thread = Thread(target=self._listener.serve_forever, args=(_POLL,), name="sandbox", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop accepting, end what waits, and save the memory; a second call does nothing."""
        if self._listener is None or self._thread is None:
            return
        listener, thread = self._listener, self._thread
        self._listener = self._thread = None
        self._service.stopping.set()
        listener.shutdown()
        thread.join()
        listener.server_close()
        with self._service.changed:
            self._service.changed.notify_all()
        listener.hang_up()
        self._service.close()

    @property
    def base_url(self) -> str:
        """`http://127.0.0.1:PORT` (https with TLS); raises RuntimeError when it is not running."""
        if self._listener is None:
            raise RuntimeError("the sandbox is not running")
        host, port = self._address[0], self._listener.server_port
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self._tls else 'http'}://{shown}:{port}"

    @property
    def token_url(self) -> str:
        """The address of the token call."""
        return self.base_url + TOKEN_PATH

    @property
    def emulator(self) -> Emulator:
        """The emulator: what is open, and the record. Look at it when no call is being served (`wait_idle`)."""
        return self._service.emulator

    @property
    def calls(self) -> list[Call]:
        """The calls to the API so far, in order of arrival."""
        with self._service.changed:
            return list(self.emulator.record.calls)

    @property
    def errors(self) -> list[Exception]:
        """What went wrong in the sandbox itself; such a call was answered with 500."""
        return self._service.errors

    @property
    def hanging(self) -> int:
        """How many calls hang now; `wait_until(lambda: server.hanging == 1)` is when one can be released."""
        return self._service.hanging

    @property
    def on_call(self) -> Hook | None:
        """Runs before each call is processed, in the call's thread."""
        return self._service.on_call

    @on_call.setter
    def on_call(self, hook: Hook | None) -> None:
        self._service.on_call = hook

    @property
    def on_processed(self) -> Hook | None:
        """Runs after each call is processed (or was not, by its fault), before its answer is sent."""
        return self._service.on_processed

    @on_processed.setter
    def on_processed(self, hook: Hook | None) -> None:
        self._service.on_processed = hook

    def wait_until(self, condition: Callable[[], bool], timeout: float = 10.0) -> None:
        """Wait until the condition holds; it is looked at after every step of a call. Raises TimeoutError."""
        self._service.wait_until(condition, timeout)

    def wait_for_calls(self, n: int, timeout: float = 10.0, kind: CallKind | None = None) -> list[Call]:
        """Wait until `n` calls (of the kind) have arrived since the start or the last reset and return all calls."""
        arrived = self.emulator.record.arrived
        self.wait_until(lambda: (arrived.total() if kind is None else arrived[kind]) >= n, timeout)
        return self.calls

    def wait_idle(self, timeout: float = 10.0) -> None:
        """Wait until every connection made so far has ended; raises TimeoutError.

        After a client was killed, this is when all that reached the server has been processed. Calls that hang, and
        clients that keep a connection alive, are waited for.
        """
        listener = self._listener
        if listener is None:
            return
        # Connections are accepted in their order: when this one is, all earlier ones have been.
        with socket.socket(listener.address_family) as probe:
            probe.bind((self._address[0], 0))
            own = probe.getsockname()[1]
            listener.accepted.discard(own)
            probe.connect((self._address[0], listener.server_port))
            self.wait_until(lambda: own in listener.accepted, timeout)
        self.wait_until(lambda: not listener.connections, timeout)

    def release(self) -> None:
        """Let the calls go that hang now: they are processed, if they weren't, and answered."""
        self._service.release()

    def release_late_copies(self) -> list[Answer]:
        """Process the bodies that `late-copy` held back, oldest first; returns what nobody gets to see."""
        return self._service.release_late_copies()

    def complete(self, externalid: str) -> bool:
        """End an open interaction as an agent does; returns whether it was open."""
        return self._service.complete(externalid)

    def expire_tokens(self) -> None:
        """Make every token issued so far invalid."""
        with self._service.changed:
            self.emulator.expire_tokens()

    def reset(self) -> None:
        """Forget everything: memory, record, faults, late copies."""
        self._service.reset()


def serve(  # noqa: PLR0913 - the options of `reconciler sandbox`
    host: str,
    port: int,
    config: SandboxConfig | None = None,
    faults: Iterable[Fault | str] = (),
    *,
    stop: Event,
    ready: Callable[[SandboxServer], None] = lambda _server: None,
    tls: SSLContext | None = None,
) -> None:
    """Serve until `stop` is set; `ready` is called once connections are accepted. Raises as SandboxServer does."""
    with SandboxServer(config, faults, host=host, port=port, tls=tls) as server:
        ready(server)
        stop.wait()


def _loopback(host: str) -> str:
    if host == "localhost":
        return "127.0.0.1"
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise UsageError(f"the sandbox listens on this machine only: {host!r} is not a loopback address")
    return host
