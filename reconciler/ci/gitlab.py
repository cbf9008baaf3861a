"""GitLab, hosted or one's own: the variables of a job of GitLab CI, and the REST API.

https://docs.gitlab.com/ci/variables/predefined_variables/ and https://docs.gitlab.com/api/rest/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from reconciler.ci.platform import Comment, Proposal, Setting, Trigger, Verdict
from reconciler.ci.rest import NotFound, Rest, Service

_STATES: Final = {Verdict.PLANNED: "success", Verdict.REFUSED: "failed", Verdict.UNPLANNED: "canceled"}
_SHOWN: Final = {"success", "failed"}
_SECRETS: Final = ("RECONCILER_CLIENT_ID", "RECONCILER_CLIENT_SECRET")
_GROUP: Final = "reconciler-state"
_SCOPE: Final = re.compile(r'"scope":\s*"([^"]*)"')


class GitLab:
    """One project; the token, GITLAB_TOKEN, is a project access token: a job's own may not comment."""

    noun = "merge request"
    sign = "!"

    @staticmethod
    def here(environ: Mapping[str, str]) -> bool:
        """Whether this runs in GitLab CI."""
        return environ.get("GITLAB_CI") == "true"

    @staticmethod
    def from_outside(server: str, path: str, environ: Mapping[str, str]) -> Mapping[str, str]:
        """Return what a job's environment would say of a project."""
        return {
            "CI_PROJECT_URL": f"{server}/{path}",
            "CI_API_V4_URL": f"{server}/api/v4",
            "CI_PROJECT_PATH": path,
            **environ,
        }

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        token = environ.get("GITLAB_TOKEN", "")
        self.git_login = ("gitlab-ci-token", token or environ.get("CI_JOB_TOKEN", ""))
        self.web = environ.get("CI_PROJECT_URL", "")
        project = environ.get("CI_PROJECT_ID") or quote(environ.get("CI_PROJECT_PATH", ""), safe="")
        self._api = environ.get("CI_API_V4_URL", "")
        service = Service("GitLab", self._api, {"PRIVATE-TOKEN": token} if token else {}, _missing)
        self._rest, self._project = Rest(service), f"/projects/{project}"

    def close(self) -> None:
        """See Platform."""
        self._rest.close()

    # -- the run ---------------------------------------------------------------------------------------------------

    @property
    def trigger(self) -> Trigger:
        """See Platform."""
        source = self._environ.get("CI_PIPELINE_SOURCE", "")
        if source == "merge_request_event":
            return Trigger.PROPOSAL
        return {"push": Trigger.PUSH, "schedule": Trigger.SCHEDULE}.get(source, Trigger.MANUAL)

    @property
    def run_url(self) -> str:
        """See Platform."""
        return self._environ.get("CI_JOB_URL", "")

    @property
    def branch(self) -> str:
        """See Platform."""
        return self.proposal.base if self.proposal else self._environ.get("CI_COMMIT_BRANCH", "")

    @property
    def default_branch(self) -> str:
        """See Platform."""
        return self._environ.get("CI_DEFAULT_BRANCH") or str(self._rest.get(self._project)["default_branch"])

    @property
    def proposal(self) -> Proposal | None:
        """See Platform. In the pipeline of a merged result, the commit is the merge."""
        environ = self._environ
        if not (number := environ.get("CI_MERGE_REQUEST_IID")):
            return None
        head = environ.get("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA") or environ.get("CI_COMMIT_SHA", "")
        return Proposal(int(number), head, environ.get("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", ""))

    def pass_on(self, outputs: Mapping[str, str]) -> None:
        """See Platform: as files of an artifact."""
        folder = Path(self._environ.get("CI_PROJECT_DIR", ".")) / "reconciler-ci"
        folder.mkdir(exist_ok=True)
        for name, value in outputs.items():
            (folder / name).write_text(value, encoding="utf-8")

    # -- proposals -------------------------------------------------------------------------------------------------

    def is_current(self, proposal: Proposal) -> bool:
        """See Platform."""
        found = self._rest.get(f"{self._project}/merge_requests/{proposal.number}")
        return bool(found["state"] == "opened" and found["sha"] == proposal.head)

    def merged(self, commit: str) -> Iterable[Proposal]:
        """See Platform."""
        found = self._rest.pages(f"{self._project}/repository/commits/{commit}/merge_requests")
        return [
            _proposal(each)
            for each in found
            if each["state"] == "merged" and each["target_branch"] == self.default_branch
        ]

    def open_proposals(self) -> Iterator[Proposal]:
        """See Platform."""
        at, branch = f"{self._project}/merge_requests", self.default_branch
        for found in self._rest.pages(at, state="opened", target_branch=branch, order_by="updated_at"):
            yield _proposal(found)

    def was_shown(self, head: str, context: str) -> bool:
        """See Platform."""
        statuses = self._rest.pages(f"{self._project}/repository/commits/{head}/statuses", name=context, all="true")
        latest = max(
            (status for status in statuses if status["name"] == context), key=lambda each: each["id"], default=None
        )
        return latest is not None and latest["status"] in _SHOWN

    def record(self, head: str, context: str, verdict: Verdict, said: str) -> None:
        """See Platform."""
        body = {"state": _STATES[verdict], "name": context, "description": said[:255], "target_url": self.run_url}
        self._rest.send("POST", f"{self._project}/statuses/{head}", body)

    @cached_property
    def _self(self) -> int:
        return int(self._rest.get("/user")["id"])

    def comment(self, proposal: int, first_words: str) -> Comment | None:
        """See Platform."""
        for note in self._rest.pages(f"{self._project}/merge_requests/{proposal}/notes", sort="asc"):
            if note["author"]["id"] == self._self and note["body"].startswith(first_words):
                return Comment(note["id"], note["body"])
        return None

    def write_comment(self, proposal: int, old: Comment | None, body: str) -> None:
        """See Platform."""
        notes = f"{self._project}/merge_requests/{proposal}/notes"
        if old:
            self._rest.send("PUT", f"{notes}/{old.id}", {"body": body})
        else:
            self._rest.send("POST", notes, {"body": body}, again=False)

    # -- approvals and settings ------------------------------------------------------------------------------------

    def asks_somebody(self, environment: str) -> bool:  # noqa: ARG002  # it is a job that only a person starts
        """See Platform."""
        return True

    def how_to_approve(self, fingerprint: str) -> str:  # noqa: ARG002  # as above
        """See Platform."""
        return "start the job reconciler:approve"

    def settings(self, branch: str, environment: str | None) -> Iterator[Setting]:
        """See Platform."""
        pages = f"{self.web}/-/settings"
        group = f"{_GROUP}-{environment}" if environment else _GROUP
        yield Setting(
            f"{pages}/repository: {branch} protected, nobody allowed to push; {pages}/merge_requests: approvals",
            "what is merged is applied: without that, whoever may push decides alone",
            lambda: self._is_protected(branch),
        )
        yield Setting(
            f"{pages}/ci_cd: the variables {' and '.join(_SECRETS)}, protected and masked",
            "no other branch gets the credentials",
            lambda: all(self._is_variable(name, "protected") for name in _SECRETS),
        )
        yield Setting(
            f"{pages}/access_tokens: a token with the role Developer and the scopes api and write_repository, as the "
            "masked variable GITLAB_TOKEN",
            "a job's own token may neither comment nor push the state",
            lambda: self._is_variable("GITLAB_TOKEN", "masked"),
        )
        yield Setting(
            f"{self.web}/-/pipeline_schedules: one for {branch}, every hour",
            "it retries what failed",
            lambda: any(each["active"] for each in self._rest.pages(f"{self._project}/pipeline_schedules")),
        )
        yield Setting(
            f"PUT {self._api}{self._project}/resource_groups/{group} with process_mode=oldest_first",
            "merges are applied in their order",
            lambda: self._rest.get(f"{self._project}/resource_groups/{group}")["process_mode"] == "oldest_first",
        )

    def _is_protected(self, branch: str) -> bool:
        try:
            found = self._rest.get(f"{self._project}/protected_branches/{quote(branch, safe='')}")
        except NotFound:
            return False
        return all(not level["access_level"] for level in found["push_access_levels"])

    def _is_variable(self, name: str, how: str) -> bool:
        return bool(self._rest.get(f"{self._project}/variables/{name}")[how])


def _proposal(found: Mapping[str, Any]) -> Proposal:
    return Proposal(int(found["iid"]), str(found["sha"]), str(found["target_branch"]))


def _missing(headers: Mapping[str, str], body: str) -> str:
    """Return the scope that a token lacks."""
    found = _SCOPE.search(body) or re.search(r'scope="([^"]*)"', headers.get("WWW-Authenticate", ""))
    return f"the scope {found[1]}" if found else ""
