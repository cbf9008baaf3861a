"""How the sandbox behaves where the API is documented, and where it is not. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

ACCEPT: Final = "application/vnd.newvoicemedia.v1+json"
SCOPE: Final = "interactions:write"
TOKEN_PATH: Final = "/Auth/connect/token"  # noqa: S105 - a path, not a secret
INVOKE_PATH: Final = "/interactions/invoke"


class FailedDuplicate(StrEnum):
    """What a duplicate of a request that failed does; undocumented, so each is possible."""

    FAILS = "fails"
    IGNORED = "ignored"
    PROCESSED = "processed"


class Redispatch(StrEnum):
    """What dispatching an externalid that is still open does; undocumented. It is recorded as a double either way."""

    FAILS = "fails"
    OPENS = "opens"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """The sandbox's settings; each default is the documented behaviour, or the one that is assumed.

    `clients`: client ids with their secrets; None takes any that are not empty.
    `access_token`: a token that is always valid, beside the issued ones.
    `expires_in`: seconds that an issued token is valid [D].
    `body_limit`: bytes of the largest body [D: 100 KB]; `too_large_status`: what a larger one gets [D: 413 or 417].
    `remember_seconds`, `remember_requests`: how long, and how many, requestids are remembered; None: all, for ever
    (assumed).
    `failed_duplicate`: see FailedDuplicate (assumed). `done_duplicate_fails`: a duplicate of a request that succeeded
    is ignored [D] but listed as failed (whether it is listed is not documented).
    `redispatch`: see Redispatch (assumed).
    `reverse`: process the requests of a body from the last to the first; their order is not documented.
    `latency`: seconds that each call waits before it is processed.
    `memory`: the file that keeps requestids and open externalids over restarts; None keeps nothing.
    `keep`: how many calls and processed requests the record holds, the newest; None holds all.
    """

    clients: Mapping[str, str] | None = field(default=None, repr=False)
    access_token: str | None = field(default=None, repr=False)
    expires_in: int = 7200
    body_limit: int = 102_400
    too_large_status: Literal[413, 417] = 413
    remember_seconds: float | None = None
    remember_requests: int | None = None
    failed_duplicate: FailedDuplicate = FailedDuplicate.FAILS
    done_duplicate_fails: bool = False
    redispatch: Redispatch = Redispatch.FAILS
    reverse: bool = False
    latency: float = 0.0
    memory: Path | None = None
    keep: int | None = None
