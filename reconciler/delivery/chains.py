"""What may be sent next: the first request of each chain, once the outcome of the one before it is known.

Pure. What stands behind a failure is dropped here as `fold` drops it from the state (state/transitions.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import dropwhile, pairwise

from reconciler.delivery.batch import Request
from reconciler.delivery.retry import pause
from reconciler.state.model import Kind, Result

Chain = tuple[Request, ...]


class Chains:
    """The chains of one run. Times are seconds of a clock that never goes back.

    `retried` are the releases of what may be open that, where they fail, are tried once more: the next try stands
    right behind them, and waits.
    """

    def __init__(self, chains: tuple[Chain, ...]) -> None:
        self.retried = frozenset(_retried(chains))
        self._chains = chains
        self._due: dict[str, float] = {}  # when the next try may be sent, by requestid
        self._failed_tries: Counter[str] = Counter()  # by address
        self._stuck: list[Request] = []

    @property
    def expected(self) -> int:
        """How many requests will be done at most; all tries of a release are one."""
        return sum(map(len, self._chains)) - len(self.retried)

    @property
    def next_due(self) -> float | None:
        """When the first of the tries that wait may be sent; None if none waits."""
        return min(self._due.values(), default=None)

    def ready(self, now: float) -> list[Request]:
        """Return what may be sent: releases, or where there are none, dispatches."""
        heads = [chain[0] for chain in self._chains]
        if self._due:
            heads = [head for head in heads if self._due.get(head.requestid, now) <= now]
        return [head for head in heads if head.kind is not Kind.DISPATCH] or heads

    def advance(self, sent: Iterable[Request], results: Mapping[str, Result], now: float) -> list[float]:
        """Move on each chain whose head was sent; return the seconds that each further try of a release waits."""
        heads = {request.requestid for request in sent}
        self._due = {requestid: due for requestid, due in self._due.items() if requestid not in heads}
        moved = [
            (chain[0], self._behind(chain, results.get(chain[0].requestid)) if chain[0].requestid in heads else chain)
            for chain in self._chains
        ]
        self._chains = tuple(chain for _, chain in moved if chain)
        return [
            self._put_off(chain[0], now)
            for head, chain in moved
            if chain and head.requestid in heads and head.kind is chain[0].kind is Kind.TOLERANT
        ]

    def unsent(self) -> list[Request]:
        """Return what was never sent: its turn did not come, or what stands before it isn't settled."""
        return [request for chain in self._chains for request in chain] + self._stuck

    def _behind(self, chain: Chain, result: Result | None) -> Chain:
        """Return what of a chain may be sent next in this run, its head having been sent with this result."""
        head, behind = chain[0], chain[1:]
        match result, head.kind:
            case None | Result.UNSENT, _:
                self._stuck.extend(behind)
                return ()
            case Result.FAILED, Kind.RELEASE:
                # What it should have released is still open.
                return ()
            case Result.SUCCEEDED, Kind.TOLERANT:
                return tuple(dropwhile(lambda request: request.kind is Kind.TOLERANT, behind))
            case _:
                return behind

    def _put_off(self, next_try: Request, now: float) -> float:
        self._failed_tries[next_try.address] += 1
        wait = pause(self._failed_tries[next_try.address])
        self._due[next_try.requestid] = now + wait
        return wait


def _retried(chains: Iterable[Chain]) -> Iterable[str]:
    for chain in chains:
        if len(chain) > 1:
            for request, behind in pairwise(chain):
                if request.kind is behind.kind is Kind.TOLERANT:
                    yield request.requestid
