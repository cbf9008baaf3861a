"""Ctrl-C, SIGTERM, a terminal that goes away, readers that go away: in every phase of real processes.

Nothing here waits for time to pass: each test goes on when the server has a call, or when the process has said so.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import pty
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from reconciler.cli.console import Console
from reconciler.state.stores.local import LocalStore
from tests.api import SandboxServer
from tests.api.record import Handling
from tests.command import COMMAND, Workplace
from tests.formats import check
from tests.state.stores.three import IDS, THREE

PATIENCE = 60.0
ONE_BY_ONE = {"RECONCILER_PARALLELISM": "1"}

# Makes its terminal the controlling one, so that Ctrl-C and a hang-up reach it as they reach a shell's command.
IN_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
LIKE_NOHUP = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"


@contextlib.contextmanager
def ended(process: subprocess.Popen[Any]) -> Iterator[subprocess.Popen[Any]]:
    """Give a process that is gone afterwards, whatever happens."""
    with process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[str], code: int) -> str:
    """Wait for the end, check the exit code and that there is no traceback, and return what is left of stderr."""
    out, err = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in err + (out or "")
    assert process.returncode == code, err
    return err


def heard(process: subprocess.Popen[str], text: str) -> None:
    """Read stderr up to the line that holds the text: it is how the process tells how far it is."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        if text in line:
            return
        lines.append(line)
    raise AssertionError(f"it never said {text!r}, but: {''.join(lines)}")


def hangs(server: SandboxServer) -> None:
    """Wait until a call hangs at the server."""
    server.wait_until(lambda: server.hanging == 1, PATIENCE)


def reached(pipe: Path, process: subprocess.Popen[str]) -> int:
    """Wait until the process reads a named pipe, and return the writing end: it can be opened from then on."""
    while process.poll() is None:
        with contextlib.suppress(OSError):
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
    raise AssertionError(f"it ended with {process.returncode} before it read {pipe}")


def sent(server: SandboxServer) -> list[str]:
    """Return the externalids of all requests that arrived."""
    return [str(request.externalid) for call in server.calls for request in call.requests]


def settles(place: Workplace, server: SandboxServer) -> None:
    """Run apply once more and check that all three were dispatched exactly once."""
    server.faults.clear()
    server.release()
    server.wait_idle(PATIENCE)
    assert place.run("apply", "--auto-approve").code == 0
    assert set(server.emulator.open) == IDS
    outcomes = [entry.outcome for entry in server.emulator.record.processed]
    assert outcomes.count(Handling.DISPATCHED) == len(IDS)
    assert set(outcomes) <= {Handling.DISPATCHED, Handling.IGNORED}
    assert place.run("plan", "--detailed-exitcode").code == 0


class Terminal:
    """A process in a terminal of its own, as a person has it."""

    def __init__(self, place: Workplace, *arguments: str, stderr: int | None = None) -> None:
        self._master, slave = pty.openpty()
        self.process = place.spawn(
            *arguments,
            env={"TERM": "xterm"},
            by=[sys.executable, "-c", IN_TERMINAL, *COMMAND],
            stdin=slave,
            stdout=slave,
            stderr=slave if stderr is None else stderr,
            start_new_session=True,
        )
        os.close(slave)
        self.shown = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()
        self.close()

    def read_until(self, text: str) -> None:
        """Read what it shows until the text is there."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown:
            ready, _, _ = select.select([self._master], [], [], deadline - time.monotonic())
            assert ready, self.shown
            self.shown += os.read(self._master, 65536).decode(errors="replace")

    def type(self, keys: bytes) -> None:
        """Type; the byte 3 is Ctrl-C."""
        os.write(self._master, keys)

    def close(self) -> None:
        """Close the window."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def end(self, code: int, *, again: bytes = b"") -> str:
        """Wait for the end, check exit code and absence of a traceback, and return all that it showed.

        `again` is typed once more after each second without an end: a signal that comes between Python's last look
        for one and its blocking in a read goes unheard until the next, and a person presses again.
        """
        deadline = time.monotonic() + PATIENCE
        # On Linux, reading a terminal that nobody has open any more fails; elsewhere it is an end of file.
        with contextlib.suppress(OSError):
            while self._master >= 0 and time.monotonic() < deadline:
                if not select.select([self._master], [], [], 1.0)[0]:
                    self.type(again)
                    continue
                if not (more := os.read(self._master, 65536)):
                    break
                self.shown += more.decode(errors="replace")
        assert self.process.wait(PATIENCE) == code, self.shown
        assert "Traceback" not in self.shown
        return self.shown


# -- while calls are in flight -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_waits_for_calls_in_flight(place: Workplace, server: SandboxServer, number: int) -> None:
    """One signal: the call in flight is recorded, nothing else is sent, exit 130; the next run completes."""
    place.declare(THREE)
    server.faults.add("hang")
    with ended(place.spawn("apply", "--auto-approve", env=ONE_BY_ONE)) as process:
        hangs(server)
        process.send_signal(number)
        heard(process, "Stopping: waiting for calls in flight")
        assert process.poll() is None
        server.release()
        finish(process, 130)
    assert len(sent(server)) == 1
    state = place.state
    assert set(state["interactions"]) == set(sent(server))
    assert [link["unsent"] for link in state["pending"].values()] == [True, True]
    settles(place, server)
    assert len(sent(server)) == 3


@pytest.mark.parametrize(
    ("first", "second"),
    [(signal.SIGINT, signal.SIGINT), (signal.SIGHUP, signal.SIGTERM)],
)
def test_the_second_signal_leaves_at_once(place: Workplace, server: SandboxServer, first: int, second: int) -> None:
    """Two signals: the process is gone with 130 while its call still hangs; the next run settles that call."""
    place.declare(THREE)
    server.faults.add("hang")
    with ended(place.spawn("apply", "--auto-approve", env=ONE_BY_ONE)) as process:
        hangs(server)
        process.send_signal(first)
        heard(process, "Stopping")
        process.send_signal(second)
        finish(process, 130)
    assert server.hanging == 1
    assert len(place.state["pending"]) == 3
    settles(place, server)


def test_releases_in_flight_are_waited_for_and_their_dispatches_not_sent(
    place: Workplace, server: SandboxServer
) -> None:
    """Interrupted between the halves of a replace, the dispatch is pending as unsent and comes with the next run."""
    place.declare(THREE)
    assert place.run("apply", "--auto-approve").code == 0
    place.declare(THREE.replace("route: R}", "route: S}"))
    server.faults.add("hang action=release")
    with ended(place.spawn("apply", "--auto-approve", env=ONE_BY_ONE)) as process:
        hangs(server)
        process.send_signal(signal.SIGINT)
        heard(process, "Stopping")
        server.release()
        finish(process, 130)
    assert len(server.emulator.open) == 2
    assert place.run("apply", "--auto-approve").code == 0
    assert set(server.emulator.open) == IDS
    assert not server.emulator.doubles
    assert place.run("plan", "--detailed-exitcode").code == 0


def test_an_ignored_hang_up_stays_ignored(place: Workplace, server: SandboxServer) -> None:
    """Under nohup, a terminal that goes away does not stop an apply."""
    place.declare(THREE)
    server.faults.add("hang")
    nohup = [sys.executable, "-c", LIKE_NOHUP, *COMMAND]
    with ended(place.spawn("apply", "--auto-approve", env=ONE_BY_ONE, by=nohup)) as process:
        hangs(server)
        process.send_signal(signal.SIGHUP)
        server.release()
        finish(process, 0)
    assert set(server.emulator.open) == IDS


def test_a_signal_while_stderr_is_full(place: Workplace, server: SandboxServer) -> None:
    """A signal that comes while the process is blocked in writing its progress is heard as any other."""
    place.declare(THREE)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"." * 4096)
    os.set_blocking(writer, True)
    process = place.spawn("apply", "--auto-approve", env=ONE_BY_ONE, stdout=subprocess.DEVNULL, stderr=writer)
    os.close(writer)
    with ended(process), open(reader, "rb") as pipe:  # noqa: PTH123  # a descriptor
        server.wait_for_calls(1, PATIENCE, kind="invoke")
        process.send_signal(signal.SIGINT)
        pipe.read(4096)
        rest = pipe.read().lstrip(b".").decode()
        assert process.wait(PATIENCE) == 130
    assert "Traceback" not in rest
    settles(place, server)


# -- while it waits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "number"), [(503, signal.SIGTERM), (429, signal.SIGINT)])
def test_a_signal_ends_waiting_in_back_off(place: Workplace, server: SandboxServer, status: int, number: int) -> None:
    """Asked to stop while it waits for the API to recover, it doesn't wait on."""
    place.declare(THREE)
    server.faults.add(f"status={status} retry-after=100 times=always")
    with ended(place.spawn("apply", "--auto-approve", env=ONE_BY_ONE)) as process:
        heard(process, "trying again in 100.0 s")
        process.send_signal(number)
        finish(process, 130)
    assert len(sent(server)) == 1
    unsent = [link.get("unsent", False) for link in place.state["pending"].values()]
    assert sorted(unsent) == ([False, True, True] if status == 503 else [True, True, True])
    settles(place, server)


def test_a_signal_ends_waiting_for_the_lock(place: Workplace, server: SandboxServer) -> None:
    """Asked to stop while another run holds the lock, it leaves with 130, having said whom it waits for."""
    place.declare(THREE)
    with (
        LocalStore(place.state_path).hold("apply"),
        ended(place.spawn("apply", "--auto-approve", "--lock-timeout", "500")) as process,
    ):
        heard(process, f"Waiting up to 500 s for the lock of {getpass.getuser()}@")
        process.send_signal(signal.SIGINT)
        assert "interrupted; nothing was sent" in finish(process, 130)
    assert server.calls == []


def test_a_signal_while_a_library_is_loaded(place: Workplace) -> None:
    """An extension module whose own imports are interrupted may crash: the process leaves instead, with 130."""
    (place.folder / "zoneinfo.py").write_text("import sys, time\nprint('loading', file=sys.stderr)\ntime.sleep(60)")
    with ended(place.spawn("plan", env={"PYTHONPATH": str(place.folder)})) as process:
        heard(process, "loading")  # by orjson
        process.send_signal(signal.SIGTERM)
        finish(process, 130)


@pytest.mark.parametrize(
    ("command", "number"),
    [("plan", signal.SIGTERM), ("apply", signal.SIGINT), ("apply", signal.SIGHUP)],
)
def test_a_signal_while_planning(place: Workplace, server: SandboxServer, command: str, number: int) -> None:
    """Asked to stop while it reads what it needs, it leaves with 130, and nothing was sent."""
    place.declare(THREE)
    configuration = place.folder / "reconciler.yaml"
    configuration.unlink()
    os.mkfifo(configuration)
    arguments = [command, "--auto-approve"] if command == "apply" else [command]
    with ended(place.spawn(*arguments)) as process:
        writer = reached(configuration, process)
        try:
            process.send_signal(number)
            assert "interrupted; nothing was sent" in finish(process, 130)
        finally:
            os.close(writer)
    assert server.calls == []
    configuration.unlink()
    settles(place, server)


# -- in a terminal -----------------------------------------------------------------------------------------------------


def test_ctrl_c_at_the_prompt(place: Workplace, server: SandboxServer) -> None:
    """Ctrl-C instead of an answer: exit 130, nothing was sent."""
    place.declare(THREE)
    with Terminal(place, "apply") as terminal:
        terminal.read_until("Only `yes` is taken: ")
        terminal.type(b"\x03")
        # The terminal shows the key as ^C, and what is said then stands on a line of its own.
        assert "\n\x1b[1;31mError:\x1b[0m interrupted; nothing was sent" in terminal.end(130, again=b"\x03")
    assert server.calls == []


def test_a_terminal_that_goes_away_at_the_prompt(place: Workplace, server: SandboxServer) -> None:
    """A window that is closed instead of an answer: exit 130, nothing was sent."""
    place.declare(THREE)
    with Terminal(place, "apply") as terminal:
        terminal.read_until("Only `yes` is taken: ")
        terminal.close()
        terminal.end(130)
    assert server.calls == []
    settles(place, server)


@pytest.mark.parametrize("answer", [b"\x04", b"YES\n", b"y\xe9s\xff\n"])
def test_what_is_not_yes_is_no(place: Workplace, server: SandboxServer, answer: bytes) -> None:
    """An end of input, another word, or bytes that are no text at all decline: exit 1, nothing was sent."""
    place.declare(THREE)
    with Terminal(place, "apply") as terminal:
        terminal.read_until("Only `yes` is taken: ")
        terminal.type(answer)
        assert "\n\x1b[1;31mError:\x1b[0m declined; nothing was sent" in terminal.end(1)
    assert server.calls == []


def test_the_question_names_what_it_is_about(place: Workplace, server: SandboxServer) -> None:
    """Right above the question stand the target, the state, the counts and every override in force."""
    place.declare(THREE)
    with Terminal(place, "apply", "--allow-releases=7") as terminal:
        terminal.read_until("Only `yes` is taken: ")
        terminal.type(b"no\n")
        shown = terminal.end(1)
    _, _, above = shown.partition("Approved with this plan: up to 7 releases.")
    assert "Plan: 3 to dispatch" in above
    assert f"{server.base_url}" in above
    assert "state reconciler.state.json, serial 0, 0 open" in above


def test_the_question_says_that_a_state_is_new(place: Workplace) -> None:
    """`--new-state` stands above the question as the other overrides do."""
    place.declare(THREE)
    place.state_path.unlink()
    with Terminal(place, "apply", "--new-state") as terminal:
        terminal.read_until("Only `yes` is taken: ")
        terminal.type(b"no\n")
        assert "With --new-state: where there is no state, this starts with an empty one." in terminal.end(1)


@pytest.mark.parametrize(
    ("keys", "code", "error"), [(b"no\n", 1, "declined"), (b"\x03", 130, "interrupted"), (b"yes\n", 0, None)]
)
def test_what_is_asked_is_seen(place: Workplace, keys: bytes, code: int, error: str | None) -> None:
    """On a terminal the plan stands above the question, though stdout is for the result; the answer is in that."""
    place.declare(THREE)
    with Terminal(place, "apply", "--format=json", "--json-into=r.json") as terminal:
        terminal.read_until("Only `yes` is taken: ")
        assert "Plan: 3 to dispatch" in terminal.shown
        terminal.type(keys)
        shown = terminal.end(code)
    check("apply", (place.folder / "r.json").read_bytes())
    result = json.loads((place.folder / "r.json").read_bytes())
    assert (result["exit_code"], result["error"] and result["error"]["code"]) == (code, error)
    assert "Applied:" not in shown


def test_without_credentials_nothing_is_asked(place: Workplace, server: SandboxServer) -> None:
    """Credentials are looked for before the question: whoever says yes expects that it is done."""
    place.declare(THREE)
    for name in ("CLIENT_ID", "CLIENT_SECRET", "ACCESS_TOKEN"):
        place.env.pop(f"RECONCILER_{name}", None)
    with Terminal(place, "apply") as terminal:
        shown = terminal.end(1)
    assert "there are no credentials" in shown
    assert "Only `yes`" not in shown
    assert (server.calls, place.state["pending"]) == ([], {})


def test_yes_at_the_prompt_applies_and_ctrl_c_stops_it(place: Workplace, server: SandboxServer) -> None:
    """After `yes` it applies; Ctrl-C in the terminal then waits for the call in flight and saves."""
    place.declare(THREE)
    place.env.update(ONE_BY_ONE)
    server.faults.add("hang")
    with Terminal(place, "apply") as terminal:
        terminal.read_until("Only `yes` is taken: ")
        terminal.type(b"yes\n")
        hangs(server)
        terminal.type(b"\x03")
        terminal.read_until("Stopping: waiting for calls in flight")
        server.release()
        shown = terminal.end(130)
    assert "\nStopping: waiting for calls in flight" in shown
    assert "Applied: 1 dispatched" in shown
    assert len(sent(server)) == 1
    settles(place, server)


def test_a_terminal_that_goes_away_while_calls_are_in_flight(place: Workplace, server: SandboxServer) -> None:
    """A window that is closed is as one Ctrl-C, and that nothing can be shown any more stops nothing."""
    place.declare(THREE)
    place.env.update(ONE_BY_ONE)
    server.faults.add("hang")
    with Terminal(place, "apply", "--auto-approve", stderr=subprocess.PIPE) as terminal:
        hangs(server)
        terminal.close()
        heard(terminal.process, "Stopping: waiting for calls in flight")
        server.release()
        finish(terminal.process, 130)
    assert len(sent(server)) == 1
    settles(place, server)


def test_a_terminal_that_goes_away_with_stderr(place: Workplace, server: SandboxServer) -> None:
    """The same where stderr was the window too: saved, exit 130, and the next run completes."""
    place.declare(THREE)
    server.faults.add("hang times=3")
    with Terminal(place, "apply", "--auto-approve") as terminal:
        server.wait_until(lambda: server.hanging == 3, PATIENCE)
        terminal.close()
        server.release()
        terminal.end(130)
    assert set(place.state["interactions"]) == IDS
    settles(place, server)


# -- nobody reads ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def nobody_reads() -> Iterator[int]:
    """Give the writing end of a pipe whose reader is gone: each write to it is a broken pipe."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


@pytest.mark.parametrize(
    ("stream", "arguments", "code"),
    [
        ("stdout", ["plan", "--detailed-exitcode"], 2),
        ("stdout", ["apply", "--auto-approve"], 0),
        ("stdout", ["--help"], 0),
        ("stderr", ["apply", "--auto-approve"], 0),
        ("stderr", ["no-such-command"], 64),
        ("both", ["apply", "--auto-approve"], 0),
    ],
)
def test_a_reader_that_is_gone_changes_nothing(
    place: Workplace, server: SandboxServer, stream: str, arguments: list[str], code: int
) -> None:
    """Whoever stops reading stdout or stderr, the work is done, saved, and the exit code is the same."""
    place.declare(THREE)
    with nobody_reads() as broken:
        streams = ["stdout", "stderr"] if stream == "both" else [stream]
        ran = place.process(*arguments, **dict.fromkeys(streams, broken))  # type: ignore[arg-type]
    assert ran.code == code
    assert "Traceback" not in ran.out + ran.err
    assert "Exception ignored" not in ran.err
    if arguments[0] == "apply":
        assert set(server.emulator.open) == set(place.state["interactions"]) == IDS


@pytest.mark.parametrize(
    ("closed", "arguments", "code"),
    [
        ("<&-", "apply --auto-approve", 0),
        (">&-", "plan --detailed-exitcode", 2),
        ("2>&-", "no-such-command", 64),
        ("<&- >&- 2>&-", "apply --auto-approve", 0),
    ],
)
def test_streams_that_were_never_there(
    place: Workplace, server: SandboxServer, closed: str, arguments: str, code: int
) -> None:
    """Started without stdin, stdout or stderr, as some schedulers do, it works just the same."""
    place.declare(THREE)
    ran = place.shell(f"reconciler {arguments} {closed}")
    assert ran.code == code, ran.err
    assert "Traceback" not in ran.err
    if arguments.startswith("apply"):
        assert set(server.emulator.open) == set(place.state["interactions"]) == IDS


@pytest.mark.parametrize("arguments", ["plan", "apply --auto-approve"])
def test_a_long_output_cut_by_head(place: Workplace, server: SandboxServer, arguments: str) -> None:
    """`| head -1` of more than a pipe holds: no complaint, exit 0, and an apply is complete."""
    entries = "".join(f"  - {{externalid: id-{n:04}-{'x' * 60}, route: R}}\n" for n in range(1000))
    place.declare("interactions:\n" + entries)
    ran = place.shell(f"reconciler {arguments} | head -1; exit ${{PIPESTATUS[0]}}")
    assert (ran.code, ran.out.count("\n")) == (0, 1)
    assert "Traceback" not in ran.err
    assert "Broken pipe" not in ran.err
    if arguments != "plan":
        assert len(server.emulator.open) == len(place.state["interactions"]) == 1000


@pytest.mark.parametrize("command", ["plan > /dev/full", "--help > /dev/full"])
def test_what_can_not_be_printed_is_no_success(place: Workplace, command: str) -> None:
    """Where the disk behind stdout is full, what was asked for is missing: exit 1, and it is said."""
    ran = place.shell(f"reconciler {command}")
    assert (ran.code, "can't be printed: No space left" in ran.err) == (1, True), ran


def test_no_file_becomes_a_stream_that_was_closed(place: Workplace) -> None:
    """What a library says on a closed stderr must not land in whatever file was opened last."""
    say = "import os, sys; from reconciler.cli import main; main(['state', 'list']); os.write(2, b'said')"
    ran = place.shell(f"{sys.executable} -c {shlex.quote(say)} <&- >&- 2>&-; echo $?")
    assert ran.out == "0\n"


def test_a_handler_that_writes_in_the_middle_of_a_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python refuses to write to a stream from a signal handler that interrupted a write to it; that is no error."""

    class Busy:
        encoding, errors = "utf-8", "strict"

        def isatty(self) -> bool:
            return False

        def write(self, _text: str) -> int:
            raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stderr>'>")

    monkeypatch.setattr(sys, "stderr", Busy())
    Console({}).note("Stopping")
