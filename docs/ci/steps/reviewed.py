# ruff: noqa: INP001, T201  # a script: no package, and it prints
"""Say whether the plan of this commit is the one that was shown in its pull request; if not, it needs approval.

Only fingerprints are compared. What is applied, approvals included, is the plan made here, never the artifact.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

from github_api import GitHub, fingerprint


def why_approval(environ: Mapping[str, str]) -> str | None:
    """Return why a person has to approve, or None where the plan was reviewed or sends nothing."""
    if environ["PLAN_CODE"] != "2":
        return None
    github = GitHub(environ)
    commit = environ["GITHUB_SHA"]
    merged = [pull for pull in github.call(f"/commits/{commit}/pulls") if pull["merge_commit_sha"] == commit]
    if not merged or not merged[0]["merged_at"]:
        return "this commit is no merged pull request"
    pull = merged[0]
    if not github.may_write_plan(pull):
        return "the pull request came from a fork and changed more than declarations"
    head = pull["head"]
    query = urlencode({"event": "pull_request", "head_sha": head["sha"], "status": "completed", "per_page": 100})
    runs = github.call(f"/actions/workflows/{environ['PLAN_WORKFLOW']}/runs?{query}")["workflow_runs"]
    own = [run for run in runs if head["repo"] and (run["head_repository"] or {}).get("id") == head["repo"]["id"]]
    shown = github.plan_of_run(max(run["id"] for run in own)) if own else None
    if shown is None:
        return f"the plan of pull request {pull['number']} can't be had any more"
    if fingerprint(shown) != fingerprint(Path("reconciler-plan/plan.md").read_text(encoding="utf-8")):
        return f"the plan is not the one that was shown in pull request {pull['number']}"
    return None


if __name__ == "__main__":
    reason = why_approval(os.environ)
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as output:
        output.write(f"approval={'needed' if reason else 'given'}\n")
    print(f"Approval is needed: {reason}." if reason else "No approval is needed: this is what was reviewed.")
