"""While a run holds the state, others remove, replace or edit its files: it stops, and what it sent is not lost."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from reconciler.errors import StateError
from reconciler.state import codec
from reconciler.state.stores.local import LocalStore
from tests.api import SandboxServer
from tests.api.record import Call
from tests.command import Workplace
from tests.known import state
from tests.state.stores.three import (
    APPLY,
    JOURNAL,
    LOCK,
    NEW,
    STATE,
    completes,
    invoked,
    nothing_more_than,
    state_path,
    stopped,
)

HELD: Final = "while this run held it"
Event = Callable[[Path], None]


def lock_removed(kept: Path) -> None:
    """Remove the lock, as who takes it for a left-over does."""
    (kept / LOCK).unlink()


def lock_replaced(kept: Path) -> None:
    """Let another lock stand in its place, as another run does that found none."""
    (kept / LOCK).unlink()
    (kept / LOCK).touch()


def state_removed(kept: Path) -> None:
    """Remove the state alone."""
    (kept / STATE).unlink()


def state_restored(kept: Path) -> None:
    """Put the state of before the run in place of the run's, as `git checkout` does."""
    (kept / STATE).unlink()
    shutil.copy(kept.parent / "before", kept / STATE)


def state_overwritten(kept: Path) -> None:
    """Write the state of before the run into the file of the run's, as an editor may."""
    (kept / STATE).write_bytes((kept.parent / "before").read_bytes())


def state_damaged(kept: Path) -> None:
    """Leave something that is no state."""
    (kept / STATE).write_bytes(b"<<<<<<< HEAD\n")


def state_made_a_pipe(kept: Path) -> None:
    """Leave what would be waited for."""
    (kept / STATE).unlink()
    subprocess.run(["mkfifo", kept / STATE], check=True)


def cleaned(kept: Path) -> None:
    """Remove what git doesn't know, and what it ignores."""
    subprocess.run(["git", "init", "-q"], cwd=kept, check=True)
    subprocess.run(["git", "clean", "-fdxq"], cwd=kept, check=True)
    assert [path.name for path in kept.iterdir()] == [".git"]


def folder_removed(kept: Path) -> None:
    """Remove all of it."""
    shutil.rmtree(kept)


def journal_removed(kept: Path) -> None:
    """Remove the journal alone."""
    (kept / JOURNAL).unlink()


def journal_cut(kept: Path) -> None:
    """Take away the last record."""
    (kept / JOURNAL).write_bytes(b"")


def journal_replaced(kept: Path) -> None:
    """Put a copy in its place."""
    (kept / JOURNAL).rename(kept / "moved")
    shutil.copy(kept / "moved", kept / JOURNAL)


ANY_TIME: Final[list[Event]] = [
    lock_removed,
    lock_replaced,
    state_removed,
    state_restored,
    state_overwritten,
    state_damaged,
    state_made_a_pipe,
    cleaned,
    folder_removed,
]
BEHIND_A_RECORD: Final[list[Event]] = [journal_removed, journal_cut, journal_replaced]


def disturb(place: Workplace, server: SandboxServer, event: Event, call: int) -> str:
    """Let the event happen while the n-th call is served; check that nothing more is sent, and return what is said."""
    kept = state_path(place).parent
    shutil.copy(state_path(place), place.folder / "before")

    def happen(each: Call) -> None:
        if each.kind == "invoke" and invoked(server) == call:
            event(kept)

    server.on_processed = happen
    with nothing_more_than(call, server):
        ran = place.run(*APPLY)
    server.on_processed = None
    stopped(ran, kept / STATE, HELD)
    return ran.err


@pytest.mark.parametrize(
    ("event", "call"),
    [(event, call) for event in ANY_TIME for call in (1, 3)] + [(event, 2) for event in BEHIND_A_RECORD],
)
def test_a_run_stops_and_what_it_sent_is_settled(
    elsewhere: Workplace, server: SandboxServer, event: Event, call: int
) -> None:
    """Nothing more is sent; after what the error says to do, if anything, one more apply dispatches the rest."""
    said = disturb(elsewhere, server, event, call)
    if advice := re.search(r"put it back: (mv .*)\. Then: reconciler apply$", said, re.MULTILINE):
        subprocess.run(["bash", "-c", advice[1]], check=True)
    completes(elsewhere, server)


def test_a_run_from_the_same_state_settles_it_too(elsewhere: Workplace, server: SandboxServer) -> None:
    """Where the state of before the run is put back, the next one sends the same requestids, and none is doubled."""
    disturb(elsewhere, server, state_restored, 1)
    completes(elsewhere, server)


def test_a_state_put_back_before_the_journal_is_refused(elsewhere: Workplace, server: SandboxServer) -> None:
    """Once outcomes are known, an older state is not gone on with unawares."""
    disturb(elsewhere, server, state_restored, 2)
    with nothing_more_than(2, server):
        stopped(elsewhere.run(*APPLY), elsewhere.folder / "kept", "the state was restored from an older copy")


@pytest.mark.parametrize("by", ["nothing", "a file"])
@pytest.mark.parametrize("call", [1, 3])
def test_a_folder_that_goes_away(elsewhere: Workplace, server: SandboxServer, call: int, by: str) -> None:
    """A folder that is moved away, or replaced by a file: once it is back, the next run goes on where this one was."""
    disturb(elsewhere, server, lambda kept: take_away(kept, by), call)
    put_back(elsewhere.folder / "kept")
    completes(elsewhere, server)


@pytest.mark.parametrize("by", ["nothing", "a file"])
def test_a_folder_that_was_never_there(elsewhere: Workplace, server: SandboxServer, by: str) -> None:
    """Where the state's folder is missing, there is no state: refused, and nothing is sent or made."""
    kept = elsewhere.folder / "kept"
    take_away(kept, by)
    ran = elsewhere.run(*APPLY)
    assert ran.code == 5
    assert ran.err.startswith("Error: kept: ")
    assert server.calls == []
    assert not kept.is_dir()
    put_back(kept)
    completes(elsewhere, server)


def take_away(folder: Path, by: str) -> None:
    """Move a folder away, and put nothing or a file in its place."""
    folder.rename(folder.with_name("away"))
    if by == "a file":
        folder.write_bytes(b"")


def put_back(folder: Path) -> None:
    """Undo that."""
    folder.unlink(missing_ok=True)
    folder.with_name("away").rename(folder)


def touched(kept: Path) -> None:
    """Change times and permissions."""
    (kept / STATE).touch()
    (kept / STATE).chmod(0o640)


def copied(kept: Path) -> None:
    """Put another file of the same content in its place, as some file systems and tools do by themselves."""
    shutil.copy(kept / STATE, kept / "copy")
    (kept / "copy").replace(kept / STATE)


@pytest.mark.parametrize("event", [touched, copied])
def test_what_says_the_same_is_the_same(elsewhere: Workplace, server: SandboxServer, event: Event) -> None:
    """A state that is another file, but says what it did, stops nobody."""
    kept = elsewhere.folder / "kept"
    server.on_processed = lambda call: event(kept) if call.kind == "invoke" else None
    assert elsewhere.run(*APPLY).code == 0
    server.on_processed = None
    completes(elsewhere, server)


@pytest.mark.parametrize("act", ["create", "back_up", "save", "append"])
def test_nothing_is_written_over_what_others_wrote(tmp_path: Path, act: str) -> None:
    """Whatever a command writes first, it is refused if the state is another one by then, and nothing is set aside."""
    path = tmp_path / STATE
    old, new = b"".join(codec.encode(state(serial=3))), b"".join(codec.encode(state(serial=4)))
    if act != "create":
        path.write_bytes(old)
    with LocalStore(path).hold("test") as store:
        found = store.read().state if act != "create" else state()
        path.write_bytes(new)
        acts = {"create": (found,), "back_up": (found,), "save": (found,), "append": ([],)}
        with pytest.raises(StateError, match="already" if act == "create" else f"replaced, edited or removed {HELD}"):
            getattr(store, act)(*acts[act])
    assert (path.read_bytes(), {each.name for each in tmp_path.iterdir()} - {NEW}) == (new, {STATE, LOCK})
