"""The way in: `reconciler`, and `python -m reconciler`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run the command line; an interruption while it is still being imported ends as quietly as a later one."""
    try:
        from reconciler.cli import main as run  # noqa: PLC0415  # what is imported here may be interrupted

        return run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
