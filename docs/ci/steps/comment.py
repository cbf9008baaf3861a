# ruff: noqa: INP001, T201  # a script: no package, and it prints
"""Put the plan of a pull request's run into one comment. Runs none of the pull request's code, checks out none of it.

Which pull request it is comes from the event and from GitHub, never from the artifact. The token can write comments.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from github_api import GitHub, fingerprint

BOT: Final = "github-actions[bot]"
FIRST_WORDS: Final = "<!-- reconciler:plan environment={environment} "


def main(environ: Mapping[str, str]) -> str:
    """Make or update the comment, and return what was done."""
    github = GitHub(environ)
    pull = pull_of_run(github, environ)
    if pull is None:
        return "The run's commit is no open pull request's head any more: nothing to say."
    first_words = FIRST_WORDS.format(environment=environ["PLAN_ENVIRONMENT"])
    body = comment_body(github, pull, environ, first_words)
    path = f"/issues/{int(pull['number'])}/comments"
    for comment in github.pages(path):
        # Only our own: anybody can write a comment that starts like ours.
        if comment["user"]["login"] == BOT and comment["body"].startswith(first_words):
            github.call(f"/issues/comments/{int(comment['id'])}", "PATCH", {"body": body})
            return f"Updated the comment of pull request {pull['number']}."
    github.call(path, "POST", {"body": body})
    return f"Made the comment of pull request {pull['number']}."


def pull_of_run(github: GitHub, environ: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the open pull request whose head is what the run planned."""
    head = f"{environ['HEAD_OWNER']}:{environ['HEAD_BRANCH']}"
    query = urlencode({"state": "open", "head": head, "base": environ["BASE_BRANCH"]})
    for pull in github.call(f"/pulls?{query}"):
        repository = pull["head"]["repo"]
        if pull["head"]["sha"] == environ["HEAD_SHA"] and repository and str(repository["id"]) == environ["HEAD_ID"]:
            return dict(pull)
    return None


def comment_body(github: GitHub, pull: Mapping[str, Any], environ: Mapping[str, str], first_words: str) -> str:
    """Return the plan as the run wrote it, or, where that can't be shown, why not."""
    run = f"[the run]({environ['RUN_URL']})"
    if not github.may_write_plan(pull):
        why = f"This fork changes more than declarations, so its run could write what it likes here. See {run}."
    else:
        plan = github.plan_of_run(environ["RUN_ID"])
        if plan and plan.startswith(first_words) and fingerprint(plan):
            return plan
        why = f"There is no plan: {run} says why."
    return f"{first_words}fingerprint=none -->\n**No plan is shown for {environ['HEAD_SHA'][:12]}.** {why}\n"


if __name__ == "__main__":
    print(main(os.environ))
