"""The fault table's lines about connections: refused, unresolved, untrusted, too slow at any stage, proxied, stale."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from tests.api import SandboxServer
from tests.command import Ran, Workplace
from tests.conftest import connection
from tests.faults.harness import (
    FOUR,
    NAMES,
    SPREAD,
    QuickClock,
    apply,
    check_done,
    check_recovers,
    failures,
    invokes,
    many,
    pending,
)
from tests.faults.wire import Script, answer, read_request, tunnel

TLS = Path(__file__).parent.parent / "sandbox" / "tls"
NAMED = Path(__file__).with_name("tls")
HOST = "api.reconciler.test"
SHORT = "0.3"


@pytest.fixture
def folder(tmp_path: Path) -> Workplace:
    """Return an initialised folder that points nowhere yet."""
    place = Workplace(tmp_path)
    assert place.run("init").code == 0
    (tmp_path / "interactions" / "example.yaml").unlink()
    place.declare(FOUR)
    return place


def point_to(place: Workplace, port: int, scheme: str = "http", host: str = "127.0.0.1") -> None:
    """Let the folder's environment point to a port, with a token that is not fetched."""
    place.env = {"RECONCILER_BASE_URL": f"{scheme}://{host}:{port}", "RECONCILER_ACCESS_TOKEN": "planted-token"}


def check_unsent(place: Workplace, ran: Ran, said: str) -> None:
    """Check that a run ended with everything certainly unsent, exit 1, and said why."""
    assert ran.code == 1, ran.out + ran.err
    assert said in ran.out
    assert (pending(place, unsent=True), pending(place, unsent=False), failures(place)) == (NAMES, set(), {})


def check_unknown(place: Workplace, ran: Ran) -> None:
    """Check that a run ended with everything unknown, exit 7."""
    assert ran.code == 7, ran.out + ran.err
    assert (pending(place, unsent=False), pending(place, unsent=True), failures(place)) == (NAMES, set(), {})


def check_recovers_on(place: Workplace, port: int) -> None:
    """Check that a server which then stands there gets everything exactly once."""
    with SandboxServer(port=port) as server:
        place.env = connection(server)
        check_recovers(place, server)


# -- no connection -----------------------------------------------------------------------------------------------------


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_a_refused_connection(folder: Workplace, clock: QuickClock) -> None:
    """Where nobody listens nothing was processed: five tries, unsent, exit 1."""
    port = free_port()
    point_to(folder, port)
    check_unsent(folder, apply(folder), "the API could not be reached")
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
        check_unsent(folder, apply(folder, timeout=SHORT), "the API could not be reached")
    check_recovers_on(folder, port)


def unresolved(host: str, *_: object, **__: object) -> None:
    """Stand in for a name server that doesn't know the host."""
    raise socket.gaierror(socket.EAI_NONAME, f"Name or service not known: {host}")


def test_a_name_that_is_not_known(folder: Workplace) -> None:
    """A DNS failure was not processed: unsent, exit 1."""
    point_to(folder, 443, "https", HOST)
    with mock.patch("socket.getaddrinfo", unresolved):
        check_unsent(folder, apply(folder), "Name or service not known")


# -- too slow ----------------------------------------------------------------------------------------------------------


def trickle(head: bytes, part: bytes) -> Script:
    """Return a server that answers each request with the head and then a part at a time, for ever."""

    def talk(client: socket.socket) -> None:
        read_request(client)
        client.sendall(head)
        while True:
            client.sendall(part)
            time.sleep(0.03)  # the slowness is the point; the client ends it

    return Script(talk)


@pytest.mark.parametrize(
    ("head", "part"),
    [
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="informational"),
        pytest.param(b"HTTP/1.1 200 ", b"O", id="status line"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", id="headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n[", b" ", id="body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", id="chunks"),
        pytest.param(b"HTTP/1.1 503 Busy\r\nContent-Length: 100000\r\n\r\n[", b" ", id="error"),
    ],
)
def test_an_answer_that_trickles_is_cut(folder: Workplace, head: bytes, part: bytes) -> None:
    """The timeout bounds a call as a whole, at whatever stage bytes keep coming; the outcome is unknown."""
    with trickle(head, part) as server:
        point_to(folder, server.port)
        began = time.monotonic()
        check_unknown(folder, apply(folder, timeout=SHORT))
        assert time.monotonic() - began < 10
    check_recovers_on(folder, server.port)


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


def tls_server(folder: Path) -> SandboxServer:
    """Return a sandbox that serves https with the certificate of a folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return SandboxServer(tls=context)


def test_a_certificate_must_be_trusted(folder: Workplace) -> None:
    """A certificate that nobody vouches for is refused, unsent, exit 1; SSL_CERT_FILE makes it trusted."""
    with tls_server(TLS) as server:
        folder.env = connection(server)
        check_unsent(folder, apply(folder), "CERTIFICATE_VERIFY_FAILED")
        assert server.calls == []
        folder.env["SSL_CERT_FILE"] = str(TLS / "cert.pem")
        check_recovers(folder, server)


def test_a_certificate_must_be_of_this_host(folder: Workplace) -> None:
    """A trusted certificate of another host is refused, unsent, exit 1."""
    with tls_server(NAMED) as server:
        folder.env = connection(server)
        folder.env["SSL_CERT_FILE"] = str(NAMED / "cert.pem")
        check_unsent(folder, apply(folder), "not valid for '127.0.0.1'")
        assert server.calls == []


def test_https_to_a_server_that_speaks_http(folder: Workplace, server: SandboxServer) -> None:
    """A handshake that comes to nothing is unsent, exit 1."""
    point_to(folder, int(server.base_url.rpartition(":")[2]), "https")
    check_unsent(folder, apply(folder), "the API could not be reached")
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


# -- proxies -----------------------------------------------------------------------------------------------------------


class Proxy:
    """An HTTP proxy that notes what it is asked for; `refuse` is the answer to a CONNECT in place of a tunnel."""

    def __init__(self, port: int, refuse: bytes = b"") -> None:
        self.asked: list[bytes] = []
        self._port = port
        self._refuse = refuse

    def talk(self, client: socket.socket) -> None:
        """Serve one connection."""
        request = read_request(client)
        self.asked.append(request)
        if self._refuse:
            client.sendall(self._refuse)
        elif request:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            tunnel(client, self._port)


def proxied(place: Workplace, port: int) -> None:
    """Let the folder point to a host that is reached through a proxy only."""
    base = f"https://{HOST}"
    place.env = {
        "RECONCILER_BASE_URL": base,
        "RECONCILER_TOKEN_URL": f"{base}/Auth/connect/token",
        "RECONCILER_CLIENT_ID": "tester",
        "RECONCILER_CLIENT_SECRET": "planted-secret",
        "HTTPS_PROXY": f"http://planted-user:planted-password@127.0.0.1:{port}",
        "SSL_CERT_FILE": str(NAMED / "cert.pem"),
    }


def test_a_proxy_is_used(folder: Workplace) -> None:
    """HTTPS_PROXY is asked for a tunnel, TLS is end to end, and the proxy sees no credentials of ours."""
    with tls_server(NAMED) as server:
        proxy = Proxy(int(server.base_url.rpartition(":")[2]))
        with Script(proxy.talk) as listening:
            proxied(folder, listening.port)
            assert apply(folder).code == 0
            check_done(folder, server)
    assert all(request.startswith(b"CONNECT api.reconciler.test:443 ") for request in proxy.asked)
    assert b"planted-secret" not in b"".join(proxy.asked)


@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required", "502 Bad Gateway"])
def test_a_proxy_that_refuses(folder: Workplace, status: str) -> None:
    """A proxy that digs no tunnel has passed nothing on: unsent, exit 1 with what it said."""
    proxy = Proxy(0, answer(b"", status))
    with Script(proxy.talk) as listening:
        proxied(folder, listening.port)
        ran = apply(folder)
    check_unsent(folder, ran, status)
    assert "planted-password" not in ran.out + ran.err


def test_a_proxy_that_is_not_there(folder: Workplace) -> None:
    """A proxy that can't be reached is as a server that can't be: unsent, exit 1."""
    proxied(folder, free_port())
    check_unsent(folder, apply(folder), "no token could be fetched")


def test_no_proxy_is_honoured(folder: Workplace) -> None:
    """A host in NO_PROXY is reached directly."""
    proxy = Proxy(0)
    with Script(proxy.talk) as listening, mock.patch("socket.getaddrinfo", unresolved):
        proxied(folder, listening.port)
        folder.env |= {"NO_PROXY": HOST, "RECONCILER_TIMEOUT": SHORT}
        ran = apply(folder)
    assert (ran.code, proxy.asked) == (1, [])


def test_this_machine_is_never_reached_through_a_proxy(place: Workplace, server: SandboxServer) -> None:
    """Calls to loopback, the sandbox's included, go there directly: a proxy would see the credentials in clear text."""
    place.declare(FOUR)
    proxy = Proxy(0, answer(b"", "502 Bad Gateway"))
    with Script(proxy.talk) as listening:
        place.env |= dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), f"http://127.0.0.1:{listening.port}")
        assert apply(place).code == 0
        assert place.run("apply", "--auto-approve", "--sandbox").code == 0
    assert proxy.asked == []
    check_done(place, server)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("socks5://127.0.0.1:1080", "Error: a SOCKS proxy needs one more package"),
        ("ftp://user:planted-password@127.0.0.1", "Error: the address of a proxy can't be understood"),
        ("http://user:planted/password@[", "Error: the address of a proxy can't be understood"),
    ],
)
def test_a_proxy_that_can_not_be_used(folder: Workplace, address: str, said: str) -> None:
    """A wrong proxy variable is said at once, without its password, and nothing becomes pending."""
    point_to(folder, 443, "https", HOST)
    folder.env["HTTPS_PROXY"] = address
    ran = apply(folder)
    assert (ran.code, folder.state["pending"]) == (1, {})
    assert said in ran.err
    assert "planted" not in ran.out + ran.err
    assert "Traceback" not in ran.err


# -- kept connections --------------------------------------------------------------------------------------------------


def test_a_kept_connection_that_was_closed_is_not_used(folder: Workplace) -> None:
    """A connection that the server closed while it was idle is replaced, and no outcome becomes unknown."""
    folder.declare(many(30))

    def once(client: socket.socket) -> None:
        if read_request(client):
            client.sendall(answer(b"[]"))

    with Script(once) as server:
        point_to(folder, server.port)
        ran = folder.run("apply", "--auto-approve", env={**SPREAD, "RECONCILER_TIMEOUT": "5"})
    assert ran.code == 0, ran.out
    assert len(folder.state["interactions"]) == 30


def test_a_kept_connection_that_is_closed_under_the_request(place: Workplace, server: SandboxServer) -> None:
    """A request that meets the closing of a kept connection is unknown, and goes out again as it was."""
    place.declare(many(30))
    server.faults.add("drop=before how=close nth=2; drop=after nth=4")
    assert place.run("apply", "--auto-approve", env=SPREAD).code == 0
    resent = [call.body for call in invokes(server) if call.status is None]
    assert len(resent) == 2
    check_done(place, server, frozenset(f"id-{number:03}" for number in range(30)))
