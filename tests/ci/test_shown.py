"""docs/ci/README.md shows what the pipelines really print."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.api import SandboxServer
from tests.ci.hosting import STATE, Hosting
from tests.ci.runner import Job
from tests.conftest import ROOT
from tests.golden import assert_golden

PAGE = ROOT / "docs" / "ci" / "README.md"
BLOCK = re.compile(r"(<!-- shown: ([a-z-]+) -->\n(`{3,})\w*\n).*?(\n\3\n)", re.DOTALL)
CRM = "interactions/crm.yaml"
BEFORE = """\
provider: CrmIntegration
interactions:
  - {externalid: ObjectId_001, route: CrmCallRouting}
  - {externalid: ObjectId_002, route: CrmCallRouting}
"""
AFTER = """\
provider: CrmIntegration
interactions:
  - {externalid: ObjectId_001, route: CrmNightRouting}
  - {externalid: ObjectId_003, route: CrmCallRouting}
"""


@pytest.fixture
def shown(hosting: Hosting, server: SandboxServer) -> dict[str, str]:
    """Give what each place shows, in the course of a failed apply, its retry, a lost run and a refused push."""
    first = hosting.apply(hosting.merge(hosting.propose({CRM: BEFORE})), approve=True)
    pull = hosting.propose({CRM: AFTER})
    hosting.comment(hosting.plan(pull))
    server.faults.add("fail externalid=ObjectId_003")
    commit = hosting.merge(pull)
    applied = hosting.apply(commit)
    retried = hosting.retry()
    log = hosting.git(hosting.bare, "log", "--format=%s", "reconciler-state")
    elsewhere(hosting, f"{STATE}.taken", f"{commit} https://github.example/acme/calls/actions/runs/7\n")
    refused = hosting.apply(hosting.merge(hosting.propose({CRM: BEFORE})), approve=True)
    texts = {
        "approval": said(first.jobs["plan"], "Is it what was reviewed?"),
        "comment": hosting.comments[2][0]["body"],
        "reviewed": said(applied.jobs["plan"], "Is it what was reviewed?"),
        "failed": said(applied.jobs["apply"], "Apply"),
        "retried": said(retried, "Retry"),
        "branch": log,
        "taken": said(refused.jobs["apply"], "Apply"),
    }
    return {name: steady(text, server.base_url) for name, text in texts.items()}


def said(job: Job, step: str) -> str:
    """Return what a step said."""
    return job.step(step).said


def elsewhere(hosting: Hosting, file: str, text: str) -> None:
    """Let someone else push a file to the state branch."""
    clone = hosting.clone(f"else-{len(list(hosting.folder.iterdir()))}")
    hosting.git(clone, "checkout", "--quiet", "reconciler-state")
    (clone / file).write_text(text, encoding="utf-8")
    hosting.commit(clone, "From elsewhere")
    hosting.git(clone, "push", "--quiet", "origin", "reconciler-state")


def steady(text: str, base_url: str) -> str:
    """Return a text without what differs from run to run."""
    text = text.replace(base_url, "https://emea.api.newvoicemedia.com")
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "281b31de-f3de-5428-b30f-a94c10f0011a", text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "9f2c…", text)
    seen: dict[str, str] = {}
    return re.sub(r"\b[0-9a-f]{40}\b", lambda found: seen.setdefault(found[0], f"{len(seen) + 1:x}d4e9a7…"), text)


def test_the_page_shows_what_is_printed(shown: dict[str, str]) -> None:
    """Each block of the page is what the run prints, but for identifiers; each output of the run is on the page."""
    page = PAGE.read_text(encoding="utf-8")
    assert {match[2] for match in BLOCK.finditer(page)} == set(shown)
    anew = BLOCK.sub(lambda match: match[1] + shown[match[2]].strip("\n") + match[4], page)
    assert_golden(anew, Path(PAGE))
