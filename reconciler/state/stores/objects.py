"""The objects of a state in a bucket, through obstore, whose only user this is. Shell.

S3 and Azure compare e_tags, Google Cloud Storage compares versions (generations). obstore tries again by itself what
may pass; so a refused write may be one's own that landed before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property
from typing import Any, Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from reconciler.errors import ConfigError, StateError
from reconciler.state.stores.bucketerrors import meaning, no_bucket, no_credentials
from reconciler.state.stores.buckets import Place
from reconciler.state.stores.interface import Found

_BACKOFF: Final = {"init_backoff": timedelta(seconds=0.1), "max_backoff": timedelta(seconds=2), "base": 2}
_NO_LIMIT: Final = 1000  # the time is what ends them
_LARGE: Final = 1_000_000
_WHOLE_CALL: Final = timedelta(minutes=5)
_FOREIGN: Final = (BaseError, OSError, ValueError, NotImplementedError)
"""What obstore may raise; a test looks for more."""


class Bucket:
    """A key of a bucket, and what stands beside it. `patience`: for what may pass, before it is told."""

    def __init__(self, place: Place, environ: Mapping[str, str], patience: timedelta) -> None:
        self._patience = patience
        self.place = str(place)
        self._place = place
        self._provider = _aws_credentials(place, environ) if place.scheme == "s3" else None
        self._quick = self._opened(patience)

    @cached_property
    def _patient(self) -> Any:
        """For a body that takes long to send: the time of a silent server counts from the first byte of it."""
        return self._opened(_WHOLE_CALL)

    def _opened(self, silence: timedelta) -> Any:
        wanted: dict[str, Any] = {
            "config": {**({"conditional_put": "etag"} if self._place.scheme == "s3" else {}), **self._place.options},
            "client_options": {
                "allow_http": self._place.plain_http,
                "timeout": _WHOLE_CALL,
                "read_timeout": silence,
            },
            "retry_config": {"max_retries": _NO_LIMIT, "retry_timeout": self._patience, "backoff": _BACKOFF},
        }
        if self._provider:
            wanted["credential_provider"] = self._provider
        kind = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}[self._place.scheme]
        try:
            return kind(self._place.bucket, **wanted)
        except _FOREIGN as error:
            said = str(error).partition("\n")[0].rpartition(" error: ")[2]
            raise ConfigError(f"{self.place}: {said}", hint="How it is set up is in docs/state.md.") from error

    def get(self, name: str) -> Found | None:
        """Return the object as it is now; None if there is none."""
        with self._asked(name):
            try:
                answer = obstore.get(self._quick, self._place.key + name)
            except FileNotFoundError as error:
                if no_bucket(error):
                    raise
                return None
            return Found(bytes(answer.bytes()), self._version(answer.meta))

    def put(self, name: str, body: bytes, expected: object | None) -> object:
        """Write the object if it has still this version, or, for None, if there is none; return its new version."""
        store = self._quick if len(body) < _LARGE else self._patient
        mode: Any = "create" if expected is None else expected
        with self._asked(name, writes=True):
            return self._version(obstore.put(store, self._place.key + name, body, mode=mode, use_multipart=False))

    def names(self, start: str) -> list[str]:
        """Return the names of all objects that start so; cheap where a slash ends it."""
        key = self._place.key
        folder = (key + start).rpartition("/")[0]
        with self._asked(start):
            paths = [each["path"] for chunk in obstore.list(self._quick, folder or None) for each in chunk]
        return [path.removeprefix(key) for path in paths if path.startswith(key + start)]

    def remove(self, names: Sequence[str]) -> None:
        """Remove objects, whatever they hold; those that there aren't are no error."""
        keys = [self._place.key + name for name in names]
        with self._asked(""):
            try:
                obstore.delete(self._quick, keys)
            except FileNotFoundError:
                # Azure and Google say so of one, and leave open what became of the others.
                for key in keys:
                    with suppress(FileNotFoundError):
                        obstore.delete(self._quick, key)

    def _version(self, found: Any) -> object:
        """Return what the next write is to compare, and nothing else: the rest may differ from answer to answer."""
        mark = "version" if self._place.scheme == "gs" else "e_tag"
        if found[mark] is None:
            raise StateError(f"{self.place}: {self._place.cloud.name} tells no versions of objects apart")
        return {mark: found[mark]}

    @contextmanager
    def _asked(self, name: str, *, writes: bool = False) -> Iterator[None]:
        try:
            yield
        except _FOREIGN as error:
            raise meaning(error, self._place, name, writes=writes) from error


def _aws_credentials(place: Place, environ: Mapping[str, str]) -> Any:
    """Return boto3's credentials, which know profiles and SSO; None where obstore has what it needs without them.

    Raises StateError.
    """
    if environ.get("AWS_ACCESS_KEY_ID") or environ.get("AWS_SKIP_SIGNATURE"):
        return None
    try:
        from botocore.exceptions import BotoCoreError  # noqa: PLC0415  # takes long, and may not be there
        from obstore.auth.boto3 import Boto3CredentialProvider  # noqa: PLC0415
    except ModuleNotFoundError:
        return None
    try:
        return Boto3CredentialProvider()
    except BotoCoreError as error:
        raise no_credentials(place, type(error).__name__) from error
    except ValueError as error:  # there are none
        raise no_credentials(place) from error
