"""Processes run and measured: wall time, CPU time with that of children, peak memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Run:
    """Seconds on the clock and on all cores, peak memory of its largest process in MB; of one run, or medians.

    `rounds` are the seconds on the clock of each run that the medians are of, `cpu_rounds` those on all cores.
    """

    seconds: float
    cpu: float
    memory: float
    rounds: tuple[float, ...] = ()
    cpu_rounds: tuple[float, ...] = ()


def ratios(one: Sequence[float], other: Sequence[float]) -> list[float]:
    """Return the ratios round by round, sorted: a machine that slows down for a while slows both sides."""
    return sorted(mine / theirs for mine, theirs in zip(one, other, strict=True))


@contextmanager
def busy_core() -> Iterator[None]:
    """Keep a core busy with something else."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as spinner:
        try:
            yield
        finally:
            spinner.kill()


@dataclass(frozen=True)
class Case:
    """What to run, where; `before` is done before each run and not measured."""

    command: Sequence[str]
    folder: Path
    env: Mapping[str, str]
    before: Callable[[], None] | None = None


def run(case: Case) -> Run:
    """Run a process to its end; what it prints is written to a file, as a pipeline's log is."""
    if case.before:
        case.before()
    log = case.folder / "log.txt"
    with log.open("wb") as out:
        began = time.perf_counter()
        process = subprocess.Popen(
            case.command, cwd=case.folder, env=case.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(
            f"{case.command} ended with {process.returncode}:\n{log.read_text(errors='replace')[-2000:]}"
        )
    return Run(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def alternately(cases: Mapping[str, Case], rounds: int) -> dict[str, Run]:
    """Return the medians of so many rounds, each of which runs every case once: what disturbs one disturbs all."""
    runs: dict[str, list[Run]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            runs[name].append(run(case))
    return {name: _median(each) for name, each in runs.items()}


def _median(runs: Sequence[Run]) -> Run:
    return Run(
        statistics.median(each.seconds for each in runs),
        statistics.median(each.cpu for each in runs),
        max(each.memory for each in runs),
        tuple(each.seconds for each in runs),
        tuple(each.cpu for each in runs),
    )


def together(case: Case) -> float:
    """Return the peak memory in MB of a process and its children together, each shared page counted once."""
    peak, ended = 0.0, threading.Event()
    mine = os.getpid()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.02):
            peak = max(peak, sum(_proportional(pid) for pid in _descendants(mine)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run(case)
    finally:
        ended.set()
        watcher.join()
    return peak


def _descendants(pid: int) -> list[int]:
    try:
        children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [each for child in children for each in (child, *_descendants(child))]


def _proportional(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
