"""Every place to keep a state: the tests of `Objects` and of stores run on each of them.

A place that is new gets a function here that opens it, as many times as it is asked to, below a folder of the test's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Final
from unittest import mock
from uuid import uuid4

from reconciler.state.stores.buckets import bucket_objects
from reconciler.state.stores.git import GitObjects
from reconciler.state.stores.interface import Objects, Store
from reconciler.state.stores.local import LocalStore
from reconciler.state.stores.remote import RemoteStore
from reconciler.state.stores.timing import Timing
from tests.servers import COMMANDS, server
from tests.state.stores.cloud import BUCKET, Cloud
from tests.state.stores.memory import Memory, MemoryObjects, MemoryTogether
from tests.state.stores.repositories import bare, clone

QUICK: Final = Timing(lease=1.0, renew=0.1, group=0.02, poll=0.02, patience=1.0)
SELDOM: Final = replace(QUICK, lease=20.0, renew=0.3, group=5.0)
"""For places where a write takes a while."""
PATIENCE: Final = timedelta(seconds=10)
Opener = Callable[[], Objects]
"""Opens the same place anew, as each run does."""


def memory(_folder: Path) -> Opener:
    """Give a place in memory."""
    kept = Memory()
    return lambda: MemoryObjects(kept)


def together(_folder: Path) -> Opener:
    """Give one that writes several objects by one call."""
    kept = Memory()
    return lambda: MemoryTogether(kept)


def in_cloud(url: str, environ: Mapping[str, str], patience: timedelta = PATIENCE) -> Opener:
    """Give a place in a bucket."""

    def opened() -> Objects:
        with mock.patch.dict(os.environ, environ):  # where obstore looks
            return bucket_objects(url, os.environ, patience)

    return opened


@cache
def scripted() -> Cloud:
    """Give one server of ours, honest, for all tests of this process."""
    return Cloud().__enter__()


def s3(folder: Path) -> Opener:
    """Give an S3 of ours."""
    return in_cloud(f"s3://{BUCKET}/{folder.name}/state.json", scripted().s3)


def google(folder: Path) -> Opener:
    """Give a Google Cloud Storage of ours."""
    return in_cloud(f"gs://{BUCKET}/{folder.name}/state.json", scripted().google)


def foreign(name: str) -> Callable[[Path], Opener]:
    """Give a server that nobody here wrote."""

    def place(_folder: Path) -> Opener:
        running = server(name)
        return in_cloud(running.url(f"{uuid4()}/state.json"), running.environ)

    return place


def git(folder: Path) -> Opener:
    """Give a branch of a repository on disk."""
    here = clone(folder / "clone", bare(folder / "remote.git").as_uri())
    return lambda: GitObjects("git:state", here, "reconciler.state.json")


OBJECTS: Final[dict[str, Callable[[Path], Opener]]] = {
    "memory": memory,
    "together": together,
    "git": git,
    "s3": s3,
    "google": google,
    **{name: foreign(name) for name in COMMANDS},
}


def local(folder: Path) -> Callable[[], Store]:
    """Give a state in a file."""
    return lambda: LocalStore(folder / "reconciler.state.json")


def shared(opener: Opener) -> Callable[[], Store]:
    """Give a state in a place that several share."""
    return lambda: RemoteStore(opener(), SELDOM)
