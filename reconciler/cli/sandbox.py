"""`reconciler sandbox`: the emulated API on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from threading import Event

from reconciler.cli.console import Console
from reconciler.errors import ExitCode
from reconciler.sandbox.faults import Faults
from reconciler.sandbox.server import SandboxServer
from reconciler.sandbox.service import Service


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Serve; what to export is printed on stdout, so that a script can take it over."""
    memory = Path(options.directory or ".") / options.memory if options.memory else None
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    service = Service(Faults(*options.fault), memory=memory, latency=options.latency)
    with SandboxServer(service, port=options.port) as server:
        console.out(
            f"export RECONCILER_BASE_URL={server.base_url}\n"
            "export RECONCILER_CLIENT_ID=sandbox RECONCILER_CLIENT_SECRET=sandbox\n"
        )
        console.note("The sandbox serves until Ctrl-C. Nothing real is dispatched or released.")
        stop.wait()
    return ExitCode.DONE
