# ruff: noqa: INP001, S310  # a script's neighbour, no package; GITHUB_API_URL is the runner's
"""What comment.py and reviewed.py ask of GitHub. What comes from a pull request's run is hostile until checked."""

from __future__ import annotations

import io
import json
import re
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, Final

ARTIFACT: Final = "reconciler-plan"
MARKER: Final = re.compile(r"<!-- reconciler:plan environment=(\S*) fingerprint=([0-9a-f]{64}) -->")
# A fork that changes more than these could have changed what writes the plan.
DECLARATIONS: Final = re.compile(r"interactions/.+|reconciler\.yaml")
_MOST_FILES: Final = 3000
_MOST_BYTES: Final = 20_000_000
_MOST_CHARACTERS: Final = 65_536
_NOT_TEXT: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class GitHub:
    """The REST API of one repository, with the token of the job."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.repository = environ["GITHUB_REPOSITORY"]
        self._root = f"{environ['GITHUB_API_URL']}/repos/{self.repository}"
        self._token = environ["GITHUB_TOKEN"]

    def call(self, path: str, method: str = "GET", body: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON answer; raises urllib.error.URLError."""
        return json.loads(self._bytes(path, method, body))

    def pages(self, path: str) -> Iterator[Any]:
        """Yield the items of a list, page by page."""
        mark = "&" if "?" in path else "?"
        number = 1
        while items := self.call(f"{path}{mark}per_page=100&page={number}"):
            yield from items
            number += 1

    def plan_of_run(self, run_id: int | str) -> str | None:
        """Return plan.md of a run's artifact; None unless it is there and is a plan's text, and no longer than one."""
        found = self.call(f"/actions/runs/{int(run_id)}/artifacts?name={ARTIFACT}")["artifacts"]
        whole = [one for one in found if not one["expired"] and one["size_in_bytes"] <= _MOST_BYTES]
        if not whole:
            return None
        return plan_in(self._bytes(f"/actions/artifacts/{int(whole[-1]['id'])}/zip"))

    def may_write_plan(self, pull: Mapping[str, Any]) -> bool:
        """Whether a pull request's plan was written by code of this repository, or of people who may push to it."""
        head = pull["head"]["repo"]
        if head is not None and head["full_name"] == self.repository:
            return True
        files = list(self.pages(f"/pulls/{int(pull['number'])}/files"))
        names = [name for file in files for name in (file["filename"], file.get("previous_filename")) if name]
        return len(files) < _MOST_FILES and all(DECLARATIONS.fullmatch(name) for name in names)

    def _bytes(self, path: str, method: str = "GET", body: Mapping[str, Any] | None = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._root + path, data, {"Accept": "application/vnd.github+json"}, method=method
        )
        # Unredirected: an artifact is fetched from elsewhere, where the token has no business.
        request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        with urllib.request.urlopen(request, timeout=60) as answer:
            read: bytes = answer.read(_MOST_BYTES + 1)
        if len(read) > _MOST_BYTES:
            raise ValueError(f"{path}: the answer is too large")
        return read


def plan_in(archive: bytes) -> str | None:
    """Return plan.md of an artifact, or None for anything but a plan's text."""
    limit = 4 * _MOST_CHARACTERS
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as parts, parts.open("plan.md") as part:
            data = part.read(limit + 1)
        text = data.decode()
    except (zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError, OSError, EOFError, ValueError):
        return None
    if len(data) > limit or len(text) > _MOST_CHARACTERS or _NOT_TEXT.search(text) or not fingerprint(text):
        return None
    return text


def fingerprint(plan: str) -> str | None:
    """Return the fingerprint in a plan's first line."""
    marker = MARKER.fullmatch(plan.partition("\n")[0])
    return marker[2] if marker else None
