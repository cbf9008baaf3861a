"""Whatever the environment and the paths hold, the command ends as documented, and tells no secret.

The real entry point runs over real files and real HTTP, in a folder of its own, with streams as a scheduler may give.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from unittest import mock

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.cli import main
from reconciler.config.settings import Configuration
from reconciler.delivery import retry
from reconciler.errors import ExitCode
from tests.api import SandboxServer
from tests.command import Workplace
from tests.conftest import connection
from tests.soak.budget import InTime, while_it_lasts

SECRETS: Final = ("planted-secret", "planted-password", "7700900123")
ONE: Final = """\
interactions:
  - externalid: a
    provider: P
    route: R
    linkeddata: [{type: clid, value: "+447700900123"}, {type: url, label: café, value: "https://x.example/é"}]
"""
NUMBERS: Final = ["", "0", "-1", "007", "1e400", "nan", "9" * 20, "9" * 5000, "0x10", "1_000", "²", "٣", " 7 "]
TEXTS: Final = ["\n", "a\nb", "::error::x", "{", "[]", "~", "~no-such-user/x", "%00", "\x1b[2J", "\u202e", "é", "🎉"]
BYTES: Final = [os.fsdecode(b"caf\xe9"), os.fsdecode(b"\xff\xfe"), os.fsdecode("zoë".encode() + b"\xc3")]
LONG: Final = ["x" * 300, "y/" * 3000]
ODD: Final = [*NUMBERS, *TEXTS, *BYTES, *LONG]
PASSWORD: Final = "https://user:planted-password@ci.example/job/7"

OWN: Final = [f"RECONCILER_{key.upper()}" for key in Configuration.model_fields if key not in {"region", "sensitive"}]
OWN.append("RECONCILER_ENV")
URLS: Final = ["RECONCILER_JOB_URL", "CI_JOB_URL", "BUILD_URL", "CI_PROJECT_URL", "GITHUB_SERVER_URL", "HTTP_PROXY"]
IDS: Final = ["RECONCILER_COMMIT", "GITHUB_REPOSITORY", "GITHUB_RUN_ID", "GITHUB_SHA", "CI_COMMIT_SHA"]
SYSTEM: Final = ["COLUMNS", "LINES", "TERM", "NO_COLOR", "TZ", "HOME", "PATH", "LOGNAME", "USER", "LANG", "TMPDIR"]
PLACES: Final = ["GITHUB_WORKSPACE", "GITHUB_STEP_SUMMARY", "CI_PROJECT_DIR", "SSL_CERT_FILE"]

odd = st.sampled_from(ODD) | st.binary(max_size=20).map(lambda data: os.fsdecode(data.replace(b"\0", b"")))
# Below the folder of the example, wherever they lead.
known = ["interactions", "interactions/one.yaml", "reconciler.state.json", "p", "nowhere/at/all", "p/q"]
paths = st.sampled_from([*known, ".", "-", "--", "-x", "a b", "/dev/null", "/dev/full"]) | odd.map(
    lambda text: text.replace("..", "").lstrip("/~") or "empty"
)
variables = st.one_of(
    st.tuples(st.sampled_from([*OWN, *URLS, *IDS, *SYSTEM]), odd),
    st.tuples(st.sampled_from(PLACES), paths),
    st.tuples(st.sampled_from(URLS), st.just(PASSWORD)),
    st.just(("GITHUB_ACTIONS", "true")),
)
options = st.one_of(
    st.tuples(st.sampled_from(["-C", "--config", "--interactions", "--state"]), paths),
    st.tuples(st.just("--env"), odd),
    st.sampled_from([(), (), ("--sandbox",), ("--no-color",), ("-v",), ("--log-format", "json")]),
)
commands = st.one_of(
    st.sampled_from(
        [
            ("plan", "--detailed-exitcode", "--out", "p"),
            ("apply", "--auto-approve", "--new-state"),
            ("apply", "p"),
            ("plan", "--format", "json"),
            ("plan", "--format", "markdown"),
            ("validate", "--format", "json"),
            ("state", "list", "--format", "json"),
            ("state", "new-lineage"),
            ("init",),
            ("--help",),
        ]
    ),
    st.tuples(
        st.just("plan"),
        st.sampled_from(["--out", "--json-into", "--markdown-into", "--html-into", "--target-file"]),
        paths,
    ),
    st.tuples(st.just("plan"), st.sampled_from(["--target", "--exclude"]), odd),
    st.tuples(st.sampled_from(["show", "apply"]), paths),
    st.tuples(st.just("state"), st.sampled_from(["show", "rm", "mv", "resolve", "adopt"]), odd),
    st.tuples(st.just("apply"), st.sampled_from(["--lock-timeout", "--allow-releases"]), st.sampled_from(NUMBERS)),
    st.tuples(odd, odd),
)


@dataclass(frozen=True)
class Case:
    """Runs one after the other: what they are called with, and where."""

    runs: Sequence[Sequence[str]]
    environment: dict[str, str] = field(default_factory=dict)
    stream: tuple[str, str] | None = ("utf-8", "strict")
    folder: str = "folder"
    gone: bool = False


STREAMS: Final = [("utf-8", "strict"), ("ascii", "surrogateescape"), ("latin-1", "strict"), ("utf-16", "strict"), None]
FOLDERS: Final = ["folder", "a b", "-dash", "line\nbreak", "🎉", os.fsdecode(b"d\xe9"), "z" * 200]
cases = st.builds(
    Case,
    st.lists(st.builds(lambda first, then: first + then, options, commands), min_size=1, max_size=3),
    st.lists(variables, max_size=3).map(dict),
    st.sampled_from(STREAMS),
    st.sampled_from(FOLDERS),
    st.sampled_from([False] * 9 + [True]),
)


@pytest.fixture(scope="module")
def api() -> Iterator[SandboxServer]:
    """Give one API for all examples."""
    with SandboxServer() as server, mock.patch.object(retry, "BACKOFF_BASE", 0.001):
        yield server


@pytest.mark.parametrize("rounds", [1, pytest.param(66, marks=pytest.mark.soak(weight=20))])
def test_odd_environments(api: SandboxServer, in_time: InTime, rounds: int) -> None:
    """The exit code is a documented one, nothing looks like a mistake, no secret is told, nothing is sent unsaid."""

    @given(cases)
    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    def run(case: Case) -> None:
        check(case, api)

    for _ in while_it_lasts(range(rounds), in_time):
        run()


@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
def test_odd_values_everywhere(api: SandboxServer, value: str) -> None:
    """What a system or a platform says of itself, its users and its jobs keeps no apply from being done and noted."""
    environment = {**dict.fromkeys([*URLS, *IDS, *SYSTEM], value), "CI_JOB_URL": PASSWORD, "GITHUB_ACTIONS": "true"}
    runs = [("plan", "--out", "p"), ("apply", "p"), ("state", "list"), ("plan", "--format", "markdown")]
    assert check(Case(runs, environment), api) == [ExitCode.DONE] * len(runs)


def test_a_locale_that_knows_ascii_only(place: Workplace) -> None:
    """Names are read as UTF-8 all the same, files are written in it, and what the streams can't carry is spelled."""
    folder = place.folder / "déjà"
    (folder / "été").mkdir(parents=True)
    (folder / "été" / "vu.yaml").write_text("interactions: [{externalid: ö, route: a → b}]\n", encoding="utf-8")
    named = {"RECONCILER_INTERACTIONS": "été", "RECONCILER_ACCOUNT": "zoë", "RECONCILER_STATE": "ñ.json"}
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", **named}

    def run(*arguments: str) -> str:
        ran = place.process("-C", "déjà", *arguments, env=ascii_only)
        assert ran.code == 0, ran
        assert (ran.out + ran.err).isascii()
        return ran.out + ran.err

    run("init")
    planned = run("plan", "--out", "é.plan", "--json-into", "é.json", "--markdown-into", "é.md")
    assert (folder / "é.plan").exists()
    assert "account zo\\xeb | " in planned
    assert "state \\xf1.json, serial 0" in planned
    assert "+ dispatch  \\xf6 " in planned
    assert " \\xe9t\\xe9/vu.yaml:1\n" in planned
    assert "route      a -> b\n" in planned
    (then,) = [line.partition(": ")[2] for line in planned.splitlines() if line.startswith("Saved.")]
    assert subprocess.run(["bash", "-c", f"printf %s {then.split()[-1]}"], capture_output=True, check=True).stdout == (
        "é.plan".encode()
    )
    run("apply", "é.plan")
    assert "declared   \\xe9t\\xe9/vu.yaml:1\n" in run("state", "show", "ö")
    for name in ("é.plan", "é.json", "é.md", "ñ.json"):
        assert "vu.yaml" in (folder / name).read_text(encoding="utf-8")
    assert "été/vu.yaml" in (folder / "ñ.json").read_text(encoding="utf-8")


def check(case: Case, api: SandboxServer) -> list[int]:
    """Make a folder, run the commands in it, check each, and return their exit codes."""
    api.reset()
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root, case.folder)
        prepare(folder)
        environment = {"HOME": root, **connection(api), **case.environment}
        with mock.patch.dict(os.environ, environment, clear=True), contextlib.chdir(folder):
            if case.gone:
                vanish(folder)
            codes = [check_run(arguments, case.stream, api) for arguments in case.runs]
        check_files(Path(root))
    return codes


def prepare(folder: Path) -> None:
    """Make a folder with a declaration and a state, as a user has it."""
    (folder / "interactions").mkdir(parents=True)
    (folder / "interactions" / "one.yaml").write_text(ONE, encoding="utf-8")
    assert Workplace(folder).run("init").code == ExitCode.DONE


def vanish(folder: Path) -> None:
    """Remove the folder that the process is in."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


class Stream:
    """A stream as Python makes it, of an encoding and its errors, or None for one that was closed at the start."""

    def __init__(self, kind: tuple[str, str] | None) -> None:
        self._bytes = io.BytesIO()
        self.text = io.TextIOWrapper(self._bytes, *kind, write_through=True) if kind else None

    def read(self) -> str:
        """Return what was written, as a reader of the encoding sees it."""
        return self._bytes.getvalue().decode(self.text.encoding) if self.text else ""


def check_run(arguments: Sequence[str], kind: tuple[str, str] | None, api: SandboxServer) -> int:
    """Run the command, and check what it came to and what it said."""
    before, out, err = len(api.calls), Stream(kind), Stream(kind)
    with mock.patch.multiple(sys, stdin=None, stdout=out.text, stderr=err.text):
        code = main(arguments)
    said, told = out.read(), err.read()
    assert code in set(ExitCode)
    for word in ("mistake in reconciler", "Traceback", "not enough memory", *SECRETS):
        assert word not in said + told
    if len(api.calls) > before:
        assert "apply" in arguments
        assert code in {ExitCode.DONE, ExitCode.ERROR, ExitCode.REQUESTS_FAILED, ExitCode.UNKNOWN}
        assert "nothing was sent" not in told
    if kind and code == ExitCode.DONE and tuple(arguments[-2:]) == ("--format", "json"):
        assert isinstance(orjson.loads(said), dict)
    if "--log-format" in arguments and code != ExitCode.USAGE:
        assert [line for line in told.splitlines() if "level" not in orjson.loads(line)] == []
    return code


def check_files(root: Path) -> None:
    """Check that what is left is UTF-8, and holds no secret: neither credentials nor what is sensitive."""
    for path in root.rglob("*"):
        if path.is_file() and path.suffix != ".yaml" and path.parent.name != ".reconciler":
            text = path.read_text(encoding="utf-8")
            assert [secret for secret in SECRETS if secret in text] == [], path
