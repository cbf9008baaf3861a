"""Who holds a state: told to whoever else wants it."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from reconciler.escape import readable, visible
from reconciler.times import stamp

_JOB_URL: Final = re.compile(r"https?://[^\s/@?#]+(?:[/?#][!-~]*)?", re.ASCII)
"""Without a user and a password, which would be kept."""
_COMMITS: Final = ("RECONCILER_COMMIT", "GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT")
_COMMIT: Final = re.compile(r"[0-9a-f]{7,64}")


def owner(command: str) -> dict[str, Any]:
    """Return who we are, as it is kept."""
    return {
        "user": readable(_user()),
        "host": readable(socket.gethostname()),
        "pid": os.getpid(),
        "command": command,
        "since": stamp(datetime.now(UTC)),
        "job": job_url(os.environ),
        "commit": commit(os.environ),
    }


def who() -> str:
    """Return who we are, in short: the URL of the CI job, or user and host."""
    return job_url(os.environ) or f"{readable(_user())}@{readable(socket.gethostname())}"


def named(kept: Mapping[str, Any]) -> str:
    """Return who that is, for people; raises KeyError for what was not kept by us."""
    text = "{user}@{host}, pid {pid}, `{command}`, since {since}".format_map(kept)
    commit, job = kept.get("commit"), kept.get("job")
    return visible(text + (f", commit {str(commit)[:12]}" if commit else "") + (f", {job}" if job else ""))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def job_url(environment: Mapping[str, str]) -> str | None:
    """Return the URL of the CI job we run in, where the environment tells one (our own, GitHub, GitLab, Jenkins)."""
    github = [environment.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    run = "{}/{}/actions/runs/{}".format(*github) if all(github) else ""
    own, *others = (environment.get(name, "") for name in ("RECONCILER_JOB_URL", "CI_JOB_URL", "BUILD_URL"))
    return next((url for url in (own, run, *others) if _JOB_URL.fullmatch(url)), None)


def commit(environment: Mapping[str, str]) -> str | None:
    """Return the commit that a CI job runs for, where the environment tells one."""
    return next((text for name in _COMMITS if _COMMIT.fullmatch(text := environment.get(name, ""))), None)
