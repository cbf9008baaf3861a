"""`reconciler sandbox`: the emulated API on this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from threading import Event

from reconciler.cli.console import Console
from reconciler.errors import ExitCode
from reconciler.sandbox.config import SandboxConfig
from reconciler.sandbox.server import SandboxServer, serve


def run(options: argparse.Namespace, console: Console) -> ExitCode:
    """Serve; what to export is printed on stdout, so that a script can take it over."""
    folder = Path(options.directory or ".")
    memory = folder / options.memory if options.memory else None
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())

    def ready(server: SandboxServer) -> None:
        console.out(
            f"export RECONCILER_BASE_URL={server.base_url}\n"
            "export RECONCILER_CLIENT_ID=sandbox RECONCILER_CLIENT_SECRET=sandbox\n"
        )
        console.note("The sandbox serves until Ctrl-C. Nothing real is dispatched or released.")

    config = SandboxConfig(memory=memory, latency=options.latency)
    serve("127.0.0.1", options.port, config, options.fault, stop=stop, ready=ready)
    return ExitCode.DONE
