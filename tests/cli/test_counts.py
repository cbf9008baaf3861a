"""What may not creep up, counted instead of timed: opens, parses, state writes, bytes, fsyncs, processes, modules."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import orjson
import pytest

from reconciler.declarations import loader as loading
from reconciler.state.stores.local import LocalStore
from reconciler.yamlfile import reader
from reconciler.yamlfile.document import Parsed
from tests.benchmarks import workload, writing
from tests.command import Workplace, clean_environment
from tests.conftest import ROOT

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def opened(tmp_path: Path) -> Path:
    """Give a folder with 300 declarations, all of them open."""
    workload.make("block", 300, NOWHERE, tmp_path / "new", tmp_path / "open")
    return tmp_path / "open"


def test_each_file_is_opened_and_parsed_once(tmp_path: Path) -> None:
    """A plan opens every declaration file once, and parses it once."""
    workload.make("flow", 20, NOWHERE, tmp_path / "new", tmp_path / "open")
    opens: Counter[str] = Counter()
    parses: Counter[str] = Counter()
    really_open, really_parse = os.open, reader.parse

    def counted_open(path: str, *arguments: int, dir_fd: int | None = None) -> int:
        opens[str(path)] += 1
        return really_open(path, *arguments, dir_fd=dir_fd)

    def counted_parse(data: bytes, name: str) -> Parsed:
        parses[name] += 1
        return really_parse(data, name)

    place = Workplace(tmp_path / "open", {"RECONCILER_BASE_URL": NOWHERE})
    with mock.patch("os.open", counted_open), mock.patch.object(loading, "parse", counted_parse):
        assert place.run("plan").out.endswith("No changes: 20 interactions open, as declared.\n")
    assert [count for path, count in opens.items() if path.endswith(".yaml")] == [1] * 20
    assert list(parses.values()) == [1] * 20


@pytest.mark.parametrize("changes", [1, 30, 300])
def test_an_apply_writes_two_states_and_a_line_an_outcome(opened: Path, tmp_path: Path, changes: int) -> None:
    """An apply saves the state twice, whatever it changes; besides, it writes less than 200 bytes a request."""
    folder = tmp_path / "apply"
    folder.mkdir()
    written = writing.apply_changes(opened, changes, folder)
    assert len(written.saves) == 2
    requests = 2 * changes  # a release and a dispatch each
    assert written.bytes - written.states <= 200 * requests + 200 * written.invocations


def test_fsyncs_grow_with_invocations_only(opened: Path, tmp_path: Path) -> None:
    """One fsync each Invocation, sent one at a time; the rest are a fixed number for backup, intent and fold."""
    counts = []
    for changes in (1, 30, 300):
        folder = tmp_path / str(changes)
        folder.mkdir()
        written = writing.apply_changes(opened, changes, folder)
        counts.append(written.fsyncs - written.invocations)
    assert counts[0] == counts[1] == counts[2] <= 8


def test_the_backup_costs_no_bytes(opened: Path, tmp_path: Path) -> None:
    """What is written is the two states and the journal, to the byte: the backup is a link."""
    folder = tmp_path / "apply"
    folder.mkdir()
    written = writing.apply_changes(opened, 30, folder)
    backup, state = folder / "reconciler.state.json.backup", folder / "reconciler.state.json"
    assert backup.read_bytes() == (opened / "reconciler.state.json").read_bytes()
    assert written.saves[-1] == state.stat().st_size
    assert not (folder / "reconciler.state.json.journal").exists()


def test_few_requests_travel_in_one_invocation_each_way(opened: Path, tmp_path: Path) -> None:
    """What fits into request_bytes is one call: all releases in one, all dispatches in one."""
    folder = tmp_path / "apply"
    folder.mkdir()
    assert writing.apply_changes(opened, 30, folder).invocations == 2


def test_a_state_is_decoded_without_its_fields(opened: Path) -> None:
    """The fields of an entry stay JSON until they are looked at; they equal what was stored."""
    path = opened / "reconciler.state.json"
    address, entry = next(iter(LocalStore(path).read().state.interactions.items()))
    assert type(entry.fields) is bytes
    fields = orjson.loads(entry.fields)
    assert fields["linkeddata"][0]["type"] == "clid"
    assert fields == orjson.loads(path.read_bytes())["interactions"][address]["fields"]
    assert "phone" not in fields


def loaded(folder: Path, *arguments: str) -> set[str]:
    """Return the modules that a run of the command loads."""
    code = (
        "import sys\nfrom reconciler.cli import main\n"
        f"main({list(arguments)!r})\n"
        "sys.stderr.write('\\n' + ' '.join(sys.modules))"
    )
    env = {**clean_environment(), "RECONCILER_BASE_URL": NOWHERE, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, check=True)
    return set(ran.stderr.rsplit("\n", 1)[1].split())


UNUSED = {"httpx", "asyncio", "ssl", "ruamel.yaml", "multiprocessing", "concurrent.futures"}


@pytest.mark.parametrize(
    ("command", "unused"),
    [(["plan"], UNUSED), (["validate"], UNUSED), (["state", "list"], {*UNUSED, "reconciler.declarations.schema"})],
)
def test_reading_commands_load_no_more_than_they_use(opened: Path, command: Sequence[str], unused: set[str]) -> None:
    """Nothing for HTTP, progress or broken files is loaded; and what declarations hold only where they are read."""
    assert unused & loaded(opened, *command) == set()
