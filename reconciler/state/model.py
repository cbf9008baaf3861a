"""What is known to be open, pending and failed.

Pure. Entries are tuples, for there is one of each for every request, and a frozen dataclass takes twice as long to
make.

The requests of one address form a chain, in `order`. A link is sent only after the outcome of the one before
it is known, so a chain can be taken up again at its first link that is still pending.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, MutableMapping
from copy import copy
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Literal, NamedTuple, cast

from reconciler.interaction import NO_FIELDS

ApiAction = Literal["dispatch", "release"]
Standing = Literal["unknown", "unsent", "held"]


class Kind(StrEnum):
    """What a pending request does, which decides what its outcome means."""

    DISPATCH = "dispatch"
    RELEASE = "release"
    BURN = "burn"
    """A release under the requestid of a dispatch of unknown outcome, so that a late copy of it is ignored."""
    TOLERANT = "tolerant-release"
    """A release of what may be open; its failure is as good as success, once each of its tries has failed."""

    @property
    def action(self) -> ApiAction:
        """The API's action that carries it."""
        return "dispatch" if self is Kind.DISPATCH else "release"


DONE_IF_ANSWERED: Final = frozenset({Kind.BURN, Kind.TOLERANT})
"""What is done whatever the API answers, its failure being as good as success."""


class Result(StrEnum):
    """What became of a request."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNSENT = "unsent"
    """The API has certainly not processed it: it was never sent, or refused before it was looked at."""


@dataclass(frozen=True, slots=True)
class Target:
    """The API that a state belongs to."""

    base_url: str
    account: str | None = None


# What stands below a field describes it, in docs/state.md and in the schema too.


class Open(NamedTuple):
    """An interaction known to be open (for `once`: known to have been dispatched)."""

    provider: str | None
    digest: str
    """`1:` and the SHA-256 of the canonical JSON of provider and request."""
    requestid: str
    """Of the dispatch that opened it; empty where it was adopted, for none was sent."""
    at: str
    """When its dispatch was answered, or it was adopted."""
    source: str
    """The file that declared it."""
    fields: bytes  # canonical JSON (`interaction.packed`), for few of them are ever looked at
    """`route`, `linkeddata`, `routingdata`; sensitive `linkeddata` lacks its `value`."""
    prevent_release: bool = False
    settled: bool = False
    """Its last outcome came from a resend, which can't tell a first processing from an ignored copy."""


class Pending(NamedTuple):
    """A request that was or may have been sent, and whose outcome isn't known."""

    address: str
    order: int
    """Its place in its address's chain."""
    kind: Kind
    provider: str | None
    digest: str
    at: str
    """When its intent was first saved."""
    source: str
    fields: bytes = NO_FIELDS
    prevent_release: bool = False
    unsent: bool = False
    """It has certainly not been processed."""
    held: str = ""
    """Why only a person can say what became of it."""

    @property
    def standing(self) -> Standing:
        """What is known of it; `held`: only a person can say."""
        return "held" if self.held else "unknown" if self.unknown else "unsent"

    @property
    def unknown(self) -> bool:
        """Whether the API may have processed it. The id of a burn may have been taken by its dispatch."""
        return not self.unsent or self.kind is Kind.BURN


class Failed(NamedTuple):
    """A request that the API answered as failed."""

    address: str
    action: ApiAction
    provider: str | None
    digest: str
    attempts: int
    """Consecutive failures of this action for this address."""
    first: str
    last: str
    reason: str
    """The API's message, or that it gave none."""
    earlier: tuple[str, ...] = ()
    """Up to ten requestids before this one, oldest first."""
    source: str = ""
    prevent_release: bool = False
    resent: bool = False
    """It failed only when sent again, after an unknown outcome or a larger body that was refused, so the first copy may
    have been processed (how duplicates of processed requests are answered is assumed)."""


class Applied(NamedTuple):
    """What was applied last, as the git repository that holds the configuration names it."""

    commit: str
    dirty: bool
    """Whether the configuration or a declaration differed from that commit."""
    at: str
    by: str
    """The URL of the CI job, or user and host."""


class Run(NamedTuple):
    """What an apply did."""

    serial: int
    """Of the state that it left."""
    at: str
    by: str
    """The URL of the CI job, or user and host."""
    command: str
    exit: int
    counts: Mapping[str, int]
    """What was done (`dispatch`, `release`, `burn`, `tolerant-release`, `forget`, `record`), what `failed`, and what
    was left `unknown`, `unsent` and `held`; what there is none of is absent."""
    commit: str | None = None
    """null outside a git repository."""
    dirty: bool = False


class Outcome(NamedTuple):
    """What became of one request. `resent`: an earlier attempt of it may have been processed."""

    requestid: str
    result: Result
    reason: str = ""
    resent: bool = False


@dataclass(frozen=True, slots=True)
class State:
    """The project's only memory."""

    lineage: str
    """A UUID, made once by `init`; requestids are derived from it."""
    serial: int = 0
    """Grows with every change, and only then; at most 2^53 - 1, as every JSON tool carries it."""
    target: Target | None = None
    """null before the first apply; once the API may know of anything in the state, another target is refused."""
    interactions: Mapping[str, Open] = field(default_factory=dict)
    """By address: an externalid, or `once:NAME`."""
    pending: Mapping[str, Pending] = field(default_factory=dict)
    """By requestid: what was or may have been sent, and whose outcome isn't known."""
    failed: Mapping[str, Failed] = field(default_factory=dict)
    """By requestid: what the API answered as failed."""
    applied: Applied | None = None
    """null until something is applied from a git repository."""
    reader: str = ""
    """Which reader of declarations made the seals."""
    seals: Mapping[str, str] = field(default_factory=dict)
    """By file: a keyed hash by which a file and what is open of it are known to be as they were last read."""
    history: tuple[Run, ...] = ()
    """What the last fifty applies did, oldest first."""

    def editable(self) -> MutableMapping[str, Open]:
        """Return a copy of what is open, to be changed."""
        return cast("MutableMapping[str, Open]", copy(self.interactions))

    def only(self, addresses: Collection[str]) -> State:
        """Return what is known of these addresses, to be shown."""
        return replace(
            self,
            interactions={address: entry for address, entry in self.interactions.items() if address in addresses},
            pending={rid: link for rid, link in self.pending.items() if link.address in addresses},
            failed={rid: failure for rid, failure in self.failed.items() if failure.address in addresses},
        )

    @property
    def met(self) -> bool:
        """Whether the target may know of anything in it; until then a mistyped one can be corrected."""
        return bool(self.interactions or self.failed or any(link.unknown for link in self.pending.values()))

    def chains(self) -> dict[str, list[tuple[str, Pending]]]:
        """Return the pending links of each address that has any, as (requestid, link) in the order of the chain."""
        chains: defaultdict[str, list[tuple[str, Pending]]] = defaultdict(list)
        for requestid, link in self.pending.items():
            chains[link.address].append((requestid, link))
        for links in chains.values():
            links.sort(key=lambda entry: entry[1].order)
        return dict(chains)

    def failures(self) -> dict[str, list[tuple[str, Failed]]]:
        """Return the failed requests of each address that has any, as (requestid, failure)."""
        failures: defaultdict[str, list[tuple[str, Failed]]] = defaultdict(list)
        for requestid, failure in self.failed.items():
            failures[failure.address].append((requestid, failure))
        return dict(failures)
