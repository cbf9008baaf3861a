"""The sandbox server over real HTTP."""

from __future__ import annotations

import socket
import sqlite3
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from reconciler.errors import ReconcilerError, UsageError
from reconciler.sandbox.call import INVOKE_PATH
from reconciler.sandbox.emulator import ACCEPT
from tests.api import SandboxConfig, SandboxServer
from tests.api.effects import FOREIGN_ID
from tests.api.record import Call, Handling

TLS = Path(__file__).with_name("tls")
HEADERS = {"Accept": ACCEPT, "Authorization": "Bearer given"}
FORM = {"grant_type": "client_credentials", "client_id": "id", "client_secret": "hush", "scope": "interactions:write"}
CONFIG = SandboxConfig(access_token="given")
DISPATCH = {"requests": [{"requestid": "1", "externalid": "A", "route": "R"}]}


@contextmanager
def running(
    *faults: str, config: SandboxConfig = CONFIG, **options: Any
) -> Iterator[tuple[SandboxServer, httpx.Client]]:
    """Run a server with these faults and a client for it."""
    with (
        SandboxServer(config, faults, **options) as server,
        httpx.Client(base_url=server.base_url, headers=HEADERS, timeout=10, trust_env=False) as client,
    ):
        yield server, client
        assert server.errors == []


def invoke(client: httpx.Client, body: Any = DISPATCH, **options: Any) -> httpx.Response:
    """Send an Invocation."""
    return client.post(INVOKE_PATH, json=body, **options)


def in_background(call: Callable[[], object]) -> tuple[Thread, list[object]]:
    """Run a call in a thread; its result, or the error of httpx, is put in the list."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(call())
        except httpx.HTTPError as error:
            results.append(error)

    thread = Thread(target=run)
    thread.start()
    return thread, results


def outcomes(server: SandboxServer) -> list[Handling]:
    """Return what came of each request so far."""
    return [entry.outcome for entry in server.emulator.record.processed]


def test_token_then_invoke_on_one_connection() -> None:
    """A client gets a token, dispatches and releases, all on one kept connection."""
    with running(config=SandboxConfig()) as (server, client):
        token = client.post(server.token_url, data=FORM).json()
        assert token["token_type"] == "Bearer"
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        assert invoke(client, headers=headers).json() == []
        assert server.emulator.open["A"].requestid == "1"
        body = {"requests": [{"action": "release", "requestid": "2", "externalid": "A"}]}
        assert invoke(client, body, headers=headers).json() == []
        assert server.emulator.open == {}
        assert [call.kind for call in server.calls] == ["token", "invoke", "invoke"]
        assert [call.status for call in server.calls] == [200, 200, 200]
        assert server.connected == 1


def test_wrong_token_and_wrong_path() -> None:
    """A token that was not issued gets 401 with a message, an unknown path 404."""
    with running(config=SandboxConfig()) as (_, client):
        refused = invoke(client)
        assert (refused.status_code, refused.json()) == (401, {"message": "Unauthorized"})
        assert client.get("/elsewhere").status_code == 404
        assert client.put(INVOKE_PATH).headers["Allow"] == "POST"


def test_body_without_length_is_refused() -> None:
    """A chunked body is refused with 411, and the connection closed."""
    with running() as (server, client):
        assert client.post(INVOKE_PATH, content=iter([b"{}"])).status_code == 411
        assert server.calls == []


def test_half_a_request_is_no_call() -> None:
    """A client that dies in the middle of its body has made no call."""
    with running() as (server, _):
        address = urlsplit(server.base_url)
        with socket.create_connection((str(address.hostname), address.port or 0)) as connection:
            connection.sendall(b"POST /interactions/invoke HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        server.wait_idle()
        assert server.calls == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("how", "error"), [("reset", httpx.ReadError), ("close", httpx.RemoteProtocolError)])
def test_drop(when: str, how: str, error: type[Exception]) -> None:
    """A dropped connection is reset, or closed, and the body was processed only if it says `after`."""
    with running(f"drop={when} how={how}") as (server, client):
        with pytest.raises(error):
            invoke(client)
        assert ("A" in server.emulator.open) is (when == "after")
        assert server.calls[0].status is None
        assert invoke(client).json() == []
        assert server.emulator.doubles == []


def test_status_before_and_after() -> None:
    """A status is answered with its message and `Retry-After`, before or after processing."""
    with running("status=503 retry-after=7 message='come back'; status-after=500") as (server, client):
        early = invoke(client)
        assert (early.status_code, early.json(), early.headers["Retry-After"]) == (503, {"message": "come back"}, "7")
        assert server.emulator.open == {}
        assert invoke(client).status_code == 500
        assert "A" in server.emulator.open
        assert [call.fault for call in server.calls] == [
            "status=503 retry-after=7 message='come back'",
            "status-after=500",
        ]


def test_retry_after_date() -> None:
    """`retry-after=date+S` is an HTTP date by the server's clock."""
    with running("status=429 retry-after=date+60", clock=lambda: 1000.0) as (_, client):
        assert parsedate_to_datetime(invoke(client).headers["Retry-After"]).timestamp() == 1060


def test_fail_lists_the_request() -> None:
    """A failed request is listed, not carried out; its neighbours are."""
    body = {"requests": [*DISPATCH["requests"], {"requestid": "2", "externalid": "B", "route": "R"}]}
    with running("fail externalid=A; fail route=SMS") as (server, client):
        assert invoke(client, body).json() == ["1"]
        assert list(server.emulator.open) == ["B"]
        assert invoke(client, {"requests": [{"requestid": "3", "route": "SMS"}]}).json() == ["3"]
        assert server.emulator.record.once_by_requestid == {}


@pytest.mark.parametrize(
    ("fault", "status", "content"),
    [
        ("garbage", 200, b"<html>oops</html>"),
        ("not-array", 200, b'{"x":1}'),
        ("foreign-id", 200, orjson.dumps([FOREIGN_ID])),
        ("duplicate-id", 200, b'["1","1"]'),
        ("no-content", 204, b""),
        ("status-after=204", 204, b""),
        ("redirect=https://elsewhere.invalid/", 302, b""),
    ],
)
def test_spoilt_answers(fault: str, status: int, content: bytes) -> None:
    """An answer that can't be trusted comes as it is named; the connection stays usable."""
    with running(fault) as (server, client):
        answer = invoke(client)
        assert (answer.status_code, answer.content) == (status, content)
        assert ("A" in server.emulator.open) is (status != 302)
        assert invoke(client).json() == []


def test_spoilt_without_processing() -> None:
    """With `processed=no` the spoilt answer hides that nothing was done."""
    with running("garbage processed=no") as (server, client):
        assert invoke(client).status_code == 200
        assert server.emulator.open == {}
        assert server.calls[0].processed is False


def test_truncated() -> None:
    """A truncated answer promises more than it sends, and closes."""
    with running("truncated") as (server, client):
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            invoke(client)
        assert "A" in server.emulator.open


def test_late_answer_meets_a_timeout() -> None:
    """A late answer is processed at once; the client's read timeout strikes first."""
    with running("late=30") as (server, client):
        with pytest.raises(httpx.ReadTimeout):
            invoke(client, timeout=0.1)
        assert "A" in server.emulator.open


def test_late_processing() -> None:
    """With `processed=no` a late call is processed at the end of its delay, though the client has gone."""
    with running("late=0.3 processed=no") as (server, client):
        with pytest.raises(httpx.ReadTimeout):
            invoke(client, timeout=0.05)
        assert server.emulator.open == {}
        server.wait_until(lambda: "A" in server.emulator.open)


def test_hang_until_released() -> None:
    """A call that hangs is processed and answered when it is released."""
    with running("hang") as (server, client):
        thread, results = in_background(lambda: invoke(client).json())
        server.wait_until(lambda: server.hanging == 1)
        assert server.emulator.open == {}
        server.release()
        thread.join()
        assert results == [[]]
        assert "A" in server.emulator.open


def test_hang_ends_with_the_server() -> None:
    """A server that stops resets the calls that hang, unprocessed or, with `processed=yes`, processed."""
    with running("hang; hang processed=yes") as (server, client):
        first, results = in_background(lambda: invoke(client))
        server.wait_until(lambda: server.hanging == 1)
        body = {"requests": [{"requestid": "2", "externalid": "B", "route": "R"}]}
        second, more = in_background(lambda: invoke(client, body))
        server.wait_until(lambda: "B" in server.emulator.open)
        server.stop()
        first.join()
        second.join()
        assert [type(result) for result in results + more] == [httpx.ReadError] * 2
        assert list(server.emulator.open) == ["B"]


def test_late_copy_arrives_after_newer_calls() -> None:
    """A late copy is dropped now and processed when released; its requestid decides whether it does anything."""
    body = {"requests": [{"requestid": "2", "externalid": "B", "route": "R"}]}
    with running("late-copy times=2") as (server, client):
        for late in (DISPATCH, body):
            with pytest.raises(httpx.ReadError):
                invoke(client, late)
        assert server.emulator.open == {}
        assert invoke(client).json() == []
        assert [answer.body for answer in server.release_late_copies()] == [b"[]", b"[]"]
        assert outcomes(server) == [Handling.DISPATCHED, Handling.IGNORED, Handling.DISPATCHED]
        assert server.release_late_copies() == []


def test_expired_token() -> None:
    """`expire-token` makes the tokens issued so far invalid, in the middle of a run."""
    with running("expire-token nth=2", config=SandboxConfig()) as (server, client):

        def bearer() -> dict[str, str]:
            return {"Authorization": f"Bearer {client.post(server.token_url, data=FORM).json()['access_token']}"}

        headers = bearer()
        statuses = [invoke(client, headers=headers).status_code for _ in range(3)]
        assert statuses == [200, 401, 401]
        assert invoke(client, headers=bearer()).status_code == 200


def test_slow_body() -> None:
    """A slow body comes a byte at a time, so that no read times out while the whole takes long."""
    with running("slow-body=0.6") as (_, client):
        began = time.monotonic()
        assert invoke(client, timeout=0.4).json() == []
        assert time.monotonic() - began >= 0.55


def test_token_faults() -> None:
    """Faults with `path=token` meet the token call alone."""
    with running("status=500 path=token; garbage path=token") as (server, client):
        assert invoke(client).status_code == 200
        assert client.post(server.token_url, data=FORM).status_code == 500
        assert client.post(server.token_url, data=FORM).content == b"<html>oops</html>"
        assert "access_token" in client.post(server.token_url, data=FORM).json()


def test_faults_can_be_added_while_it_runs() -> None:
    """Faults are added and cleared on the running server; a wrong one is refused at once."""
    with running() as (server, client):
        server.faults.add("status=500 times=always")
        assert invoke(client).status_code == 500
        server.faults.clear()
        assert invoke(client).status_code == 200
    with pytest.raises(UsageError, match="did you mean 'hang'"):
        SandboxServer(faults=["hnag"])


def test_hooks_run_before_and_after_processing() -> None:
    """`on_call` sees the call before it is processed, `on_processed` after, before the answer."""
    seen: list[tuple[str, bool, int | None]] = []
    with running() as (server, client):
        server.on_call = lambda call: seen.append(("before", "A" in server.emulator.open, call.status))
        server.on_processed = lambda call: seen.append(("after", "A" in server.emulator.open, call.status))
        invoke(client)
    assert seen == [("before", False, None), ("after", True, None)]


def test_a_failing_hook_is_no_silence() -> None:
    """An error of the sandbox itself is answered with 500 and kept."""

    def broken(_call: Call) -> None:
        raise RuntimeError("oh")

    with SandboxServer(CONFIG, on_call=broken) as server:
        answer = httpx.post(server.base_url + INVOKE_PATH, headers=HEADERS, json=DISPATCH)
        assert answer.status_code == 500
        assert "RuntimeError: oh" in answer.json()["message"]
        assert [str(error) for error in server.errors] == ["oh"]


def test_waiting_for_calls() -> None:
    """Waiting for calls returns them once they have arrived, and gives up after its timeout."""
    with running("hang") as (server, client):
        with pytest.raises(TimeoutError):
            server.wait_for_calls(1, timeout=0.01)
        thread, _ = in_background(lambda: invoke(client))
        assert server.wait_for_calls(1, kind="invoke")[0].requestids == ("1",)
        server.stop()
        thread.join()


def test_wait_idle_sees_what_a_dead_client_sent() -> None:
    """After a client has gone, `wait_idle` returns when all that reached the server has been processed."""
    body = orjson.dumps(DISPATCH)
    head = f"POST {INVOKE_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    fields = {**HEADERS, "Content-Type": "application/json"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    with running(config=SandboxConfig(access_token="given", latency=0.1)) as (server, _):
        address = urlsplit(server.base_url)
        with socket.create_connection((str(address.hostname), address.port or 0)) as connection:
            connection.sendall(f"{head}{lines}\r\n".encode() + body)
        server.wait_idle()
        assert "A" in server.emulator.open


def test_latency() -> None:
    """Each call waits for the configured latency."""
    with running(config=SandboxConfig(access_token="given", latency=0.2)) as (_, client):
        began = time.monotonic()
        invoke(client)
        assert time.monotonic() - began >= 0.2


def test_parallel_calls() -> None:
    """Calls are served side by side: one that hangs does not hold up another."""
    with running("hang") as (server, client):
        thread, _ = in_background(lambda: invoke(client))
        server.wait_until(lambda: server.hanging == 1)
        assert invoke(client).status_code == 200
        server.stop()
        thread.join()


def test_tls() -> None:
    """With a context it serves https; a client that doesn't trust the certificate is refused, and hurts nobody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
    with SandboxServer(CONFIG, ["drop=after"], tls=context) as server:
        assert server.base_url.startswith("https://127.0.0.1:")
        with pytest.raises(httpx.ConnectError):
            httpx.post(server.base_url + INVOKE_PATH, headers=HEADERS, json=DISPATCH)
        trusted = ssl.create_default_context(cafile=str(TLS / "cert.pem"))
        with httpx.Client(base_url=server.base_url, verify=trusted, headers=HEADERS) as client:
            with pytest.raises(httpx.TransportError):  # OpenSSL may report a reset as an end of file
                invoke(client)
            assert invoke(client).json() == []
        assert outcomes(server) == [Handling.DISPATCHED, Handling.IGNORED]
        assert server.errors == []


def test_loopback_only() -> None:
    """Only this machine reaches it: it has no other address."""
    with SandboxServer() as server:
        assert server.base_url.startswith("http://127.0.0.1:")
        assert server.listener is not None
        assert server.listener.socket.getsockname()[0] == "127.0.0.1"


def test_port_in_use() -> None:
    """A port that is taken is a clear error, and gives the memory back."""
    with SandboxServer() as server, pytest.raises(ReconcilerError, match="can't listen on 127"):
        SandboxServer(port=urlsplit(server.base_url).port or 0).start()


def test_memory_survives_a_restart(tmp_path: Path) -> None:
    """Requestids and open externalids outlive the server; bodies are nowhere in the file, which is private."""
    config = SandboxConfig(access_token="given", memory=tmp_path / "deep" / "sandbox.json")
    body = {
        "provider": "Crm",
        "requests": [{**DISPATCH["requests"][0], "linkeddata": [{"type": "clid", "value": "07700900123"}]}],
    }
    with running(config=config) as (_, client):
        invoke(client, body)
        invoke(client, {"requests": [{"requestid": "2", "externalid": "B"}]})
    with running(config=config) as (server, client):
        assert [(name, opened.provider) for name, opened in server.emulator.open.items()] == [("A", "Crm")]
        assert invoke(client, body).json() == []
        assert invoke(client, {"requests": [{"requestid": "2", "externalid": "B", "route": "R"}]}).json() == ["2"]
        release = {"provider": "Crm", "requests": [{"requestid": "3", "externalid": "A", "action": "release"}]}
        assert invoke(client, release).json() == []
    for file in (tmp_path / "deep").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert b"07700900123" not in file.read_bytes()
    with running(config=config) as (server, _):
        assert server.emulator.open == {}


def test_memory_survives_a_kill(tmp_path: Path) -> None:
    """A process killed after an answer has lost nothing."""
    memory = tmp_path / "sandbox.json"
    script = (
        "import os, sys, httpx, pathlib\n"
        "from tests.api import SandboxConfig, SandboxServer\n"
        "config = SandboxConfig(access_token='given', memory=pathlib.Path(sys.argv[1]))\n"
        "with SandboxServer(config) as server:\n"
        "    url = server.base_url + '/interactions/invoke'\n"
        f"    assert httpx.post(url, headers={HEADERS!r}, json={DISPATCH!r}).json() == []\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, memory], check=False, env={"PYTHONPATH": ":".join(sys.path)})
    assert killed.returncode == -9
    with running(config=SandboxConfig(access_token="given", memory=memory)) as (server, client):
        assert list(server.emulator.open) == ["A"]
        assert invoke(client).json() == []
        assert outcomes(server) == [Handling.IGNORED]


def test_memory_is_for_one_at_a_time(tmp_path: Path) -> None:
    """A second sandbox on the same memory is refused while the first runs."""
    config = SandboxConfig(memory=tmp_path / "sandbox.json")
    with SandboxServer(config), pytest.raises(ReconcilerError, match="another sandbox"):
        SandboxServer(config).start()
    with SandboxServer(config):
        pass


@pytest.mark.parametrize("content", [b"{", b'{"version":1,"ids":{},"open":{}}', b"SQLite format 3\0" + b"x" * 4096])
def test_damaged_memory(tmp_path: Path, content: bytes) -> None:
    """A damaged memory is a clear error that says what to remove, and stays as it is."""
    memory = tmp_path / "sandbox.json"
    memory.write_bytes(content)
    with pytest.raises(ReconcilerError, match="not a memory of the sandbox") as caught:
        SandboxServer(SandboxConfig(memory=memory)).start()
    assert f"Remove {memory}" in caught.value.hint
    assert memory.read_bytes() == content


def test_memory_that_can_not_be_written(tmp_path: Path) -> None:
    """A memory that can't be made is a clear error."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ReconcilerError, match="can't keep its memory"):
        SandboxServer(SandboxConfig(memory=tmp_path / "file" / "sandbox.json")).start()
    (tmp_path / "sandbox.json").mkdir()
    with pytest.raises(ReconcilerError, match="can't keep its memory"):
        SandboxServer(SandboxConfig(memory=tmp_path / "sandbox.json")).start()


def test_what_can_not_be_kept_is_no_answer(tmp_path: Path) -> None:
    """If the memory can't be written the call gets 500: what is answered is kept."""
    memory = tmp_path / "sandbox.json"
    with SandboxServer(SandboxConfig(access_token="given", memory=memory)) as server:
        server.emulator.memory.end()
        assert httpx.post(server.base_url + INVOKE_PATH, headers=HEADERS, json=DISPATCH).status_code == 500
        assert [type(error) for error in server.errors] == [sqlite3.ProgrammingError]
    with running(config=SandboxConfig(access_token="given", memory=memory)) as (server, _):
        assert server.emulator.open == {}


def test_control_endpoints() -> None:
    """Over HTTP, what is open is listed, and agents end interactions; no web page can ask for either."""
    with running() as (server, client):
        invoke(client)
        assert client.get("/sandbox/open").json() == {"open": {"A": {"provider": None}}}
        assert client.post("/sandbox/complete", content="A\nB").json() == {"completed": ["A"]}
        assert client.get("/sandbox/open").json() == {"open": {}}
        assert client.get("/sandbox/other").status_code == 404
        assert client.get("/sandbox/open", headers={"Origin": "https://elsewhere.invalid"}).status_code == 403
        assert client.get("/sandbox/open", headers={"Host": "elsewhere.invalid:80"}).status_code == 403
        assert len(server.calls) == 1


def test_agents_complete_interactions() -> None:
    """A completed interaction is gone: its release fails."""
    with running() as (server, client):
        invoke(client)
        assert server.complete("A")
        release = {"requests": [{"requestid": "2", "externalid": "A", "action": "release"}]}
        assert invoke(client, release).json() == ["2"]


def test_start_up_is_light() -> None:
    """The sandbox imports neither httpx nor asyncio."""
    script = "import sys, reconciler.sandbox.server; print(sorted({'httpx', 'asyncio'} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        check=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout == "[]\n"
