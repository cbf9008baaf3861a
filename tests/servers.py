"""Object stores that nobody here wrote, each started once for a whole run of the tests, whatever workers it has.

`python -m tests.servers seaweedfs` (or moto, azurite) starts one for people, and says what to set to use it.
The servers end when the last process that uses them does, however it ends: it is the last to hold a pipe open.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from functools import cache
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
BIN: Final = Path(sys.executable).parent
AZURITE: Final = ROOT / ".venv" / "node" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
INSTALLED: Final = (BIN / "weed", BIN / "moto_server", AZURITE)
# Azurite's own, known to everybody.
ACCOUNT: Final = "devstoreaccount1"
ACCOUNT_KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
SECRET: Final = "planted-secret"
AWS: Final = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}
READER: Final = {**AWS, "AWS_ACCESS_KEY_ID": "reader"}
"""Who may read what the other one may write, at seaweedfs."""
BUCKET: Final = "states"
_PATIENCE: Final = 60.0
_RUN: Final = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))


@dataclass(frozen=True)
class Server:
    """Where a server is, and what leads a command to it."""

    scheme: str
    environ: Mapping[str, str]

    def url(self, key: str) -> str:
        """Return a place for a state."""
        return f"{self.scheme}://{BUCKET}/{key}"


@cache
def server(name: str) -> Server:
    """Return one of the servers, with a bucket in it, as soon as it answers."""
    assert all(map(Path.exists, INSTALLED)), "the servers are missing: run make .venv/servers, which installs them"
    port = _started()[name]
    _until_it_answers(port, name)
    found = _server(name, port)
    if name == "azurite":
        _make_container(port)
    else:
        _make_bucket(found)
    return found


@contextmanager
def alone(name: str, folder: Path) -> Iterator[Server]:
    """Give one of them that nobody else uses."""
    ports = _free_ports(8)
    with subprocess.Popen(
        COMMANDS[name](folder, ports), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            _until_it_answers(ports[0], name)
            yield _server(name, ports[0])
        finally:
            process.kill()


def _server(name: str, port: int) -> Server:
    if name == "azurite":
        endpoint = {"AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/{ACCOUNT}"}
        return Server(
            "az", {"AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY, **endpoint}
        )
    return Server("s3", {**AWS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})


def aws(found: Server, service: str) -> Any:
    """Return boto3's client of a service."""
    import boto3  # noqa: PLC0415  # takes long

    keys = {"aws_access_key_id": AWS["AWS_ACCESS_KEY_ID"], "aws_secret_access_key": SECRET}
    return boto3.client(service, endpoint_url=found.environ["AWS_ENDPOINT_URL"], region_name="us-east-1", **keys)


def _make_bucket(found: Server) -> None:
    client = aws(found, "s3")
    with suppress(client.exceptions.BucketAlreadyExists, client.exceptions.BucketAlreadyOwnedByYou):  # another worker's
        client.create_bucket(Bucket=BUCKET)


def _make_container(port: int) -> None:
    url = f"http://127.0.0.1:{port}/{ACCOUNT}/{BUCKET}?restype=container"
    asked = urllib.request.Request(url, method="PUT", headers=_shared_key())  # on loopback
    try:
        with urllib.request.urlopen(asked):  # noqa: S310
            pass
    except urllib.error.HTTPError as error:
        assert error.code == 409, error  # noqa: PT017  # another worker was here


def _shared_key() -> dict[str, str]:
    """Sign the making of the bucket, as Azure's Shared Key scheme says."""
    date, version = formatdate(usegmt=True), "2021-08-06"
    signed = (
        f"PUT{12 * chr(10)}x-ms-date:{date}\nx-ms-version:{version}\n/{ACCOUNT}/{ACCOUNT}/{BUCKET}\nrestype:container"
    )
    key = hmac.new(base64.b64decode(ACCOUNT_KEY), signed.encode(), hashlib.sha256).digest()
    authorization = f"SharedKey {ACCOUNT}:{base64.b64encode(key).decode()}"
    return {"x-ms-date": date, "x-ms-version": version, "Authorization": authorization}


def _until_it_answers(port: int, name: str) -> None:
    until, waiting = time.monotonic() + _PATIENCE, threading.Event()
    while not _answers(port):
        assert time.monotonic() < until, f"{name} does not start"
        waiting.wait(0.05)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


@cache
def _started() -> Mapping[str, int]:
    """Start them, or find those that another worker started; return their ports."""
    folder = Path(tempfile.gettempdir()) / f"reconciler-servers-{_RUN}"
    folder.mkdir(exist_ok=True)
    with _alone(folder):
        held = _hold(folder / "users")
        if held is None:
            (folder / "ports").write_text(json.dumps(_start(folder)), encoding="utf-8")
            held = os.open(folder / "users", os.O_WRONLY)  # waits for who reads it
        os.set_inheritable(held, False)  # noqa: FBT003
        found: Mapping[str, int] = json.loads((folder / "ports").read_text(encoding="utf-8"))
        return found


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _hold(pipe: Path) -> int | None:
    """Open the pipe whose end ends the servers; None where nobody reads it, for there are none."""
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def _start(folder: Path) -> Mapping[str, int]:
    ports, lines = {}, []
    for name, command in COMMANDS.items():
        free = _free_ports(8)
        ports[name] = free[0]
        own = folder / name
        own.mkdir()
        lines.append(f"{shlex.join(command(own, free))} >{own}/log 2>&1 &")
    os.mkfifo(folder / "users")
    script = "\n".join([f"cd {folder}", *lines, f"cat {folder}/users >/dev/null; rm -rf {folder}; kill -9 0"])
    nowhere = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]
    os.posix_spawn("/bin/sh", ["sh", "-c", script], os.environ, file_actions=nowhere, setsid=True)
    return ports


def _free_ports(number: int) -> list[int]:
    listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    try:
        return [each.getsockname()[1] for each in listening]
    finally:
        for each in listening:
            each.close()


def _seaweedfs(folder: Path, ports: list[int]) -> list[str]:
    people = {"tester": ["Admin", "Read", "Write", "List"], "reader": [f"Read:{BUCKET}", f"List:{BUCKET}"]}
    identities = [
        {"name": name, "credentials": [{"accessKey": name, "secretKey": SECRET}], "actions": actions}
        for name, actions in people.items()
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}), encoding="utf-8")
    names = ("s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc")
    named = zip((*names, "filer.port", "filer.port.grpc"), ports, strict=True)
    return [
        *(str(BIN / "weed"), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}", "-master.peers=none"),
        *("-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=8", f"-filer.localSocket={folder}/f"),
        *("-s3", f"-s3.config={folder}/s3.json", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *(f"-{name}={port}" for name, port in named),
    ]


def _moto(_folder: Path, ports: list[int]) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(ports[0])]


def _azurite(_folder: Path, ports: list[int]) -> list[str]:
    node = shutil.which("node", path=f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}") or "node"
    place = ["--blobHost", "127.0.0.1", "--blobPort", str(ports[0])]
    return [node, str(AZURITE), *place, "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry"]


COMMANDS: Final = {"seaweedfs": _seaweedfs, "moto": _moto, "azurite": _azurite}


if __name__ == "__main__":
    wanted = server(sys.argv[1])
    for variable, value in {**wanted.environ, "RECONCILER_STATE": wanted.url("reconciler.state.json")}.items():
        sys.stdout.write(f"export {variable}='{value}'\n")
    sys.stdout.write("# It ends with Ctrl-C, and forgets all.\n")
    sys.stdout.flush()
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
