"""What the rows of the fault table share: declarations, a clock that doesn't wait, the checks after a fault."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from tests.api import SandboxServer
from tests.api.record import Call
from tests.command import Ran, Workplace

APPLY = ("apply", "--auto-approve")
NAMES: AbstractSet[str] = frozenset({"A", "B", "C", "once:O"})
FOUR = """\
provider: P
defaults: {route: R}
interactions:
  - externalid: A
  - externalid: B
  - externalid: C
  - {once: O, route: Once}
"""


def many(count: int) -> str:
    """Return a declaration of so many interactions, id-000 and so on."""
    entries = "".join(f"  - {{externalid: id-{number:03}, route: R}}\n" for number in range(count))
    return f"provider: P\ninteractions:\n{entries}"


SPREAD = {"RECONCILER_REQUEST_BYTES": "1000", "RECONCILER_PARALLELISM": "1"}
"""Several Invocations, one after the other."""


TLS = Path(__file__).parent.parent / "sandbox" / "tls"
NAMED = Path(__file__).with_name("tls")
HOST = "api.reconciler.test"
SHORT = "0.3"


def apply(place: Workplace, **env: str) -> Ran:
    """Apply what is declared; `env` are variables without their prefix."""
    return place.run(*APPLY, env={f"RECONCILER_{name.upper()}": value for name, value in env.items()})


def invokes(server: SandboxServer) -> list[Call]:
    """Return the invoke calls so far."""
    return [call for call in server.calls if call.kind == "invoke"]


def tokens(server: SandboxServer) -> list[Call]:
    """Return the token calls so far."""
    return [call for call in server.calls if call.kind == "token"]


def pending(place: Workplace, *, unsent: bool) -> AbstractSet[str]:
    """Return the addresses whose pending request is marked unsent, or is not."""
    links = place.state["pending"].values()
    return {link["address"] for link in links if bool(link.get("unsent")) is unsent}


def failures(place: Workplace) -> dict[str, str]:
    """Return the reasons of the failed requests by address."""
    return {failure["address"]: failure["reason"] for failure in place.state["failed"].values()}


def opened(place: Workplace) -> dict[str, Any]:
    """Return what the state holds as open."""
    return dict(place.state["interactions"])


def check_nothing_doubled(server: SandboxServer) -> None:
    """Check the server's truth: nothing was opened twice, and no interaction without an externalid was sent twice."""
    record = server.emulator.record
    assert server.errors == []
    assert record.doubles == []
    assert record.mixed == []
    assert set(record.once_by_content.values()) <= {1}


def check_recovers(place: Workplace, server: SandboxServer, names: AbstractSet[str] = NAMES) -> None:
    """Check that an apply without faults ends with everything exactly once, and with nothing left to do."""
    server.faults.clear()
    ran = apply(place)
    assert ran.code == 0, ran.out + ran.err
    check_done(place, server, names)


def check_done(place: Workplace, server: SandboxServer, names: AbstractSet[str] = NAMES) -> None:
    """Check that everything is open exactly once, here and there, and that a plan is empty."""
    check_nothing_doubled(server)
    assert set(server.emulator.open) == {name for name in names if not name.startswith("once:")}
    assert server.emulator.record.once_by_content.total() == sum(name.startswith("once:") for name in names)
    state = place.state
    assert (set(state["interactions"]), state["pending"], state["failed"]) == (set(names), {}, {})
    calls = len(server.calls)
    planned = place.run("plan", "--detailed-exitcode", "--format", "json")
    assert (planned.code, planned.json["changes"], len(server.calls)) == (0, [], calls)
    check_requestids(server)


def check_requestids(server: SandboxServer) -> None:
    """Check that a requestid always carried the same request; a burnt one, from then on, only its release."""
    contents: dict[str | None, list[bytes]] = {}
    for call in invokes(server):
        assert len(set(call.requestids)) == len(call.requestids)
        for request in call.requests:
            known = contents.setdefault(request.requestid, [])
            if request.content not in known:
                known.append(request.content)
                assert len(known) == 1 or (len(known) == 2 and request.action == "release")
            assert request.content == known[-1]


def point_to(place: Workplace, port: int, scheme: str = "http", host: str = "127.0.0.1") -> None:
    """Let the folder's environment point to a port, with a token that is not fetched."""
    place.env = {"RECONCILER_BASE_URL": f"{scheme}://{host}:{port}", "RECONCILER_ACCESS_TOKEN": "planted-token"}


def check_unsent(place: Workplace, ran: Ran, said: str) -> None:
    """Check that a run ended with everything certainly unsent, exit 1, and said why."""
    assert ran.code == 1, ran.out + ran.err
    assert said in ran.out
    assert (pending(place, unsent=True), pending(place, unsent=False), failures(place)) == (NAMES, set(), {})


def free_port() -> int:
    """Return a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def unresolved(host: str, *_: object, **__: object) -> None:
    """Stand in for a name server that doesn't know the host."""
    raise socket.gaierror(socket.EAI_NONAME, f"Name or service not known: {host}")


def certified(folder: Path) -> ssl.SSLContext:
    """Return what a server needs to speak TLS with the certificate of a folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context
