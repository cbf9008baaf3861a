"""What every store does for the commands and for an apply, wherever it keeps the state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from reconciler.errors import StateError, StateLocked, StateMissing
from reconciler.state.journal import Record
from reconciler.state.model import Outcome, Result
from reconciler.state.stores.interface import Store, StoredState
from reconciler.state.transitions import fold
from tests.known import AT, LINEAGE, interaction, pending, state
from tests.servers import COMMANDS
from tests.state.stores.places import OBJECTS, local, shared

ONE: Final = state(pending={"p1": pending(interaction("A")), "p2": pending(interaction("B"))})
DONE: Final = (Outcome("p1", Result.SUCCEEDED), Outcome("p2", Result.FAILED, "no"))
Opener = Callable[[], Store]


def record(*outcomes: Outcome) -> Record:
    """Return the record of outcomes of ONE."""
    return Record(LINEAGE, ONE.serial, AT, outcomes)


LATER: Final = ("google", *COMMANDS)
"""They differ from the others in what Objects hides."""


@pytest.fixture(
    params=["file", *(pytest.param(name, marks=pytest.mark.soak if name in LATER else ()) for name in OBJECTS)]
)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Give each of the stores, opened anew by each run."""
    return local(tmp_path) if request.param == "file" else shared(OBJECTS[request.param](tmp_path))


@pytest.fixture
def kept(opener: Opener) -> Opener:
    """Give the same, with ONE in it."""
    with opener().hold("test") as writer:
        writer.create(ONE)
    return opener


def test_a_state_is_made_once(opener: Opener) -> None:
    """There is none until it is created, and what was created is kept."""
    with pytest.raises(StateMissing):
        opener().read()
    with opener().hold("init") as writer:
        with pytest.raises(StateMissing):
            writer.read()
        writer.create(ONE)
    with opener().hold("init") as writer, pytest.raises(StateError, match="there is a state already"):
        writer.create(state(serial=9))
    assert opener().read() == StoredState(ONE, left_over=False)


def test_what_is_saved_is_read_by_all(kept: Opener) -> None:
    """A state that is saved is there at once, for others and for the next who holds it."""
    with kept().hold("apply") as writer:
        assert writer.read() == StoredState(ONE, left_over=False)
        for serial in (8, 9):
            writer.save(state(serial=serial))
            assert kept().read().state == state(serial=serial)
    with kept().hold("apply") as writer:
        assert writer.read().state == state(serial=9)


def test_outcomes_are_there_once_settled(kept: Opener) -> None:
    """What was appended and settled is read by all, before it is folded and after."""
    with kept().hold("apply") as writer:
        writer.read()
        writer.save(ONE)
        for outcome in DONE:
            writer.append([record(outcome)])
        writer.settle()
        folded = fold(ONE, [(outcome, AT) for outcome in DONE])
        assert kept().read() == StoredState(folded, left_over=True)
        writer.save(folded)
    assert kept().read() == StoredState(folded, left_over=False)


def test_outcomes_of_a_run_that_ended_early_are_kept(kept: Opener) -> None:
    """What was appended by a run that then failed is left to the next, which folds it."""

    def fail() -> None:
        with kept().hold("apply") as writer:
            writer.read()
            writer.save(ONE)
            writer.append([record(DONE[0])])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with kept().hold("apply") as writer:
        found = writer.read()
        assert found == StoredState(fold(ONE, [(DONE[0], AT)]), left_over=True)
        writer.save(found.state)
    assert kept().read() == StoredState(found.state, left_over=False)


def test_one_at_a_time_holds_it(kept: Opener) -> None:
    """Who comes second is refused, and told who came first; once that is done, it is free."""
    with kept().hold("apply") as first:
        first.read()
        with pytest.raises(StateLocked, match=r"@.*, pid \d+, `apply`, since "), kept().hold("state rm"):
            pass
        assert kept().read().state == ONE
        first.save(state(serial=8))
    with kept().hold("state rm") as second:
        assert second.read().state == state(serial=8)


def test_a_holder_that_ends_soon_is_waited_for(kept: Opener) -> None:
    """Who waits is told for whom, and holds the state once the other has given it back."""
    said: list[str] = []
    first = kept().hold("apply")
    first.__enter__()

    def give_back(message: str) -> None:
        said.append(message)
        first.__exit__(None, None, None)

    with kept().hold("state rm", timeout=30, say=give_back) as second:
        second.read()
    [message] = said
    assert message.startswith("Waiting up to 30 s for the lock of ")
    assert "`apply`" in message


def test_a_state_that_moved_is_not_used(kept: Opener) -> None:
    """Once the state is elsewhere, whoever comes is told where; a state may come back there."""
    with kept().hold("state migrate") as writer:
        writer.read()
        writer.leave("git:origin/state")
    with pytest.raises(StateError, match="moved to git:origin/state"):
        kept().read()
    with kept().hold("apply") as writer:
        with pytest.raises(StateError, match="moved to git:origin/state"):
            writer.read()
        writer.create(state(serial=9))
    assert kept().read().state == state(serial=9)
