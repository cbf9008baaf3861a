"""Requests packed into Invocations: one provider each, at most so many bytes as encoded.

Pure. `provider` stands once a body [D], and a request body is limited in size [D].
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from reconciler.state import Kind


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
    """One call of `POST /interactions/invoke`."""

    provider: str | None
    requests: tuple[Request, ...]

    @property
    def body(self) -> bytes:
        """The request body, exactly as sent."""
        return envelope(self.provider) + b",".join(request.encoded for request in self.requests) + b"]}"

    @property
    def requestids(self) -> frozenset[str]:
        """The requestids it carries."""
        return frozenset(request.requestid for request in self.requests)

    def halves(self) -> tuple[Invocation, Invocation]:
        """Return two Invocations of half the requests each; there must be two at least."""
        middle = len(self.requests) // 2
        return Invocation(self.provider, self.requests[:middle]), Invocation(self.provider, self.requests[middle:])


def envelope(provider: str | None) -> bytes:
    """Return the body up to its first request."""
    return b'{"requests":[' if provider is None else b'{"provider":%b,"requests":[' % orjson.dumps(provider)


def pack(requests: Iterable[Request], request_bytes: int) -> list[Invocation]:
    """Return Invocations that carry the requests in order, each body at most `request_bytes` long.

    Requests of unknown outcome travel apart from new ones: a refusal proves something of the new ones only.
    A single request that is too large gets an Invocation of its own, for the API to refuse.
    """
    groups: defaultdict[tuple[str | None, bool], list[Request]] = defaultdict(list)
    for request in requests:
        groups[request.provider, request.resend].append(request)
    return [
        Invocation(provider, chunk)
        for (provider, _), group in groups.items()
        for chunk in _chunks(group, request_bytes)
    ]


def _chunks(requests: list[Request], request_bytes: int) -> Iterator[tuple[Request, ...]]:
    overhead = len(envelope(requests[0].provider)) + len(b"]}")
    chunk: list[Request] = []
    size = overhead
    for request in requests:
        length = len(request.encoded) + len(b",")
        if chunk and size + length - len(b",") > request_bytes:
            yield tuple(chunk)
            chunk, size = [], overhead
        chunk.append(request)
        size += length
    yield tuple(chunk)
