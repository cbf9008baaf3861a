"""The fixed server of the apply bars: answers `[]` to every call, at once or after a fixed latency.

A process of its own, so that it takes no time from the one that is measured; the same for us and for bare httpx.
"""

from __future__ import annotations

import asyncio
import json
import sys

_TOKEN = json.dumps({"access_token": "fixed", "expires_in": 7200, "token_type": "Bearer"}).encode()


def _answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class _Line(asyncio.Protocol):
    """One connection: reads a head, then its body, then answers."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._heard = bytearray()
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._heard += data
        while (end := self._heard.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._heard[:end]).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._heard) < end + 4 + length:
                return
            del self._heard[: end + 4 + length]
            answer = _answer(_TOKEN if b"/connect/token" in head.partition(b"\r\n")[0] else b"[]")
            asyncio.get_running_loop().call_later(self._latency, self._say, answer)

    def _say(self, answer: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(answer)


async def _serve(latency: float) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: _Line(latency), "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
