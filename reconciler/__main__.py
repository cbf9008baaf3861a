"""The way in: `reconciler`, and `python -m reconciler`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Final, NoReturn

_INTERRUPTED: Final = 130


def main() -> NoReturn:
    """Run the command line and leave with its code; interrupted before it runs, or when it has run, as quietly."""
    code = _INTERRUPTED  # not from `errors`: nothing is imported yet

    def leave(*_: object) -> NoReturn:
        os._exit(code)

    _hear(leave)
    try:
        from reconciler.cli import main as run  # noqa: PLC0415  # what is imported here may be interrupted, or fail
    except Exception as error:  # noqa: BLE001  # too little memory has many names
        sys.exit(f"Error: reconciler can't be loaded: {type(error).__name__} {error}")
    with contextlib.suppress(KeyboardInterrupt):
        code = run()
    leave()  # at once: Python lets go of the handlers before it ends, and a Ctrl-C may be near


def _hear(leave: Callable[..., NoReturn]) -> None:
    """Leave where Python would answer a signal by a traceback, or an extension module by a crash."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if callable(signal.getsignal(number)):
            signal.signal(number, leave)


if __name__ == "__main__":
    main()
