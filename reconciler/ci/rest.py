"""A platform's REST API: tried again where that can help, page by page, and with what a refusal is about.

Beside delivery/connection.py the only user of httpx. Nothing that is sent to a contact centre passes here.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
import orjson

from reconciler import __version__
from reconciler.errors import ReconcilerError
from reconciler.escape import brief
from reconciler.loopback import is_loopback

_TRIES: Final = 5
_LONGEST_WAIT: Final = 60.0
_NEXT: Final = re.compile(r'<([^<>]+)>;\s*rel="next"')


class PlatformError(ReconcilerError):
    """The platform refused, or could not be reached."""


class NotFound(PlatformError):
    """There is no such thing; or the token may not know of it."""


class Forbidden(PlatformError):
    """The token may not do that."""


class Unclear(PlatformError):
    """Whether it was done can't be told: it was not answered, or with a server's error."""


@dataclass(frozen=True, slots=True)
class Service:
    """A platform's API: its root, how a token is sent, and how a refusal names the scope that is missing."""

    name: str
    root: str
    headers: Mapping[str, str]
    missing: Callable[[Mapping[str, str], str], str]
    """Given the headers of a refusal and its body."""


def pause(seconds: float) -> None:
    """Wait before a call is repeated."""
    time.sleep(seconds)


class Rest:
    """Calls with a token. A call that may be repeated is, after a network error, 429 and 5xx."""

    def __init__(self, service: Service) -> None:
        self._service = service
        headers = {"User-Agent": f"reconciler/{__version__}", **service.headers}
        try:
            url = httpx.URL(service.root)
        except (httpx.InvalidURL, ValueError) as error:
            raise PlatformError(f"{service.name}: {service.root} is no address") from error
        self._server = "/".join([*service.root.split("/")[:3], ""])
        # Without TLS, certificates to trust would be loaded for nothing.
        self._client = httpx.Client(
            headers=headers, timeout=30.0, trust_env=not is_loopback(service.root), verify=url.scheme != "http"
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str, **query: str | int) -> Any:
        """Return the JSON of an answer; raises PlatformError."""
        return self._read(self._answer("GET", self._service.root + path, query))

    def pages(self, path: str, most: int = 1_000, **query: str | int) -> Iterator[Any]:
        """Yield the items of a list, at most so many."""
        url: str | None = self._service.root + path
        asked: Mapping[str, str | int] = {"per_page": 100, **query}
        while url and most > 0:
            answer = self._answer("GET", url, asked)
            items = self._read(answer)
            yield from items[:most]
            most -= len(items)
            link = _NEXT.search(answer.headers.get("Link", ""))
            # The token goes to no other server, whatever a header says. Below it, GitHub names a repository by number.
            url, asked = (link[1] if link and link[1].startswith(self._server) else None), {}

    def send(self, method: str, path: str, body: Mapping[str, Any], *, again: bool = True) -> Any:
        """Send JSON and return that of the answer; `again`: doing it twice is as good as doing it once."""
        return self._read(self._answer(method, self._service.root + path, {}, body, again=again))

    def _read(self, answer: httpx.Response) -> Any:
        try:
            return orjson.loads(answer.content or b"null")
        except orjson.JSONDecodeError as error:
            raise PlatformError(f"{self._service.name} answered with what is no JSON: {answer.request.url}") from error

    def _answer(
        self,
        method: str,
        url: str,
        query: Mapping[str, str | int],
        body: Mapping[str, Any] | None = None,
        *,
        again: bool = True,
    ) -> httpx.Response:
        content = None if body is None else orjson.dumps(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        for attempt in range(_TRIES):
            last = attempt == _TRIES - 1
            try:
                answer = self._client.request(method, url, params=query or None, content=content, headers=headers)
            except httpx.HTTPError as error:
                if last or not (again or isinstance(error, httpx.ConnectError)):
                    raise Unclear(f"{self._service.name} can't be reached: {_said(error)}") from error
                pause(_back_off(attempt))
                continue
            except (httpx.InvalidURL, ValueError) as error:
                raise PlatformError(f"{self._service.name}: {url} is no address") from error
            if not _passing(answer, again=again) or last:
                return self._checked(method, answer)
            pause(_asked_for(answer, attempt))
        raise AssertionError("the last try returns or raises")

    def _checked(self, method: str, answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            return answer
        about = f"{self._service.name} answered {answer.status_code} to {method} {answer.request.url.path}"
        said, missing = _message(answer), self._service.missing(answer.headers, answer.text)
        usual = Unclear if answer.is_server_error else PlatformError
        kind = {401: Forbidden, 403: Forbidden, 404: NotFound}.get(answer.status_code, usual)
        hint = f"What the token lacks: {missing}." if missing else ""
        raise kind(f"{about}{f': {brief(said)}' if said else ''}", hint=hint)


def _passing(answer: httpx.Response, *, again: bool) -> bool:
    """Whether an answer may be another one soon; what was refused for the rate was not done."""
    limited = answer.status_code == httpx.codes.FORBIDDEN and (
        "Retry-After" in answer.headers or answer.headers.get("X-RateLimit-Remaining") == "0"
    )
    return limited or answer.status_code == httpx.codes.TOO_MANY_REQUESTS or (again and answer.is_server_error)


def _asked_for(answer: httpx.Response, attempt: int) -> float:
    """Return the seconds to wait: as the answer says, as far as that is soon."""
    after, reset = answer.headers.get("Retry-After", ""), answer.headers.get("X-RateLimit-Reset", "")
    seconds = float(after) if after.isdecimal() else float(reset) - time.time() if reset.isdecimal() else 0.0
    return min(max(seconds, _back_off(attempt)), _LONGEST_WAIT)


def _back_off(attempt: int) -> float:
    return float(2**attempt)


def _said(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _message(answer: httpx.Response) -> str:
    with contextlib.suppress(orjson.JSONDecodeError):
        body = orjson.loads(answer.content)
        if isinstance(body, dict):
            return str(body.get("message") or body.get("error_description") or body.get("error") or "")
    return ""
