"""Where a state may be kept, by how it is written in the configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from reconciler.errors import ConfigError
from reconciler.state.stores.interface import Store
from reconciler.state.stores.local import LocalStore

_SHARED: Final = re.compile(r"git:|s3://|gs://|az://")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
KINDS: Final = "a path, git:BRANCH, git:REMOTE/BRANCH, s3://BUCKET/KEY, gs://BUCKET/KEY or az://CONTAINER/KEY"


def is_shared(place: str) -> bool:
    """Whether several runners share the place; else it is a path. Raises ConfigError for what is neither."""
    if _SHARED.match(place):
        return True
    if _SCHEME.match(place):
        raise ConfigError(f"state {place}: no state can be kept there", hint=f"It is kept in {KINDS}.")
    return False


def open_store(place: Path | str, folder: Path, file: str, warn: Callable[[str], None]) -> Store:
    """Return the store of a place; text is one that several share. What it needs is imported only there.

    `folder` is in the repository of a branch; `file` is the state's name on it, and in a place that ends with a slash.
    """
    if isinstance(place, Path):
        return LocalStore(place, warn)
    from reconciler.state.stores.remote import RemoteStore  # noqa: PLC0415

    if place.startswith("git:"):
        from reconciler.state.stores.git import TIMING, GitObjects  # noqa: PLC0415

        return RemoteStore(GitObjects(place, folder, file), TIMING)
    from reconciler.state.stores.buckets import bucket_objects  # noqa: PLC0415

    url, mark, options = place.partition("?")
    url += file if url.endswith("/") else ""
    return RemoteStore(bucket_objects(url + mark + options, os.environ))
