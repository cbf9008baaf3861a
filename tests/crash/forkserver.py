"""Runs the command in a process of its own for each job, forked from this one, which has everything imported.

Reads jobs as JSON lines from stdin and answers each with a line on stdout: `{"events": […], "ran": […]}`. Jobs that
are neither killed nor watched nor changed run in this process, for speed. When it forks, it has no other threads; the
server is in another process.
"""

from __future__ import annotations

import gc
import importlib
import io
import json
import os
import pkgutil
import random
import signal
import ssl
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import reconciler
import reconciler.cli
import reconciler.render
from reconciler.cli import main
from reconciler.delivery import retry
from reconciler.state.stores import git, remote
from reconciler.state.stores.timing import Timing
from tests.crash.effects import Cut, Effects
from tests.crash.mutants import MUTANTS

Job = Mapping[str, Any]
QUICK: Final = 0.001
NOWHERE: Final = {
    "RECONCILER_BASE_URL": "http://127.0.0.1:9",
    "RECONCILER_TOKEN_URL": "http://127.0.0.1:9/token",
    "RECONCILER_CLIENT_ID": "nobody",
    "RECONCILER_CLIENT_SECRET": "none",
}


def serve() -> None:
    """Run jobs until stdin ends."""
    _prepare()
    for line in sys.stdin:
        job = json.loads(line)
        print(json.dumps(_fork(job) if job["new"] else _here(job)), flush=True)  # noqa: T201  # the answer


def _prepare() -> None:
    """Import all that a run may import, and make ready what is slow to make and the same in each run."""
    for module in pkgutil.walk_packages(reconciler.__path__, "reconciler."):
        if not module.name.startswith(("reconciler.__main__", "reconciler.sandbox")):
            importlib.import_module(module.name)
    for module_name in ("httpcore", "encodings.idna", "getpass", "http.cookiejar"):
        importlib.import_module(module_name)
    context = ssl.create_default_context()
    for name in ("create_default_context", "SSLContext"):
        setattr(ssl, name, lambda *_arguments, **_named: context)  # the server is on plain HTTP
    retry.BACKOFF_BASE = QUICK  # type: ignore[misc]  # waiting protects nobody here
    setattr(remote, "Timing", _without_waiting)  # noqa: B010  # it is not remote's own
    setattr(git, "TIMING", None)  # noqa: B010  # as any other place
    _warm_up()
    gc.collect()
    gc.freeze()


def _without_waiting() -> Timing:
    """Let the time pass at once that is waited for: the lease of a run that was killed is dead at once."""
    waited = [0.0]

    def pause(seconds: float) -> None:
        waited[0] += seconds

    return Timing(awake=lambda: time.monotonic() + waited[0], pause=pause)


def _warm_up() -> None:
    """Run the command once where nothing answers: what it makes at first use is made for every run."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "interactions").mkdir()
        Path(folder, "interactions/one.yaml").write_text(
            "interactions: [{externalid: a, route: R}]\n", encoding="utf-8"
        )
        commands = [["apply", "--auto-approve", "--new-state"], ["plan"]]
        _here({"folder": folder, "env": NOWHERE, "commands": commands})


def _here(job: Job) -> dict[str, Any]:
    home, environment, streams = Path.cwd(), dict(os.environ), (sys.stdout, sys.stderr)
    try:
        os.chdir(job["folder"])
        os.environ.update(job["env"])
        ran = [_run(command) for command in job["commands"]]
    except Exception:  # noqa: BLE001  # it is told
        ran = [{"code": -1, "out": "", "err": traceback.format_exc()}]
    finally:
        os.chdir(home)
        os.environ.clear()
        os.environ.update(environment)
        sys.stdout, sys.stderr = streams
    return {"events": [], "ran": ran}


def _wait_for_threads() -> None:
    """Wait until a run's last threads have ended: a cancelled timer takes a moment."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(timeout=10)
    assert threading.active_count() == 1


def _fork(job: Job) -> dict[str, Any]:
    _wait_for_threads()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _child(job, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = [json.loads(line) for line in pipe]
    _, status = os.waitpid(child, 0)
    ran = told.pop()["ran"] if told and "ran" in told[-1] else None
    assert (ran is None) == (os.waitstatus_to_exitcode(status) == -signal.SIGKILL)
    return {"events": told, "ran": ran}


def _child(job: Job, pipe: int) -> None:
    write = os.write

    def say(message: Mapping[str, Any]) -> None:
        view = memoryview(json.dumps(message).encode() + b"\n")
        while view:
            view = view[write(pipe, view) :]

    try:
        os.chdir(job["folder"])
        os.environ.update(job["env"])
        random.seed(0)
        if job["mutant"]:
            MUTANTS[job["mutant"]]()
        Effects(Path(job["folder"]), say, Cut(**job["cut"]) if job["cut"] else None).install()
        say({"ran": [_run(command) for command in job["commands"]]})
    except BaseException:  # noqa: BLE001  # it is told, and nothing of the parent's may run here
        say({"ran": [{"code": -1, "out": "", "err": traceback.format_exc()}]})
    os._exit(0)


def _run(command: list[str]) -> dict[str, Any]:
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
    return {"code": main(command), "out": sys.stdout.getvalue(), "err": sys.stderr.getvalue()}


if __name__ == "__main__":
    serve()
