"""A cloud on loopback that keeps objects as S3 and Google Cloud Storage do: honest by itself, and as a script wants it.

Only what a state needs: PUT with its conditions, GET, DELETE, the removal of many, and the list.
"""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

BUCKET: Final = "states"


@dataclass(frozen=True)
class Asked:
    """A request, with headers by their names in small letters. `key` is empty for one about the bucket.

    `again`: how often the same was asked before.
    """

    method: str
    key: str
    headers: Mapping[str, str]
    again: int = 0


@dataclass(frozen=True)
class Lie:
    """What is done about a request, in place of the truth.

    `lands`: it is carried out, if its condition holds. `blind`: its condition is not looked at. `status`: what is
    answered, if it is not what came of it; 0: nothing, the connection ends. `wait`: how long, before the answer, in
    seconds.
    """

    status: int | None = None
    lands: bool = True
    blind: bool = False
    wait: float = 0.0
    code: str = "Scripted"


Script = Callable[[Asked], Lie | None]
Answer = tuple[int, bytes, dict[str, str]]
"""Status, 0 for none at all; body; headers."""
HONEST: Final = Lie()


@dataclass
class Cloud:
    """A bucket, in a server of its own for as long as the block lasts."""

    script: Script = lambda _asked: None
    objects: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._generation = 0
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"cloud": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def s3(self) -> dict[str, str]:
        """What leads a command to it, as to an S3."""
        keys = {"AWS_ACCESS_KEY_ID": "tester", "AWS_SECRET_ACCESS_KEY": "planted-secret"}
        return {**keys, "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": self._url}

    @property
    def google(self) -> dict[str, str]:
        """What leads a command to it, as to Google Cloud Storage."""
        return {"GOOGLE_BASE_URL": self._url, "GOOGLE_BEARER_TOKEN": "planted-secret"}

    @property
    def _url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def handle(self, asked: Asked, act: Callable[[Asked, Lie], Answer]) -> Answer:
        """Have a request carried out as the script says, before anybody else's; return what to answer."""
        with self._lock:
            again = sum((each.method, each.key) == (asked.method, asked.key) for each in self.asked)
            asked = replace(asked, again=again)
            self.asked.append(asked)
            lie = self.script(asked) or HONEST
            answer = act(asked, lie)
        if lie.wait:
            self._over.wait(lie.wait)
        return answer

    def keep(self, key: str, body: bytes) -> None:
        """Put an object there, as a new one."""
        self._generation += 1
        self.objects[key] = (body, self._generation)


def etag(body: bytes) -> str:
    """Return an object's mark as S3 makes it: of its bytes alone."""
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that was killed; all else is a mistake of ours."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    cloud: Cloud
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        key = unquote(parts.path).removeprefix(f"/{BUCKET}").removeprefix("/")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        wanted = (self.headers.get("If-Match"), self.headers.get("If-None-Match"))
        generation = self.headers.get("x-goog-if-generation-match")

        def condition(mark: str, number: int) -> bool:
            if generation is not None:
                return number == int(generation)
            return (wanted[0] is None or wanted[0] == mark) and (wanted[1] is None or not mark)

        def act(asked: Asked, lie: Lie) -> Answer:
            status = self._carried_out(asked.key, condition, body, lie)
            if lie.status is not None:
                return lie.status, _error(lie.code), {}
            if status >= 300:
                return status, _error({404: "NoSuchKey", 412: "PreconditionFailed"}[status]), {}
            return status, *self._found(asked.key, parse_qs(parts.query), body)

        headers = {name.lower(): value for name, value in self.headers.items()}
        status, answer, marks = self.cloud.handle(Asked(self.command, key, headers), act)
        if status:
            self._answer(status, answer, marks)
        else:
            self.close_connection = True

    do_GET = do_PUT = do_DELETE = do_POST = _serve  # noqa: N815

    def _carried_out(self, key: str, condition: Callable[[str, int], bool], body: bytes, lie: Lie) -> int:
        there = self.cloud.objects.get(key)
        if self.command == "PUT" and lie.lands:
            if not lie.blind and not condition(etag(there[0]) if there else "", there[1] if there else 0):
                return 412
            self.cloud.keep(key, body)
        elif self.command == "DELETE" and lie.lands:
            return 204 if self.cloud.objects.pop(key, None) else 404
        elif self.command == "GET" and key and not there:
            return 404
        return 200

    def _found(self, key: str, query: dict[str, list[str]], body: bytes) -> tuple[bytes, dict[str, str]]:
        objects = self.cloud.objects
        if self.command == "POST":
            names = re.findall(r"<Key>(.*?)</Key>", body.decode())
            for name in names:
                objects.pop(unescape(name), None)
            gone = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in names)
            return f"<DeleteResult>{gone}</DeleteResult>".encode(), {}
        if self.command == "DELETE":
            return b"", {}
        if not key:
            (start,) = query.get("prefix", [""])
            return _listed({name: kept for name, kept in sorted(objects.items()) if name.startswith(start)}), {}
        kept, number = objects[key]
        marks = {"ETag": etag(kept), "x-goog-generation": str(number), "Last-Modified": formatdate(usegmt=True)}
        return (kept if self.command == "GET" else b""), marks

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>planted-secret</Message></Error>".encode()


def _listed(found: dict[str, tuple[bytes, int]]) -> bytes:
    rows = "".join(
        f"<Contents><Key>{escape(name)}</Key><LastModified>2026-11-24T00:00:00.000Z</LastModified>"
        f"<Size>{len(body)}</Size><ETag>{escape(etag(body))}</ETag></Contents>"
        for name, (body, _) in found.items()
    )
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>".encode()
