"""The stone that `state migrate` leaves where a state was: it says where that went. Pure."""

from __future__ import annotations

from typing import Final

import orjson

from reconciler.errors import StateError
from reconciler.escape import brief
from reconciler.state.model import State

_KEY: Final = "reconciler_state_moved_to"
_LONGEST: Final = 10_000


def stone(to: str, state: State) -> bytes:
    """Return what is left in the place of a state that is in another one now."""
    kept = {_KEY: to, "lineage": state.lineage, "serial": state.serial}
    return orjson.dumps(kept, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def is_stone(data: bytes) -> bool:
    """Whether this is no state, but says where it went."""
    return moved_to(data) is not None


def moved_to(data: bytes) -> str | None:
    """Return where the state is that was here; None for all that is no stone."""
    if len(data) > _LONGEST or _KEY.encode() not in data:
        return None
    try:
        return str(orjson.loads(data)[_KEY])
    except (ValueError, KeyError, TypeError):
        return None


class StateMoved(StateError):
    """There was a state here once."""


def refuse_moved(data: bytes, place: str) -> None:
    """Raise StateMoved for a stone."""
    if (to := moved_to(data)) is not None:
        raise StateMoved(
            f"{place}: the state was moved to {brief(to)}",
            hint="Set state in reconciler.yaml, RECONCILER_STATE or --state to that place.",
        )
