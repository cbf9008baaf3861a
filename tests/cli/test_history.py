"""What the state remembers of applies, through the front door."""

from __future__ import annotations

from dataclasses import replace

from reconciler.render.history import history_text
from reconciler.state.codec import decode, encode
from reconciler.state.model import Run
from tests.api import SandboxServer
from tests.command import Workplace
from tests.known import AT

APPLY = ("apply", "--auto-approve")
TWO = "interactions: [{externalid: a, route: R}, {externalid: b, route: R}]\n"
JOB = "https://ci.example/runs/7"


def test_each_apply_is_remembered(place: Workplace) -> None:
    """When, by whom, how it ended and what came of it; the newest first."""
    place.declare(TWO)
    assert place.run(*APPLY, env={"RECONCILER_JOB_URL": JOB}).code == 0
    place.declare("interactions: [{externalid: b, route: R, lifecycle: {prevent_release: true}}]\n")
    assert place.run(*APPLY).code == 0
    runs = place.run("history", "--format", "json").json["runs"]
    assert [(run["serial"], run["exit"], run["counts"]) for run in runs] == [
        (place.state["serial"], 0, {"release": 1, "record": 1}),
        (2, 0, {"dispatch": 2}),
    ]
    assert runs[1]["by"] == JOB
    assert "@" in runs[0]["by"]
    text = place.run("history").out
    assert "1 released, 1 recorded" in text
    assert text.index("1 released") < text.index("2 dispatched") < text.index(JOB)
    assert place.run("history", "--limit", "1").out == text[: text.index("\n\n") + 1]


def test_what_only_writes_the_state_is_remembered_with_one_write(place: Workplace, server: SandboxServer) -> None:
    """A record alone sends nothing, and has its place in the history."""
    place.declare(TWO)
    place.run(*APPLY)
    serial, calls = place.state["serial"], len(server.calls)
    place.declare("# moved\n" + TWO, "other.yaml")
    (place.folder / "interactions" / "crm.yaml").unlink()
    assert place.run(*APPLY).code == 0
    assert (place.state["serial"], len(server.calls)) == (serial + 1, calls)
    assert place.state["history"][-1]["counts"] == {"record": 2}


def test_what_had_nothing_to_do_leaves_no_trace(place: Workplace) -> None:
    """A second apply of the same writes nothing, and there is nothing to tell of a new state."""
    assert place.run("history").out == "No apply is remembered.\n"
    place.declare(TWO)
    place.run(*APPLY)
    before = place.state_path.read_bytes()
    assert place.run(*APPLY).code == 0
    assert place.state_path.read_bytes() == before


def test_it_is_bounded(place: Workplace) -> None:
    """Fifty applies are remembered, and the oldest gives way to the newest."""
    path = place.state_path
    many = tuple(Run(number, AT, "ada@laptop", "apply", 0, {}) for number in range(50))
    state = decode(path.read_bytes(), "s")
    path.write_bytes(b"".join(encode(replace(state, serial=60, history=many))))
    place.declare(TWO)
    assert place.run(*APPLY).code == 0
    assert [run["serial"] for run in place.state["history"]] == [*range(1, 50), 62]


def test_the_text_fits_the_width() -> None:
    """No line is longer than the terminal is wide, and nothing acts on it."""
    counts = dict.fromkeys(["dispatch", "release", "burn", "tolerant-release", "forget", "record", "failed"], 10**6)
    by = "https://ci.example/\x1b[2J" + "a" * 200
    run = Run(12345, AT, by, "apply PLAN", 130, {**counts, "unknown": 1, "held": 7}, "f" * 40, dirty=True)
    for width in (60, 80, 160):
        text = history_text([run, run], width)
        assert max(map(len, text.splitlines())) <= width
        assert "\x1b" not in text
    assert "commit ffffffffffff, with uncommitted changes" in text
