"""Reading over processes: the same as reading alone, whatever the machine refuses and whoever is killed."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest import mock

import pytest

from reconciler.declarations import loader as loading
from reconciler.declarations import parallel
from reconciler.declarations.loader import SPREAD_FILES, load
from reconciler.errors import DeclarationError
from reconciler.state.stores.local import LocalStore
from tests.benchmarks import workload
from tests.command import COMMAND, Workplace
from tests.conftest import ROOT
from tests.known import RULES

PATIENCE = 60.0
NOWHERE = {"RECONCILER_BASE_URL": "http://127.0.0.1:9"}
SPREADS = pytest.mark.skipif(parallel.cores() < 2, reason="one core, or no Linux: everything is read in one process")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """Give a folder with so many declarations that they are read over processes, all of them open."""
    folder = tmp_path_factory.mktemp("many")
    workload.make("block", 2 * SPREAD_FILES, NOWHERE["RECONCILER_BASE_URL"], folder / "new", folder / "open")
    return Workplace(folder / "open", NOWHERE)


def numbered(items: Sequence[int]) -> tuple[int, list[int]]:
    """Return who worked on what."""
    return os.getpid(), list(items)


def spread(work: Callable[[Sequence[int]], tuple[int, list[int]]] = numbered) -> tuple[list[int], set[int]]:
    """Return the items that two processes worked on, in order, and who they were."""
    with parallel.spread(range(10_000), work, 2) as found:
        answers = list(found)
    return sorted(item for _, items in answers for item in items), {who for who, _ in answers}


def test_work_is_spread_and_all_comes_back() -> None:
    """Children do all of it, and nothing is lost or doubled."""
    items, workers = spread()
    assert items == list(range(10_000))
    assert os.getpid() not in workers


def test_what_a_child_that_died_did_not_answer_is_done_here() -> None:
    """A child that is killed loses nothing."""
    parent = os.getpid()

    def fragile(items: Sequence[int]) -> tuple[int, list[int]]:
        if os.getpid() != parent and 640 in items:
            os.kill(os.getpid(), signal.SIGKILL)
        return numbered(items)

    items, workers = spread(fragile)
    assert items == list(range(10_000))
    assert parent in workers


def test_an_error_in_a_child_is_raised_here() -> None:
    """What fails in a child fails again here, where it can be told."""

    def failing(items: Sequence[int]) -> tuple[int, list[int]]:
        if 640 in items:
            raise MemoryError
        return numbered(items)

    with pytest.raises(MemoryError):
        spread(failing)


@pytest.mark.parametrize("ending", ["pass", "raise KeyboardInterrupt"])
def test_no_child_and_no_pipe_is_left(ending: str) -> None:
    """Every child is waited for and every pipe closed, in the middle of the work too."""
    # In a process of its own, for this one may have children of other tests.
    code = f"""
import os, pytest
from reconciler.declarations import parallel
from tests.declarations.test_parallel import numbered
before = os.listdir("/dev/fd")
try:
    with parallel.spread(range(10_000), numbered, 4) as answers:
        next(answers)
        {ending}
except KeyboardInterrupt:
    pass
assert os.listdir("/dev/fd") == before
with pytest.raises(ChildProcessError):
    os.waitpid(-1, os.WNOHANG)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_spread_or_not_the_declarations_are_the_same(tmp_path: Path) -> None:
    """Two processes read what one reads: interactions, warnings and problems alike."""
    workload.declare(tmp_path, "block", 300)
    root = tmp_path / "interactions"
    one = load(root, RULES, base=tmp_path)
    with mock.patch.object(loading, "SPREAD_FILES", 1), mock.patch.object(loading, "cores", return_value=2):
        assert load(root, RULES, base=tmp_path) == one
        (root / "000" / "case-0000007.yaml").write_text("interactions: [{externalid: Case_0000008, rout: R}]\n")
        (root / "000" / "case-0000290.yaml").write_text("interactions: [\n")
        with pytest.raises(DeclarationError) as spread:
            load(root, RULES, base=tmp_path)
    with pytest.raises(DeclarationError) as alone:
        load(root, RULES, base=tmp_path)
    assert spread.value.problems == alone.value.problems
    assert {"duplicate-identity", "unknown-field", "yaml-syntax"} <= {each.code for each in spread.value.problems}


def test_few_files_are_read_in_this_process(tmp_path: Path) -> None:
    """Forking is not worth it for a few files."""
    workload.declare(tmp_path, "block", 10)
    with mock.patch("os.fork", side_effect=AssertionError):
        assert len(load(tmp_path / "interactions", RULES, base=tmp_path).interactions) == 10


# -- what the machine refuses ------------------------------------------------------------------------------------------


def limited(
    place: Workplace, kind: int, most: int, command: str = "plan", launcher: Sequence[str] = ()
) -> tuple[int, str]:
    """Return how a command ends under a limit of the system, and what it says."""
    process = subprocess.Popen(
        [*launcher, *COMMAND, command],
        cwd=place.folder,
        env={**os.environ, **place.env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: resource.setrlimit(kind, (most, most)),  # noqa: PLW1509  # no threads here
    )
    with process:
        try:
            said, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    return process.returncode, said


@SPREADS
@pytest.mark.parametrize("more", range(2))
def test_without_processes_to_be_had_it_reads_alone(many: Workplace, more: int) -> None:
    """Where the first or the second process can't be forked, the plan is the same."""
    launcher = []
    if os.geteuid() == 0:  # whom this limit doesn't bind: a user of nothing else, who may read what root may
        user = f"--reuid={61_000 + os.getpid() % 4_000}"
        launcher = ["setpriv", user, "--clear-groups", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    code, said = limited(many, resource.RLIMIT_NPROC, 1 + more, launcher=launcher)
    assert (code, "No changes: 2000 interactions open" in said) == (0, True), said


@pytest.mark.parametrize("most", [6, 10, 14])
def test_with_few_files_open_at_once_it_reads_all_the_same(many: Workplace, most: int) -> None:
    """Where pipes can't be had, the plan is the same; where hardly a file can be opened, it says so."""
    code, said = limited(many, resource.RLIMIT_NOFILE, most)
    assert "Traceback" not in said
    if code == 0:
        assert "No changes: 2000 interactions open" in said
    else:
        assert code == 1
        assert "too many open files" in said.lower()


def test_with_little_memory_it_says_so(many: Workplace, tmp_path: Path) -> None:
    """Where the values of a file don't fit into memory, neither here nor in a child, that is what is said."""
    shutil.copytree(many.folder / "interactions", tmp_path / "interactions")
    place = Workplace(tmp_path, NOWHERE)
    place.declare(f'interactions: [{{externalid: A, route: "{"x" * 50_000_000}"}}]\n')
    ended = limited(place, resource.RLIMIT_AS, 120_000_000, "validate")
    assert ended == (1, "Error: there is not enough memory\n")


def test_a_library_that_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    """Where there is no memory to load a library, or half of it is missing, it says so without a traceback."""
    (tmp_path / "pydantic_core.py").write_text("raise ImportError('failed to map segment')")
    ran = Workplace(tmp_path, {"PYTHONPATH": str(tmp_path)}).process("validate")
    assert (ran.code, "Traceback" in ran.err) == (1, False)
    assert "Error: a part can't be loaded: failed to map segment\n" in ran.err


# -- who is interrupted or killed --------------------------------------------------------------------------------------


def children(parent: int) -> set[int]:
    """Return the processes whose parent this is."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int((process / "stat").read_text().rpartition(")")[2].split()[1]) == parent:
                found.add(int(process.name))
    return found


@contextlib.contextmanager
def reading(place: Workplace, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], set[int]]]:
    """Give a process that reads by others, and them."""
    with place.spawn(*arguments, start_new_session=True) as process:
        try:
            while not (readers := children(process.pid)) and process.poll() is None:
                pass
            yield process, readers
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@SPREADS
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 8))])
def test_two_interrupts_in_quick_succession_end_the_reading(many: Workplace, seed: int) -> None:
    """Ctrl-C twice, at any moment of reading: it ends soon, with 130 and without a traceback."""
    moments = random.Random(seed)  # noqa: S311  # the same each time
    with reading(many, "plan") as (process, _):
        for within in (0.3, 0.02):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(moments.random() * within)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        said = "".join(process.communicate(timeout=PATIENCE))
    assert "Traceback" not in said
    assert process.returncode == 130 or (process.returncode == 0 and "No changes" in said)


@SPREADS
def test_readers_of_a_killed_apply_hold_nothing_and_go(many: Workplace) -> None:
    """After kill -9 the lock is free and the streams are closed; the readers are gone soon after."""
    with reading(many, "apply", "--auto-approve") as (process, readers):
        process.kill()
        process.communicate(timeout=PATIENCE)
        assert readers
        with LocalStore(many.state_path).hold("apply", timeout=PATIENCE):
            deadline = time.monotonic() + PATIENCE
            while any(Path(f"/proc/{reader}").exists() for reader in readers):
                assert time.monotonic() < deadline
