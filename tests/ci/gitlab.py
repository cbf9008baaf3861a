"""A GitLab of our own, made from its documentation: as the GitHub of our own, with another REST API over HTTP."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.ci.github import NOBODY, TOKEN, GitHub, Job, Json
from tests.ci.github import git as run_git
from tests.command import Workplace

PROJECT: Final = "7"
OURS: Final = {"id": 5}


@dataclass
class GitLab(GitHub):
    """One project."""

    prefix = f"/api/v4/projects/{PROJECT}"

    def variables(self, checkout: Path, source: str, request: Json | None) -> dict[str, str]:
        """Return what a runner tells a job."""
        found = {
            **NOBODY,
            "GITLAB_CI": "true",
            "CI_API_V4_URL": f"{self.url}/api/v4",
            "CI_COMMIT_SHA": run_git(checkout, "rev-parse", "HEAD"),
            "CI_DEFAULT_BRANCH": self.branch,
            "CI_JOB_URL": f"https://gitlab.example/acme/calls/-/jobs/{self.jobs}",
            "CI_PIPELINE_SOURCE": source,
            "CI_PROJECT_DIR": str(checkout),
            "CI_PROJECT_ID": PROJECT,
            "CI_PROJECT_URL": "https://gitlab.example/acme/calls",
            "GITLAB_TOKEN": TOKEN,
        }
        if request is None:
            return {**found, "CI_COMMIT_BRANCH": self.branch}
        of_request = {"IID": str(request["number"]), "TARGET_BRANCH_NAME": self.branch}
        head = {"CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": request["head"]["sha"]}
        return {**found, **head, **{f"CI_MERGE_REQUEST_{name}": value for name, value in of_request.items()}}

    def job_of(
        self, source: str, *words: str, environ: Mapping[str, str], request: Json | None = None, commit: str = ""
    ) -> Job:
        """Run `reconciler ci WORDS` as a job does."""
        event = "pull_request" if request else source
        _, checkout = self.checkout(event, request, commit)
        ran = Workplace(checkout, {**self.variables(checkout, source, request), **environ}).run("ci", *words)
        outputs = {path.name: path.read_text("utf-8") for path in (checkout / "reconciler-ci").glob("*")}
        return Job(ran, outputs, "")

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Any) -> tuple[int, Any]:
        """Answer a call."""
        for pattern, give in _ANSWERS:
            if match := re.fullmatch(pattern, f"{method} {path}"):
                return 200, give(self, match, {**query, "body": body})
        return super().answer("", path, query, body)


def _request(pull: Json) -> Json:
    state = {"open": "opened"}.get(pull["state"], "merged")
    return {"iid": pull["number"], "sha": pull["head"]["sha"], "state": state, "target_branch": pull["base"]["ref"]}


def _recorded(host: GitLab, sha: str, body: Json) -> Json:
    host.statuses.append({"id": len(host.statuses), "sha": sha, "status": body["state"], **body})
    return body


def _noted(host: GitLab, number: str, body: Json) -> Json:
    notes = host.comments.setdefault(int(number), [])
    notes.append({"id": len(notes), "author": OURS, "user": {"login": "github-actions[bot]"}, **body})
    return notes[-1]


def _changed(host: GitLab, number: str, note: str, body: Json) -> Json:
    (found,) = [each for each in host.comments[int(number)] if each["id"] == int(note)]
    found.update(body)
    return found


_ANSWERS: Final[list[tuple[str, Any]]] = [
    (r"GET /api/v4/user", lambda _host, _match, _query: OURS),
    (
        r"GET /repository/commits/(\w+)/merge_requests",
        lambda host, match, _query: [_request(pull) for pull in host.pulls if match[1] in pull.get("brought", ())],
    ),
    (
        r"GET /repository/commits/(\w+)/statuses",
        lambda host, match, _query: [status for status in host.statuses if status["sha"] == match[1]],
    ),
    (r"POST /statuses/(\w+)", lambda host, match, query: _recorded(host, match[1], query["body"])),
    (
        r"GET /merge_requests",
        lambda host, _, _query: [_request(pull) for pull in host.pulls if pull["state"] == "open"],
    ),
    (r"GET /merge_requests/(\d+)/notes", lambda host, match, _query: host.comments.get(int(match[1]), [])),
    (r"POST /merge_requests/(\d+)/notes", lambda host, match, query: _noted(host, match[1], query["body"])),
    (
        r"PUT /merge_requests/(\d+)/notes/(\d+)",
        lambda host, match, query: _changed(host, match[1], match[2], query["body"]),
    ),
]
