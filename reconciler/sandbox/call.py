"""One HTTP call to the API, as it arrived. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import parse_qsl, urlencode

from reconciler.sandbox.invocation import Malformed, ReceivedInvocation, ReceivedRequest, read_invocation

TOKEN_PATH: Final = "/Auth/connect/token"  # noqa: S105 - a path, not a secret
INVOKE_PATH: Final = "/interactions/invoke"
REMOVED: Final = "(removed)"
CallKind = Literal["invoke", "token", "other"]
_KINDS: Final[Mapping[str, CallKind]] = {INVOKE_PATH: "invoke", TOKEN_PATH: "token"}


@dataclass(slots=True, kw_only=True)
class Call:
    """One call; `status`, `fault` and `processed` are set while it is served.

    `headers` have lower-case names; the value of Authorization is removed there, as the client secret is in `body`:
    both stand in `authorization` and `form` only, which are never shown. `invocation` is None if the body is not one;
    `malformed` then says why. `status` stays None while, and if, no answer was given. `fault` is the effect applied.
    """

    kind: CallKind
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    authorization: str | None = field(default=None, repr=False)
    form: bytes = field(default=b"", repr=False)
    invocation: ReceivedInvocation | None = None
    malformed: str = ""
    status: int | None = None
    fault: str = ""
    processed: bool = False

    @property
    def requests(self) -> tuple[ReceivedRequest, ...]:
        """The requests of the body; none if it is not an Invocation."""
        return self.invocation.requests if self.invocation else ()

    @property
    def media_type(self) -> str:
        """The type that Content-Type names, without its parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def read_call(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Call:
    """Return a call as it comes from the wire, its body read; `path` is without its query."""
    kind: CallKind = _KINDS.get(path, "other") if method == "POST" else "other"
    call = Call(kind=kind, method=method, path=path, headers=dict(headers), body=body)
    call.authorization = headers.get("authorization")
    if call.authorization is not None:
        call.headers["authorization"] = REMOVED
    if kind == "token" or "x-www-form-urlencoded" in headers.get("content-type", ""):
        call.form, call.body = body, _without_secret(body)
    if kind == "invoke":
        try:
            call.invocation = read_invocation(body)
        except Malformed as error:
            call.malformed = str(error)
    return call


def _without_secret(body: bytes) -> bytes:
    pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True)
    return urlencode([(name, REMOVED if name == "client_secret" else value) for name, value in pairs]).encode()
