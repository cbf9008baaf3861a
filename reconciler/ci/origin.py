"""Where a clone comes from, and where this program was installed from. Shell."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from typing import Final
from urllib.parse import urlsplit

from reconciler import DISTRIBUTION

_SSH: Final = re.compile(r"(?:ssh://)?(?:[^@/]+@)(?P<host>[^:/]+)(?::\d+/|[:/])(?P<path>.+)")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


def located(url: str) -> tuple[str, str]:
    """Return the server and the path of a remote's address, `https://HOST` and `OWNER/NAME`; empty for another one."""
    if match := _SSH.fullmatch(url):
        return f"https://{match['host']}", _named(match["path"])
    parts = urlsplit(url)
    if parts.scheme in {"http", "https"} and parts.hostname:
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}", _named(parts.path)
    return "", ""


def _named(path: str) -> str:
    return path.strip("/").removesuffix(".git")


def installed_from() -> str:
    """Return `OWNER/NAME@COMMIT` of what is installed; empty unless it was installed from git."""
    try:
        about: Mapping[str, dict[str, str]] = json.loads(
            distribution(DISTRIBUTION).read_text("direct_url.json") or "{}"
        )
    except PackageNotFoundError:
        return ""
    commit, url = about.get("vcs_info", {}).get("commit_id", ""), str(about.get("url", ""))
    name = located(url)[1]
    return f"{name}@{commit}" if name and _COMMIT.fullmatch(commit) else ""
