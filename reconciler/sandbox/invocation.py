"""An Invocation as it arrives: read strictly, so that a body the API might refuse is noticed here. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from reconciler.declarations.schema import SENT

_INVOCATION_FIELDS: Final = frozenset({"provider", "requests"})
_REQUEST_FIELDS: Final = frozenset({"action", "requestid", "externalid", *SENT})
_ACTIONS: Final = frozenset({"dispatch", "release"})


class Malformed(ValueError):
    """The body is not an Invocation; `str()` is the message of the 400."""


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One request of an Invocation; None where a field is absent.

    `content` is the canonical JSON (keys sorted, no white space) of the request without `requestid`, an absent
    `action` written as `dispatch` [S].
    """

    action: str
    requestid: str | None
    externalid: str | None
    route: str | None
    content: bytes


@dataclass(frozen=True, slots=True)
class ReceivedInvocation:
    """The body of one invoke call."""

    provider: str | None
    requests: tuple[ReceivedRequest, ...]


def read_invocation(body: bytes) -> ReceivedInvocation:
    """Return the Invocation of a body; raises Malformed. That one bad request refuses the whole body is assumed."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Malformed(f"The body is not JSON: {error}") from error
    _check_object(value, "The body", _INVOCATION_FIELDS)
    requests = value.get("requests")
    if not isinstance(requests, list):
        raise Malformed("requests: a list is expected")
    provider = _text(value, "provider")
    return ReceivedInvocation(provider, tuple(_request(item, f"requests[{n}]") for n, item in enumerate(requests)))


def _request(item: Any, where: str) -> ReceivedRequest:
    _check_object(item, where, _REQUEST_FIELDS)
    content = {"action": "dispatch", **item}
    action = _text(content, "action", f"{where}.")
    if action not in _ACTIONS:
        raise Malformed(f"{where}.action: {action!r} is neither dispatch nor release")
    if not isinstance(item.get("linkeddata", []), list):
        raise Malformed(f"{where}.linkeddata: a list is expected")
    if not isinstance(item.get("routingdata", {}), dict):
        raise Malformed(f"{where}.routingdata: an object is expected")
    requestid, externalid, route = (_text(item, name, f"{where}.") for name in ("requestid", "externalid", "route"))
    content.pop("requestid", None)
    return ReceivedRequest(action, requestid, externalid, route, orjson.dumps(content, option=orjson.OPT_SORT_KEYS))


def _check_object(value: Any, where: str, fields: frozenset[str]) -> None:
    if not isinstance(value, dict):
        raise Malformed(f"{where}: an object is expected")
    if unknown := sorted(value.keys() - fields):
        raise Malformed(f"{where}: unknown field {unknown[0]!r}")


def _text(item: dict[str, Any], name: str, where: str = "") -> str | None:
    value = item.get(name)
    if name in item and not (isinstance(value, str) and value):
        raise Malformed(f"{where}{name}: a string that is not empty is expected")
    return value
