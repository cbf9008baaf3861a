"""What an error of obstore means. Of an answer only its status and code are said: it may hold secrets. Pure.

AlreadyExists, Precondition, NotModified   Refused: the condition did not hold, says the answer
Generic with 5xx, 408, 409, 425, 429       Unclear
Generic without a status                   Unclear: no connection, no answer, one that can't be read
FileNotFound, NoSuchBucket                 StateError: there is no such bucket
PermissionDenied, Unauthenticated, 401/403 StateError: access is refused
of a token or of credentials               StateError: there are none, or they are of no use
all else                                   StateError
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from obstore.exceptions import (
    AlreadyExistsError,
    GenericError,
    JoinError,
    NotModifiedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from reconciler.errors import StateError
from reconciler.state.stores.buckets import Place
from reconciler.state.stores.interface import Refused, Unclear

_STATUS: Final = re.compile(r"status code: ([1-5][0-9]{2})\b")
_CODE: Final = re.compile(r"(?:<Code>|[(]code: )([A-Za-z0-9]{1,60})(?:</Code>|[)])")
_HOST: Final = re.compile(r"Error performing [A-Z]+ https?://([A-Za-z0-9.:\[\]-]+)/")
_KIND: Final = re.compile(r"kind: (Connect|Timeout)\b")
_CREDENTIALS: Final = re.compile(
    r"credential (provider|error)|token (request|file)|//169\.254\.|latest/(api/token|meta-data)|//sts\.", re.IGNORECASE
)
_MAY_PASS: Final = frozenset({408, 409, 425, 429})
_REFUSED: Final = (AlreadyExistsError, PreconditionError, NotModifiedError)
_DENIED: Final = (PermissionDeniedError, UnauthenticatedError)
_NO_BUCKET: Final = frozenset({"NoSuchBucket", "ContainerNotFound"})
_REGION: Final = "incorrectly configured region"
_DOCS: Final = "docs/state.md"


def meaning(error: Exception, place: Place, name: str, *, writes: bool) -> Refused | Unclear | StateError:
    """Return what to raise instead."""
    answer = _Answer(error, place)
    at = f"{place}{name}"
    if stops := _in_the_way(error, answer, place, at):
        return stops
    if isinstance(error, _REFUSED) and writes:
        return Refused(str(answer))
    if answer.may_pass or isinstance(error, (*_REFUSED, JoinError)):
        return Unclear(str(answer))
    return StateError(f"{at}: {answer}", hint=f"How it is set up is in {_DOCS}.")


def _in_the_way(error: Exception, answer: _Answer, place: Place, at: str) -> StateError | None:
    """Return what a person has to do something about, if it is known what."""
    if isinstance(error, FileNotFoundError) or answer.code in _NO_BUCKET:
        return StateError(
            f'{at}: {answer.host} has no bucket "{place.bucket}"', hint=f"Make it, or mend its name: {_DOCS}."
        )
    if answer.about_credentials and answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return no_credentials(place)
    if isinstance(error, _DENIED) or answer.denied:
        return StateError(
            f"{at}: {answer}",
            hint=f"What a state needs to be allowed is in {_DOCS}; who you are: {place.cloud.whoami}",
        )
    if _REGION in answer.head:
        return StateError(f"{at}: {answer.host} has that bucket in another region", hint="Set AWS_REGION to it.")
    return None


def no_bucket(error: FileNotFoundError) -> bool:
    """Whether it is the bucket that is missing, and not the object."""
    return _first(_CODE, str(error)) in _NO_BUCKET


def no_credentials(place: Place, why: str = "") -> StateError:
    """Return what to raise where credentials can't be had; of what was said of it only the kind: it may hold some."""
    return StateError(
        f"{place}: there are no credentials for {place.cloud.name}, or none of use{why and f' ({why})'}",
        hint=f"Who you are: {place.cloud.whoami}. Where they may come from is in {_DOCS}.",
    )


class _Answer:
    """What an error tells of the answer. `status` is 0 where there was none; `str()` is for people."""

    def __init__(self, error: Exception, place: Place) -> None:
        self.head, _, details = str(error).partition("\n\nDebug source")
        self.code = _first(_CODE, self.head)
        self.status = int(_first(_STATUS, self.head) or 0)
        self.host = _first(_HOST, self.head) or place.cloud.name
        self.about_credentials = bool(_CREDENTIALS.search(self.head.partition("Server returned")[0]))
        self.denied = self.status in {401, 403} or self.code in {"AccessDenied", "403"}
        self.may_pass = isinstance(error, GenericError) and (
            not self.status or self.status in _MAY_PASS or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        )
        self._kind = _first(_KIND, details) or type(error).__name__

    def __str__(self) -> str:
        if answered := f"{self.status or ''} {self.code}".strip():
            return f"{self.host} answers {answered}"
        return f"{self.host} {_WITHOUT_STATUS.get(self._kind, f'gives no answer of use ({self._kind})')}"


_WITHOUT_STATUS: Final = {"Connect": "can't be reached", "Timeout": "gives no answer in time"}


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""
