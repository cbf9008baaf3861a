"""GitHub, and GitHub Enterprise Server: the event and the variables of a run of Actions, and the REST API.

https://docs.github.com/en/actions/reference/workflows-and-actions/variables and /en/rest
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import orjson

from reconciler.ci.platform import Comment, Proposal, Setting, Trigger, Verdict
from reconciler.ci.rest import NotFound, PlatformError, Rest, Service

_BOT: Final = "github-actions[bot]"
_TRIGGERS: Final = {
    "pull_request": Trigger.PROPOSAL,
    "pull_request_target": Trigger.OUTSIDE,
    "push": Trigger.PUSH,
    "schedule": Trigger.SCHEDULE,
}
_SECRETS: Final = ("RECONCILER_CLIENT_ID", "RECONCILER_CLIENT_SECRET")
_LONGEST_STATUS: Final = 140


class GitHub:
    """One repository; `environ` is that of a job, or of a person who has set GITHUB_REPOSITORY and GITHUB_TOKEN."""

    @staticmethod
    def here(environ: Mapping[str, str]) -> bool:
        """Whether this runs on GitHub Actions, or what does as if."""
        return environ.get("GITHUB_ACTIONS") == "true"

    @staticmethod
    def from_outside(server: str, path: str, environ: Mapping[str, str]) -> Mapping[str, str]:
        """Return what a job's environment would say of a repository."""
        root = "https://api.github.com" if server == "https://github.com" else f"{server}/api/v3"
        usual = {"GITHUB_SERVER_URL": server, "GITHUB_REPOSITORY": path, "GITHUB_API_URL": root}
        return {**usual, "GITHUB_TOKEN": environ.get("GH_TOKEN", ""), **environ}

    noun = "pull request"
    sign = "#"

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.repository = environ.get("GITHUB_REPOSITORY", "")
        root = environ.get("GITHUB_API_URL") or "https://api.github.com"
        self._server = environ.get("GITHUB_SERVER_URL") or "https://github.com"
        self.web = f"{self._server}/{self.repository}"
        token = environ.get("GITHUB_TOKEN", "")
        self.git_login = ("x-access-token", token)
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._rest = Rest(Service("GitHub", f"{root}/repos/{self.repository}", headers, _missing))
        self._event = _event(environ)

    def close(self) -> None:
        """See Platform."""
        self._rest.close()

    # -- the run ---------------------------------------------------------------------------------------------------

    @property
    def trigger(self) -> Trigger:
        """See Platform."""
        return _TRIGGERS.get(self._environ.get("GITHUB_EVENT_NAME", ""), Trigger.MANUAL)

    @property
    def run_url(self) -> str:
        """See Platform."""
        return f"{self.web}/actions/runs/{self._environ.get('GITHUB_RUN_ID', '')}"

    @property
    def branch(self) -> str:
        """See Platform."""
        proposal = self.proposal
        return proposal.base if proposal else self._environ.get("GITHUB_REF_NAME", "")

    @cached_property
    def default_branch(self) -> str:
        """See Platform. The event of a schedule may not name it."""
        repository = self._event.get("repository") or self._rest.get("")
        return str(repository["default_branch"])

    @property
    def proposal(self) -> Proposal | None:
        """See Platform."""
        pull = self._event.get("pull_request")
        return _proposal(pull) if pull else None

    def pass_on(self, outputs: Mapping[str, str]) -> None:
        """See Platform."""
        if file := self._environ.get("GITHUB_OUTPUT"):
            with Path(file).open("a", encoding="utf-8") as stream:
                for name, value in outputs.items():
                    end = secrets.token_hex(16)
                    stream.write(f"{name}<<{end}\n{value}\n{end}\n")

    # -- proposals -------------------------------------------------------------------------------------------------

    def is_current(self, proposal: Proposal) -> bool:
        """See Platform."""
        pull = self._rest.get(f"/pulls/{proposal.number}")
        return bool(pull["state"] == "open" and pull["head"]["sha"] == proposal.head)

    def merged(self, commit: str) -> Iterable[Proposal]:
        """See Platform."""
        pulls = self._rest.pages(f"/commits/{commit}/pulls")
        return [_proposal(pull) for pull in pulls if pull["merged_at"] and pull["base"]["ref"] == self.default_branch]

    def open_proposals(self) -> Iterator[Proposal]:
        """See Platform."""
        for pull in self._rest.pages(
            "/pulls", state="open", base=self.default_branch, sort="updated", direction="desc"
        ):
            yield _proposal(pull)

    def was_shown(self, head: str, context: str) -> bool:
        """See Platform. The latest status of a context comes first."""
        for status in self._rest.pages(f"/commits/{head}/statuses"):
            if status["context"] == context:
                return status["state"] in {Verdict.PLANNED, Verdict.REFUSED}
        return False

    def record(self, head: str, context: str, verdict: Verdict, said: str) -> None:
        """See Platform."""
        said = said if len(said) <= _LONGEST_STATUS else said[: _LONGEST_STATUS - 1] + "…"
        body = {"state": verdict.value, "context": context, "description": said, "target_url": self.run_url}
        self._rest.send("POST", f"/statuses/{head}", body)

    def comment(self, proposal: int, first_words: str) -> Comment | None:
        """See Platform: anybody can write a comment that begins like ours."""
        for comment in self._rest.pages(f"/issues/{proposal}/comments"):
            if comment["user"]["login"] == _BOT and comment["body"].startswith(first_words):
                return Comment(comment["id"], comment["body"])
        return None

    def write_comment(self, proposal: int, old: Comment | None, body: str) -> None:
        """See Platform."""
        if old:
            self._rest.send("PATCH", f"/issues/comments/{old.id}", {"body": body})
        else:
            self._rest.send("POST", f"/issues/{proposal}/comments", {"body": body}, again=False)

    # -- approvals and settings ------------------------------------------------------------------------------------

    def asks_somebody(self, environment: str) -> bool:
        """See Platform. An environment that isn't there is made by its first use, without rules."""
        try:
            found = self._rest.get(f"/environments/{quote(environment, safe='')}")
        except NotFound:
            return False
        rules = found.get("protection_rules") or []
        return any(rule["type"] == "required_reviewers" and rule.get("reviewers") for rule in rules)

    def how_to_approve(self, fingerprint: str) -> str:
        """See Platform."""
        workflow = self._environ.get("GITHUB_WORKFLOW_REF", "").partition("@")[0].rpartition("/")[2]
        return f"gh workflow run {workflow or 'reconciler-apply.yml'} -R {self.repository} -f approve={fingerprint}"

    def settings(self, branch: str, environment: str | None) -> Iterator[Setting]:
        """See Platform."""
        name, pages = f"reconciler-{environment}" if environment else "reconciler", f"{self.web}/settings"
        yield Setting(
            f"{pages}/branches: a rule for {branch} that demands a pull request with a review",
            "what is merged is applied: without the rule, whoever may push decides alone",
            lambda: self._is_protected(branch),
        )
        yield Setting(
            f"{pages}/environments: {name}, for the branch {branch} only, with the secrets {' and '.join(_SECRETS)}",
            "no other branch gets the credentials",
            lambda: self._holds_secrets(name),
        )
        yield Setting(
            f"{pages}/environments: {name}-approval, with required reviewers",
            "they are asked about what no reviewed pull request showed. Without them (not every plan of GitHub has "
            "them), that is refused until a person starts the workflow with its fingerprint",
            lambda: self.asks_somebody(f"{name}-approval"),
        )
        yield Setting(
            f"{pages}/actions: workflow permissions, read",
            "a workflow that asks for nothing gets no more",
            lambda: self._rest.get("/actions/permissions/workflow")["default_workflow_permissions"] == "read",
        )
        yield Setting(
            f"{pages}/actions: approval for running the workflows of outside contributors",
            "in a public repository, a stranger's first pull request runs what it likes otherwise",
            self._asks_about_forks,
        )

    def _is_protected(self, branch: str) -> bool:
        name = quote(branch, safe="")
        rules = {rule["type"] for rule in self._rest.get(f"/rules/branches/{name}")}
        return "pull_request" in rules or bool(self._rest.get(f"/branches/{name}")["protected"])

    def _holds_secrets(self, environment: str) -> bool:
        at = f"/environments/{quote(environment, safe='')}"
        limited = bool(self._rest.get(at).get("deployment_branch_policy"))
        named = {secret["name"] for secret in self._rest.get(f"{at}/secrets", per_page=100)["secrets"]}
        return limited and named >= set(_SECRETS)

    def _asks_about_forks(self) -> bool:
        if self._rest.get("")["private"]:
            return True
        policy = self._rest.get("/actions/permissions/fork-pr-contributor-approval")["approval_policy"]
        return bool(policy != "first_time_contributors_new_to_github")


def _event(environ: Mapping[str, str]) -> dict[str, Any]:
    if not (file := environ.get("GITHUB_EVENT_PATH")):
        return {}
    try:
        event = orjson.loads(Path(file).read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise PlatformError(f"{file}: the event of this run can't be read") from error
    return event if isinstance(event, dict) else {}


def _proposal(pull: Mapping[str, Any]) -> Proposal:
    return Proposal(int(pull["number"]), str(pull["head"]["sha"]), str(pull["base"]["ref"]))


def _missing(headers: Mapping[str, str], _body: str) -> str:
    """Return what the token of a job, or a fine-grained or classic one, would need."""
    with suppress(KeyError):
        return headers["X-Accepted-GitHub-Permissions"].replace("=", ": ").replace("_", "-")
    return headers.get("X-Accepted-OAuth-Scopes", "")
