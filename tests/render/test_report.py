"""What became of an apply, as text: whole outputs, and the exit code that goes with each."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.delivery.report import Report
from reconciler.delivery.retry import NO_REASON
from reconciler.errors import ExitCode
from reconciler.planning.plan import Action, Change, Reason
from reconciler.render.report import report_text
from reconciler.state.model import Failed, Kind, Pending
from tests.golden import assert_golden
from tests.known import failed, interaction, opened, pending, state
from tests.render.plans import HOSTILE

GOLDEN: Final = Path(__file__).parent / "report"
ID: Final = "6f1c2b5e-0000-5000-8000-{:012}".format
UNKNOWN: Final[dict[str, Pending]] = {
    ID(4): pending(interaction("Lost")),
    ID(5): pending(interaction("Burning"), Kind.BURN),
    ID(6): pending(interaction("once:it's here"), held="no such route"),
}
UNSENT: Final[dict[str, Pending]] = {
    ID(7): pending(interaction("Burning"), Kind.TOLERANT, 1, unsent=True),
    ID(8): pending(interaction("Waiting"), unsent=True),
}
FAILED: Final = (
    (ID(1), failed(interaction("ObjectId_017"), attempts=3, reason=NO_REASON)),
    (ID(2), failed(interaction("ObjectId_009"), "release", reason="the API answered 400: no such route")),
)
DONE: Final = Counter({Kind.DISPATCH: 2, Kind.RELEASE: 3, Kind.TOLERANT: 1, Kind.BURN: 1})


def report(**parts: Any) -> Report:
    """Return a report; by default nothing went wrong."""
    usual: dict[str, Any] = {
        "state": state(serial=12, interactions={"A": opened(interaction("A"))}),
        "succeeded": DONE,
        "failed": (),
        "problems": (),
        "interrupted": False,
        "gave_up": False,
    }
    return Report(**{**usual, **parts})


def many() -> tuple[tuple[str, Failed], ...]:
    """Return more failures than are shown."""
    return tuple((ID(number), failed(interaction(f"A{number}"))) for number in range(52))


def hostile() -> Report:
    """Return a report whose every text is hostile."""
    text = "\x1b[31m\u202e\n".join(HOSTILE)
    sent = interaction(text)
    return report(
        state=state(pending={ID(1): pending(interaction(f"once:{text}"), held=text)}),
        failed=((ID(2), failed(sent, reason=text, source=text)),),
        problems=(text,),
    )


REPORTS: Final = {
    "done": report(),
    "failed": report(failed=FAILED),
    "unknown": report(state=state(serial=12, pending=UNKNOWN), problems=("the API did not answer in time",)),
    "held": report(
        state=state(
            serial=12,
            pending={ID(4): pending(interaction("Lost")), **UNSENT},
            failed={ID(9): failed(interaction("-Guarded"), resent=True)},
        ),
        holds=(Change(Action.HOLD, "-Guarded", Reason.HELD_MAYBE_OPEN),),
    ),
    "held-by-policy": report(state=state(serial=12, pending=UNKNOWN), hold_unknown=True),
    "unsent": report(state=state(serial=12, pending=UNSENT), problems=("the API answered 403: no",), gave_up=True),
    "interrupted": report(state=state(serial=12, pending=UNSENT), interrupted=True),
    "everything": report(
        state=state(serial=12, pending={**UNKNOWN, **UNSENT}),
        failed=FAILED,
        problems=("the API answered 403: no", "the API did not answer in time"),
        interrupted=True,
        gave_up=True,
    ),
    "many": report(failed=many()),
    "hostile": hostile(),
}


@pytest.mark.parametrize("name", REPORTS)
def test_report(name: str) -> None:
    """The closing text tells what failed, what is unknown, what was not sent, and what the next apply does about it."""
    assert_golden(report_text(REPORTS[name]), GOLDEN / f"{name}.txt")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("done", ExitCode.DONE),
        ("failed", ExitCode.REQUESTS_FAILED),
        ("unknown", ExitCode.UNKNOWN),
        ("held", ExitCode.UNKNOWN),
        ("held-by-policy", ExitCode.UNKNOWN),
        ("unsent", ExitCode.ERROR),
        ("interrupted", ExitCode.INTERRUPTED),
        ("everything", ExitCode.ERROR),
    ],
)
def test_exit_code(name: str, code: ExitCode) -> None:
    """Where several hold: 1, then 130, 7, 4, 0."""
    assert REPORTS[name].exit_code is code


def test_what_waits_for_a_person_is_not_said_to_be_settled_by_the_next_apply() -> None:
    """Under `on_unknown: hold` whatever is unknown waits; and so it does if nothing but a hold is left."""
    assert "The next apply" not in report_text(REPORTS["held-by-policy"])
    only_held = report(holds=(Change(Action.HOLD, "A", Reason.HELD_MAYBE_CLOSED),))
    assert (only_held.exit_code, only_held.unknown) == (ExitCode.UNKNOWN, ())


def test_exit_codes_in_order() -> None:
    """Taking away the strongest reason each time, the next one shows."""
    lost = state(pending=UNKNOWN)
    assert report(state=lost, failed=FAILED, interrupted=True, gave_up=True).exit_code is ExitCode.ERROR
    assert report(state=lost, failed=FAILED, interrupted=True).exit_code is ExitCode.INTERRUPTED
    assert report(state=lost, failed=FAILED).exit_code is ExitCode.UNKNOWN
    assert report(failed=FAILED).exit_code is ExitCode.REQUESTS_FAILED
    assert report().exit_code is ExitCode.DONE


@given(st.text())
def test_nothing_unprintable_comes_out(text: str) -> None:
    """Whatever the API said, the text is printable characters and our own line breaks."""
    shown = report_text(report(failed=((ID(1), failed(interaction("A"), reason=text)),), problems=(text,)))
    assert shown.replace("\n", "").isprintable()
    assert len(shown.splitlines()) == 8
