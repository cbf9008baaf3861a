"""Reading what a person names as a file, where it may be a device that never ends. Shell."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_bytes(path: Path) -> bytes:
    """Return what is in a file or a pipe; raises OSError, for a device that holds anything too."""
    with path.open("rb") as file:
        if not stat.S_ISCHR(os.fstat(file.fileno()).st_mode):
            return file.read()
        if file.read(1):
            raise OSError(errno.EINVAL, "it is a device, not a file")
        return b""  # /dev/null
