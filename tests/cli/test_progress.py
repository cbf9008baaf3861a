"""How far a run is: a line that fits the terminal, or a few lines in a log."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from unittest import mock

import pytest

from reconciler.cli.console import Console
from reconciler.cli.gauge import ReadingProgress
from reconciler.cli.progress import ProgressLine
from reconciler.declarations.loader import load
from reconciler.delivery.events import Ended, Settled, Started, Waiting
from tests.clock import QuickClock
from tests.conftest import ROOT
from tests.known import RULES


class Screen(io.StringIO):
    """A stream that calls itself a terminal."""

    def isatty(self) -> bool:
        """See io.IOBase."""
        return True


def console(stream: io.StringIO, columns: int = 80) -> Console:
    """Return a console whose stderr is the stream."""
    with contextlib.redirect_stderr(stream):
        return Console({"COLUMNS": str(columns), "NO_COLOR": "1"})


def drawn(stream: io.StringIO) -> list[str]:
    """Return what was drawn over each other, in order."""
    return [part.removesuffix("\x1b[K") for part in stream.getvalue().split("\r")[1:]]


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 160])
def test_on_a_terminal_it_is_one_line(columns: int) -> None:
    """Counts, failures, rate and the time left, never wider than the terminal, and gone at the end."""
    stream, clock = Screen(), QuickClock()
    line = ProgressLine(console(stream, columns), clock.monotonic)
    line.told(Started((), 50_000))
    clock.passed = 10
    line.told(Settled((), 9_999, 1))
    clock.passed = 20
    line.told(Waiting(12.34, "the API answered 503: " + "Maintenance, " * 30, cause="backoff"))
    line.told(Ended())
    first, counted, waiting, last = drawn(stream)
    assert "0/50,000 requests answered" in first
    assert ("requests answered" in counted) is (columns >= 80)
    assert ", 1 failed · 1,000/s" in counted
    assert columns < 60 or counted.endswith(" · 40 s left")
    assert ("=" in counted) is (columns >= 60)
    assert waiting.startswith("10,000/50,000 · ") is (columns >= 60)
    assert waiting.endswith("…; trying again in 12.3 s")
    assert max(map(len, drawn(stream))) < columns
    assert last == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.5, ""), (2, " · 50/s · 18 s left"), (50, " · 2.0/s · 8 min left"), (1000, " · 0.1/s · 2 h left")],
)
def test_the_time_left(seconds: float, said: str) -> None:
    """It follows from the rate so far; after less than a second a rate says nothing."""
    stream, clock = io.StringIO(), QuickClock()
    line = ProgressLine(console(stream), clock.monotonic)
    line.told(Started((), 1000))
    clock.passed = seconds
    line.told(Settled((), 100, 0))
    assert stream.getvalue() == f"100/1,000 requests answered{said}\n"


def test_a_log_has_a_line_for_each_tenth() -> None:
    """Elsewhere there is no cursor to move: a line for each tenth of the way, and one after 30 seconds without."""
    stream, clock = io.StringIO(), QuickClock()
    line = ProgressLine(console(stream), clock.monotonic)
    line.told(Started((), 1000))
    for _ in range(1000):
        line.told(Settled((), 1, 0))
    assert [said.partition("/")[0] for said in stream.getvalue().splitlines()] == [
        *(str(number) for number in range(100, 1000, 100)),
        "1,000",
    ]
    slow = ProgressLine(console(stream := io.StringIO()), clock.monotonic)
    slow.told(Started((), 1000))
    for _ in range(65):
        clock.passed += 1
        slow.told(Settled((), 1, 0))
    assert re.findall(r"^\d+", stream.getvalue(), re.MULTILINE) == ["30", "60"]
    assert "\r" not in stream.getvalue()


def test_what_is_said_meanwhile_has_a_line_of_its_own() -> None:
    """A warning takes the place of the line; after Ctrl-C, whose `^C` a terminal shows, a new one begins."""
    stream, clock = Screen(), QuickClock()
    told = console(stream)
    line = ProgressLine(told, clock.monotonic)
    line.told(Started((), 10))
    told.warn("careful")
    assert stream.getvalue().endswith("\r\x1b[KWarning: careful\n")
    line.told(Settled((), 10, 0))
    told.leave_line()
    told.note("Stopping")
    assert stream.getvalue().endswith("10/10 requests answered\x1b[K\nStopping\n")


def test_reading_tells_how_far_it_is() -> None:
    """On a terminal, once it takes longer than a moment; in a log only after 30 seconds."""
    screen, log, clock = Screen(), io.StringIO(), QuickClock()
    both = [ReadingProgress(console(stream), clock.monotonic) for stream in (screen, log)]
    for seconds, done in ((0.1, 1000), (2, 20_000), (40, 80_000), (50, 100_000)):
        clock.passed = seconds
        for progress in both:
            progress(done, 100_000)
    first, second, last = drawn(screen)
    assert first.endswith(" 20,000/100,000 files read · 10,000/s · 8 s left")
    assert second.endswith(" 80,000/100,000 files read · 2,000/s · 10 s left")
    assert last == ""
    assert log.getvalue() == "80,000/100,000 files read · 2,000/s · 10 s left\n"


@pytest.mark.parametrize("processes", [1, 2])
def test_reading_counts_every_file(tmp_path: Path, processes: int) -> None:
    """The numbers grow up to all files, whoever reads them."""
    for number in range(300):
        (tmp_path / f"{number}.yaml").write_text(f"interactions: [{{externalid: a{number}, route: R}}]\n", "utf-8")
    told: list[tuple[int, int]] = []
    loader = "reconciler.declarations.loader"
    with mock.patch(f"{loader}.SPREAD_FILES", 1), mock.patch(f"{loader}.cores", return_value=processes):
        load(tmp_path, RULES, base=ROOT, told=lambda done, total: told.append((done, total)))
    assert told == sorted(told)
    assert told[-1] == (300, 300)
    assert len(told) == 3
