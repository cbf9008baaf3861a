"""States and requests by content, for tests of the core: digests are computed, all else has a plain default."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from reconciler.config.settings import Configuration
from reconciler.delivery.batch import Request
from reconciler.delivery.ports import ApplyOptions
from reconciler.interaction import (
    NO_FIELDS,
    Interaction,
    Place,
    content_digest,
    dispatch_body,
    is_once,
    packed,
    public_fields,
    release_body,
)
from reconciler.state.model import ApiAction, Failed, Kind, Open, Pending, State, Target

DEFAULTS: Final = Configuration()
POLICY, LIMITS, RULES = DEFAULTS.plan_policy, DEFAULTS.limits, DEFAULTS.rules
OPTIONS: Final = ApplyOptions(DEFAULTS.width, DEFAULTS.request_bytes, POLICY.sensitive)
LINEAGE: Final = "11111111-2222-4333-8444-555555555555"
TARGET: Final = Target("https://api.test")
NOW: Final = datetime(2026, 1, 2, 12, tzinfo=UTC)
AT: Final = "2026-01-02T11:00:00Z"
SOURCE: Final = "interactions/crm.yaml"


def interaction(address: str = "A", provider: str | None = "Crm", route: str = "Day", **more: Any) -> Interaction:
    """Return a declared interaction; `more` are parts of its request, or fields of Interaction."""
    request: dict[str, Any] = {name: more.pop(name) for name in ("linkeddata", "routingdata") if name in more}
    body = dispatch_body(None if is_once(address) else address, {"route": route, **request})
    place = more.pop("place", Place(SOURCE, 3))
    return Interaction(address, provider, body, content_digest(provider, body), place, **more)


def opened(declared: Interaction, **more: Any) -> Open:
    """Return the interaction as it is in the state, once dispatched."""
    fields = packed(public_fields(declared.request, POLICY.sensitive))
    usual = {"requestid": "o1", "at": AT, "source": declared.place.file, "prevent_release": declared.prevent_release}
    return Open(declared.provider, declared.digest, **{**usual, "fields": fields, **more})


def pending(declared: Interaction, kind: Kind = Kind.DISPATCH, order: int = 0, **more: Any) -> Pending:
    """Return a request about the interaction that is pending."""
    fields = packed(public_fields(declared.request, POLICY.sensitive)) if kind is Kind.DISPATCH else NO_FIELDS
    usual = {"at": AT, "source": declared.place.file, "fields": fields, "prevent_release": declared.prevent_release}
    return Pending(declared.address, order, kind, declared.provider, declared.digest, **{**usual, **more})


def failed(declared: Interaction, action: ApiAction = "dispatch", **more: Any) -> Failed:
    """Return a failed request about the interaction."""
    usual = {"attempts": 1, "first": AT, "last": AT, "reason": "no", "source": declared.place.file}
    return Failed(declared.address, action, declared.provider, declared.digest, **{**usual, **more})


def state(**parts: Any) -> State:
    """Return a state with serial 7; `parts` are its fields."""
    return State(LINEAGE, **{"serial": 7, "target": TARGET, **parts})


def request(requestid: str, declared: Interaction, kind: Kind = Kind.DISPATCH, **more: Any) -> Request:
    """Return a request about the interaction as it goes out."""
    body = declared.body if kind is Kind.DISPATCH else release_body(declared.address)
    return Request(requestid, declared.address, kind, declared.provider, body, **more)
