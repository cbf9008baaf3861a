"""Requests packed into Invocations: one provider each, at most so many bytes as encoded.

Pure. `provider` stands once a body [D], and a request body is limited in size [D].
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import orjson

from reconciler.state.model import Kind


class Request(NamedTuple):
    """One request as it goes out: `body` is its canonical JSON without the requestid.

    `resend`: it may have been processed already, so only a valid 200 settles it.
    """

    requestid: str
    address: str
    kind: Kind
    provider: str | None
    body: bytes
    resend: bool = False

    @property
    def encoded(self) -> bytes:
        """The request as JSON, with its requestid first."""
        return b'{"requestid":%b,%b' % (orjson.dumps(self.requestid), self.body[1:])


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of `POST /interactions/invoke`; `body` is its request body, exactly as sent."""

    provider: str | None
    requests: tuple[Request, ...]
    body: bytes

    @classmethod
    def of(cls, provider: str | None, requests: tuple[Request, ...]) -> Self:
        """Return the Invocation that carries these requests."""
        return cls(provider, requests, _body(provider, [request.encoded for request in requests]))

    @property
    def requestids(self) -> frozenset[str]:
        """The requestids it carries."""
        return frozenset([request.requestid for request in self.requests])

    def halves(self) -> tuple[Self, Self]:
        """Return two Invocations of half the requests each; there must be two at least."""
        middle = len(self.requests) // 2
        return self.of(self.provider, self.requests[:middle]), self.of(self.provider, self.requests[middle:])


def _body(provider: str | None, encoded: Sequence[bytes]) -> bytes:
    head = b'{"requests":[' if provider is None else b'{"provider":%b,"requests":[' % orjson.dumps(provider)
    return b"%b%b]}" % (head, b",".join(encoded))


def pack(requests: Iterable[Request], request_bytes: int) -> Iterator[Invocation]:
    """Yield Invocations that carry the requests in order, each body at most `request_bytes` long.

    Requests of unknown outcome travel apart from new ones: a refusal proves something of the new ones only.
    A single request that is too large gets an Invocation of its own, for the API to refuse. Each is made when it is
    asked for.
    """
    groups: defaultdict[tuple[str | None, bool], list[Request]] = defaultdict(list)
    for request in requests:
        groups[request.provider, request.resend].append(request)
    for (provider, _), group in groups.items():
        yield from _chunks(provider, group, request_bytes)


def _chunks(provider: str | None, requests: list[Request], request_bytes: int) -> Iterator[Invocation]:
    overhead = len(_body(provider, ()))
    chunk: list[Request] = []
    parts: list[bytes] = []
    size = overhead
    for request in requests:
        encoded = request.encoded
        size += len(encoded) + len(b",")
        if chunk and size - len(b",") > request_bytes:
            yield Invocation(provider, tuple(chunk), _body(provider, parts))
            chunk, parts, size = [], [], overhead + len(encoded) + len(b",")
        chunk.append(request)
        parts.append(encoded)
    yield Invocation(provider, tuple(chunk), _body(provider, parts))
