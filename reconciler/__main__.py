"""The way in: `reconciler`, and `python -m reconciler`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Final

_INTERRUPTED: Final = 130


def main() -> int | str:
    """Run the command line; interrupted before it runs, or when it has run, it leaves at once and as quietly."""
    code = _INTERRUPTED  # not from `errors`: nothing is imported yet

    def leave(*_: object) -> None:
        os._exit(code)

    _hear(leave)
    try:
        from reconciler.cli import main as run  # noqa: PLC0415  # what is imported here may be interrupted, or fail
    except Exception as error:  # noqa: BLE001  # too little memory has many names
        return f"Error: reconciler can't be loaded: {type(error).__name__} {error}"
    try:
        code = run()
    except KeyboardInterrupt:
        leave()
    _hear(leave)
    if code == _INTERRUPTED:  # Python lets go of the handlers before it ends, and the next Ctrl-C may be near
        leave()
    return code


def _hear(leave: Callable[..., None]) -> None:
    """Leave where Python would answer a signal by a traceback, or an extension module by a crash."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if callable(signal.getsignal(number)):
            signal.signal(number, leave)


if __name__ == "__main__":
    sys.exit(main())
