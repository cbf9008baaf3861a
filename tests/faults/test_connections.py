"""The fault table's lines about connections: refused, unresolved, untrusted, too slow at any stage."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from unittest import mock

import pytest

from tests.api import SandboxServer
from tests.clock import QuickClock
from tests.command import Ran, Workplace
from tests.conftest import connection
from tests.faults.harness import (
    HOST,
    NAMED,
    NAMES,
    SHORT,
    TLS,
    apply,
    certified,
    check_recovers,
    check_unsent,
    failures,
    free_port,
    pending,
    point_to,
    unresolved,
)
from tests.faults.wire import Script, read_request


def check_unknown(place: Workplace, ran: Ran) -> None:
    """Check that a run ended with everything unknown, exit 7."""
    assert ran.code == 7, ran.out + ran.err
    assert (pending(place, unsent=False), pending(place, unsent=True), failures(place)) == (NAMES, set(), {})


def check_recovers_on(place: Workplace, port: int, tls: ssl.SSLContext | None = None) -> None:
    """Check that a server which then stands there gets everything exactly once."""
    with SandboxServer(port=port, tls=tls) as server:
        place.env = {**connection(server), "SSL_CERT_FILE": str(TLS / "cert.pem")}
        check_recovers(place, server)


# -- no connection -----------------------------------------------------------------------------------------------------


def test_a_refused_connection(folder: Workplace, clock: QuickClock) -> None:
    """Where nobody listens nothing was processed: five tries, unsent, exit 1."""
    port = free_port()
    point_to(folder, port)
    check_unsent(folder, apply(folder), f"Problem: 127.0.0.1:{port} could not be reached: ")
    assert len(clock.waits) == 4
    check_recovers_on(folder, port)


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """Give a port that takes no more connections: its queue is full, and nobody accepts."""
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for _ in range(64):
            one = waiting.enter_context(socket.socket())
            one.settimeout(0.2)
            try:
                one.connect(address)
            except TimeoutError:
                yield address[1]
                return
        pytest.skip("this system queues connections beyond the backlog")


def test_a_connection_that_is_not_taken_in_time(folder: Workplace) -> None:
    """A connect that times out was not processed: unsent, exit 1."""
    with full_backlog() as port:
        point_to(folder, port)
        check_unsent(folder, apply(folder, timeout=SHORT), "could not be reached: ")
    check_recovers_on(folder, port)


def test_a_name_that_is_not_known(folder: Workplace) -> None:
    """A DNS failure was not processed: unsent, exit 1."""
    point_to(folder, 443, "https", HOST)
    with mock.patch("socket.getaddrinfo", unresolved):
        check_unsent(
            folder, apply(folder), f"Problem: {HOST}:443 could not be reached: [Errno -2] Name or service not known"
        )


# -- too slow ----------------------------------------------------------------------------------------------------------


def trickle(head: bytes, part: bytes, tls: ssl.SSLContext | None = None) -> Script:
    """Return a server that answers each request with the head and then a part at a time, for ever."""

    def talk(client: socket.socket) -> None:
        read_request(client)
        client.sendall(head)
        while True:
            client.sendall(part)
            time.sleep(0.03)  # the slowness is the point; the client ends it

    return Script(talk, tls=tls)


@pytest.mark.parametrize(
    ("scheme", "head", "part"),
    [
        pytest.param("http", b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="informational"),
        pytest.param("http", b"HTTP/1.1 200 ", b"O", id="status line"),
        pytest.param("http", b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", id="headers"),
        pytest.param("https", b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", id="headers over TLS"),
        pytest.param("http", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n[", b" ", id="body"),
        pytest.param("https", b"HTTP/1.1 200 OK\r\n\r\n[]", b" ", id="body without a length over TLS"),
        pytest.param("http", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", id="chunks"),
    ],
)
def test_an_answer_that_trickles_is_cut(folder: Workplace, scheme: str, head: bytes, part: bytes) -> None:
    """The timeout bounds a call as a whole, at whatever stage bytes keep coming; the outcome is unknown."""
    tls = certified(TLS) if scheme == "https" else None
    with trickle(head, part, tls) as server:
        point_to(folder, server.port, scheme)
        folder.env["SSL_CERT_FILE"] = str(TLS / "cert.pem")
        began = time.monotonic()
        check_unknown(folder, apply(folder, timeout="0.1"))  # one of five tries that it cuts in the answer is enough
        assert time.monotonic() - began < 10
    check_recovers_on(folder, server.port, tls)


def test_a_server_that_does_not_read_is_cut(folder: Workplace) -> None:
    """A body that can't be written in time is unknown: part of it is there."""
    value = "x" * 6_000_000
    folder.declare(f"interactions: [{{externalid: A, route: R, linkeddata: [{{type: clid, value: {value}}}]}}]")

    end = threading.Event()

    def never_read(client: socket.socket) -> None:
        while not end.wait(0.05):
            client.recv(1)  # a byte now and then

    with Script(never_read) as server:
        point_to(folder, server.port)
        ran = apply(folder, timeout=SHORT, request_bytes="9000000")
        end.set()
    assert (ran.code, pending(folder, unsent=False)) == (7, {"A"})


# -- TLS ---------------------------------------------------------------------------------------------------------------


def test_a_certificate_must_be_trusted(folder: Workplace) -> None:
    """A certificate that nobody vouches for is refused, unsent, exit 1; SSL_CERT_FILE makes it trusted."""
    with SandboxServer(tls=certified(TLS)) as server:
        folder.env = connection(server)
        check_unsent(folder, apply(folder), "CERTIFICATE_VERIFY_FAILED")
        assert server.calls == []
        folder.env["SSL_CERT_FILE"] = str(TLS / "cert.pem")
        check_recovers(folder, server)


def test_a_certificate_must_be_of_this_host(folder: Workplace) -> None:
    """A trusted certificate of another host is refused, unsent, exit 1."""
    with SandboxServer(tls=certified(NAMED)) as server:
        folder.env = connection(server)
        folder.env["SSL_CERT_FILE"] = str(NAMED / "cert.pem")
        check_unsent(folder, apply(folder), "not valid for '127.0.0.1'")
        assert server.calls == []


def test_https_to_a_server_that_speaks_http(folder: Workplace, server: SandboxServer) -> None:
    """A handshake that comes to nothing is unsent, exit 1."""
    point_to(folder, int(server.base_url.rpartition(":")[2]), "https")
    check_unsent(folder, apply(folder), "could not be reached: ")
    assert server.calls == []


def test_a_handshake_that_is_cut(folder: Workplace) -> None:
    """A server that closes or hangs in the handshake has processed nothing: unsent, exit 1."""
    for talk in (lambda client: client.recv(1), lambda client: [None for _ in iter(lambda: client.recv(4096), b"")]):
        with Script(talk) as server:  # type: ignore[arg-type]
            point_to(folder, server.port, "https")
            folder.state_path.unlink()
            check_unsent(
                folder,
                folder.run(*("apply", "--auto-approve", "--new-state"), env={"RECONCILER_TIMEOUT": SHORT}),
                "reached",
            )


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_can_not_be_read(folder: Workplace, content: str | None) -> None:
    """A missing or broken SSL_CERT_FILE is said at once, and nothing becomes pending."""
    point_to(folder, 443, "https", HOST)
    file = folder.folder / "certificates.pem"
    if content is not None:
        file.write_text(content)
    folder.env["SSL_CERT_FILE"] = str(file)
    ran = apply(folder)
    assert (ran.code, folder.state["pending"]) == (1, {})
    assert "Error: the certificates to trust can't be read: " in ran.err
    assert "Traceback" not in ran.err
