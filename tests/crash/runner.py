"""The command, as it runs anywhere, but with a lease that is dead after so many seconds: the first argument."""

from __future__ import annotations

import sys
from functools import partial

from reconciler.cli import main
from reconciler.state.stores import git, remote
from reconciler.state.stores.timing import Timing

if __name__ == "__main__":
    _, lease, *command = sys.argv
    setattr(remote, "Timing", partial(Timing, lease=float(lease), renew=0.1, group=0.05, poll=0.05))  # noqa: B010
    setattr(git, "TIMING", None)  # noqa: B010  # as any other place
    sys.exit(main(command))
