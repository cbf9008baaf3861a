"""The command line: what help says and in which order, and flags that are settings."""

from __future__ import annotations

import os
from unittest import mock

import pytest

from reconciler.cli.arguments import parser
from tests.api import SandboxServer
from tests.clock import QuickClock
from tests.command import Workplace
from tests.test_docs import commands

MANY = "interactions:\n" + "".join(f"  - {{externalid: id-{number}, route: R{'x' * 600}}}\n" for number in range(9))


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_help_has_the_commands_own_options_first(columns: int) -> None:
    """In the usage and below it, global options come last; nothing is wider than the terminal but what is copied."""
    with mock.patch.dict(os.environ, {"COLUMNS": str(columns)}):
        for command in commands(parser()):
            usage, _, rest = command.format_help().partition("\n\n")
            own, found, shared = usage.partition("[-C DIR]")
            assert found
            assert all(each not in shared for each in ("--format ", "--target", "--allow-", "--lock-timeout", "--as"))
            if command.prog != "reconciler":  # that ends with the exit codes, as a table
                assert "\n\n" not in rest.partition("\nglobal options:\n")[2]
                assert [line for line in rest.splitlines() if len(line) > columns and line[0] != "#"] == []
            assert "-h" in own


def hangs(server: SandboxServer, number: int) -> None:
    """Wait until so many calls hang at the server."""
    server.wait_until(lambda: server.hanging == number, 60)


def test_parallelism_is_a_flag(place: Workplace, server: SandboxServer) -> None:
    """`--parallelism` counts before the variable, and that before the file."""
    place.declare(MANY)
    (place.folder / "reconciler.yaml").write_text("parallelism: 1\nrequest_bytes: 1000\n", encoding="utf-8")
    server.faults.add("hang times=9")
    for flags, number in (([], 2), (["--parallelism", "3"], 3)):
        with place.spawn("apply", "--auto-approve", *flags, env={"RECONCILER_PARALLELISM": "2"}) as process:
            hangs(server, number)
            process.kill()
        server.release()
        server.wait_idle(60)


def test_timeout_is_a_flag(place: Workplace, server: SandboxServer, clock: QuickClock) -> None:
    """`--timeout` bounds each call, whatever else is configured."""
    place.declare(MANY)
    server.faults.add("hang times=5")
    ran = place.run("apply", "--auto-approve", "--timeout", "0.2", env={"RECONCILER_TIMEOUT": "600"})
    assert (ran.code, "did not answer in time" in ran.out) == (7, True)
    assert clock.waits


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--parallelism", "x"], "--parallelism: error: parallelism must be a whole number from 1 to 64"),
        (["--parallelism=65"], "--parallelism: error: parallelism must be a whole number from 1 to 64"),
        (["--timeout=0"], "--timeout: error: timeout must be a number above 0, up to 3,600"),
        (["--timeout="], "--timeout: error: timeout must be a number above 0, up to 3,600"),
    ],
)
def test_a_wrong_flag_is_named(place: Workplace, server: SandboxServer, flags: list[str], said: str) -> None:
    """A flag that is a setting is checked as the setting is, and called by its name."""
    place.declare(MANY)
    ran = place.run("apply", "--auto-approve", *flags)
    assert (ran.code, ran.err.startswith(said)) == (1, True), ran.err
    assert server.calls == []
