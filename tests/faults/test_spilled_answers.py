"""More than one answer to a request: what is left over is never taken for the answer to the next request."""

from __future__ import annotations

import json
import re
import socket
import threading

import pytest

from tests.command import Workplace
from tests.faults.harness import SPREAD, TLS, certified, failures, many, opened, point_to
from tests.faults.wire import Script, answer, read_request

COUNT = 30
GOOD = answer(b"[]")
KEPT = GOOD.replace(b"\r\n", b"\r\nConnection: keep-alive\r\n", 1)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n%b\r\n"
SPILLS = {
    "twice": (GOOD + GOOD, b""),
    "twice in parts": (GOOD, GOOD),
    "five times": (GOOD * 5, b""),
    "with the head of another": (GOOD + GOOD[:-2], b"[]"),
    "behind one that asks to be kept": (KEPT + GOOD, GOOD),
    "behind HTTP/1.0 that is kept": (KEPT.replace(b"HTTP/1.1", b"HTTP/1.0") + GOOD, GOOD),
    "behind chunks": (CHUNKED % b"" + CHUNKED % b"", GOOD),
    "behind trailers": (CHUNKED % b"X: y\r\n" + GOOD, GOOD),
    "behind informational ones": (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + GOOD, GOOD),
    "behind a body longer than told": (GOOD + b"  \r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"),
    "behind one without a body": (GOOD, b"HTTP/1.1 204 Nothing\r\n\r\n" + GOOD),
    "garbage": (GOOD + b"\0\xff" * 50, b"\r\n\r\n"),
}
"""What arrives with the first answer, and what arrives after it."""


class Spilling:
    """An API that fails every request but those of the first Invocation, whose answer spills over."""

    def __init__(self, with_it: bytes, after_it: bytes) -> None:
        self._with, self._after = with_it, after_it
        self._lock = threading.Lock()
        self.invocations: list[list[str]] = []
        self.most = 0

    def talk(self, client: socket.socket) -> None:
        """Serve one connection, for as many requests as come."""
        served = 0
        while request := read_request(client):
            served += 1
            requestids = re.findall(r'"requestid":"([^"]+)"', request.decode())
            with self._lock:
                self.invocations.append(requestids)
                self.most = max(self.most, served)
            if len(self.invocations) == 1:
                client.sendall(self._with)
                client.sendall(self._after)
            else:
                client.sendall(answer(json.dumps(requestids).encode()))


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("name", SPILLS)
def test_an_answer_that_comes_twice_is_no_answer_to_the_next(folder: Workplace, name: str, scheme: str) -> None:
    """Each Invocation comes to what its own answer says, whatever arrives behind an earlier one."""
    folder.declare(many(COUNT))
    api = Spilling(*SPILLS[name])
    with Script(api.talk, tls=certified(TLS) if scheme == "https" else None) as server:
        point_to(folder, server.port, scheme)
        folder.env["SSL_CERT_FILE"] = str(TLS / "cert.pem")
        ran = folder.run("apply", "--auto-approve", env=SPREAD)
    assert ran.code == 4, ran.out + ran.err
    assert len(opened(folder)) == len(api.invocations[0])
    assert len(opened(folder)) + len(failures(folder)) == COUNT
    assert api.most == 1


def test_many_calls_at_once_share_no_connection(folder: Workplace) -> None:
    """However many calls are in flight, each connection serves one of them."""
    folder.declare(many(COUNT * 4))
    api = Spilling(GOOD, b"")
    with Script(api.talk) as server:
        point_to(folder, server.port)
        folder.run("apply", "--auto-approve", env={**SPREAD, "RECONCILER_PARALLELISM": "8"})
    assert len(api.invocations) > 8
    assert api.most == 1
