"""What is declared: interactions, and the content by which they are compared.

Pure. The content of an interaction is its provider and the API's own request without `requestid`, as
canonical JSON (UTF-8, keys sorted, no white space). Its digest decides whether anything has changed.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

import orjson

from reconciler.escape import brief

Json = Any
ONCE_PREFIX: Final = "once:"
NO_FIELDS: Final = b"{}"
_NOT_FIELDS: Final = frozenset({"action", "externalid"})
LINKED_BY: Final = ("type", "owner", "key")
"""What tells one `linkeddata` item from another."""
_SCHEME: Final = "1"
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class OnChange(StrEnum):
    """What a changed declaration does to an interaction that is open (`lifecycle.on_change`)."""

    REPLACE = "replace"
    KEEP = "keep"
    AGAIN = "again"


class Place(NamedTuple):
    """A place in a declaration file; `line` and `column` count from 1."""

    file: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class PolicyException(NamedTuple):
    """A rule of the policy that an interaction need not keep, why, and the last day of that (`YYYY-MM-DD`)."""

    rule: str
    reason: str
    until: str


class Interaction(NamedTuple):
    """One declared interaction.

    `address` is its identity here: the externalid, or `once:NAME` for one that has none.
    `body` is the canonical JSON of the API's request without `requestid`.
    """

    address: str
    provider: str | None
    body: bytes
    digest: str
    place: Place
    prevent_release: bool = False
    on_change: OnChange = OnChange.REPLACE
    exceptions: tuple[PolicyException, ...] = ()

    @property
    def request(self) -> dict[str, Json]:
        """The API's request without `requestid`, decoded anew at each call."""
        request: dict[str, Json] = orjson.loads(self.body)
        return request


def packed(fields: Mapping[str, Json]) -> bytes:
    """Return fields as they are kept: canonical JSON, in a copy of its own size, for orjson's buffers are larger."""
    return memoryview(canonical(fields)).tobytes()


def skill_names(fields: Mapping[str, Json]) -> list[str]:
    """Return the names of the skills that a request asks for."""
    return [skill["name"] for skill in (fields.get("routingdata") or {}).get("skills") or ()]


def without_sensitive(fields: bytes, sensitive: frozenset[str]) -> bytes:
    """Return stored fields without the values that were not sensitive when they were stored, and are now."""
    return packed(public_fields(orjson.loads(fields), sensitive))


def identity_flaw(name: str, *, once: bool) -> str:
    """Return what is wrong with an externalid, or with the name of a once, to end a sentence; nothing if it is fine."""
    if not name:
        return "is empty"
    if not name.isprintable() and any(unicodedata.category(character) in _INVISIBLE for character in name):
        return f"'{brief(name)}' holds a control or invisible character"
    if name != name.strip():
        return f"'{brief(name)}' starts or ends with white space"
    if not once and is_once(name):
        return f"'{brief(name)}' starts with 'once:', which is kept for interactions without an externalid"
    return ""


def is_once(address: str) -> bool:
    """Whether the address is that of an interaction without an externalid."""
    return address.startswith(ONCE_PREFIX)


def canonical(value: Json) -> bytes:
    """Return the canonical JSON of a value made of dicts with string keys, lists, strings, ints, bools and None."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def dispatch_body(externalid: str | None, request: Mapping[str, Json]) -> bytes:
    """Return the canonical dispatch request: `request` holds what is sent of an interaction besides its externalid."""
    body = {"action": "dispatch", **request}
    if externalid is not None:
        body["externalid"] = externalid
    return packed(body)


def release_body(externalid: str) -> bytes:
    """Return the canonical release request of an externalid; the provider stands in the Invocation [D]."""
    return canonical({"action": "release", "externalid": externalid})


def _digest_1(provider: str | None, body: bytes) -> str:
    # The keys of {"provider": …, "request": …} are in sorted order, so this is its canonical JSON.
    content = b'{"provider":%b,"request":%b}' % (orjson.dumps(provider), body)
    return "1:" + hashlib.sha256(content).hexdigest()


SCHEMES: Final[Mapping[str, Callable[[str | None, bytes], str]]] = {"1": _digest_1}


def content_digest(provider: str | None, body: bytes, scheme: str = _SCHEME) -> str:
    """Return `SCHEME:HEX` of the content; raises KeyError for a scheme that this version does not know."""
    return SCHEMES[scheme](provider, body)


def known_digest(digest: str) -> bool:
    """Whether the digest's scheme is one that this version can compare."""
    return digest.partition(":")[0] in SCHEMES


def same_content(stored_digest: str, interaction: Interaction) -> bool:
    """Whether the stored digest is that of the interaction's content, compared in the stored digest's own scheme."""
    if stored_digest == interaction.digest:
        return True
    scheme = stored_digest.partition(":")[0]
    return scheme != _SCHEME and content_digest(interaction.provider, interaction.body, scheme) == stored_digest


def is_sensitive(item: Mapping[str, Json], sensitive: frozenset[str]) -> bool:
    """Whether a `linkeddata` item's value must stay out of everything but the request (by `type` or `type:key`)."""
    kind = item.get("type")
    return kind in sensitive or f"{kind}:{item.get('key', '')}" in sensitive


def public_fields(request: Mapping[str, Json], sensitive: frozenset[str]) -> dict[str, Json]:
    """Return what may be stored and shown of a request: sensitive `linkeddata` items lose their `value`."""
    fields = {name: part for name, part in request.items() if name not in _NOT_FIELDS}
    if items := fields.get("linkeddata"):
        fields["linkeddata"] = [
            {name: part for name, part in item.items() if name != "value"} if is_sensitive(item, sensitive) else item
            for item in items
        ]
    return fields
