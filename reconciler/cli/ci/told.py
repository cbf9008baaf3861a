"""What a proposal's page is told: a comment with the plan where there is one, and the commit's status."""

from __future__ import annotations

import os
from typing import Final

from reconciler.ci.platform import Proposal, Verdict
from reconciler.ci.rest import Unclear
from reconciler.cli.ci.pipeline import Pipeline
from reconciler.cli.console import settings_folder
from reconciler.cli.links import links
from reconciler.delivery.report import Report
from reconciler.planning.saved_plan import SavedPlan, fingerprint
from reconciler.render.markdown.gfm import code
from reconciler.render.markdown.plan import LIMIT, plan_markdown
from reconciler.render.markdown.report import report_markdown
from reconciler.render.words import count, counted

_FOOTER: Final = 1_000
"""Characters of a comment that are not the plan's."""
_VOID: Final = "> [!WARNING]\n> **This plan is void:"
_SHOWN: Final = 12


def tell_plan(pipeline: Pipeline, proposal: Proposal, saved: SavedPlan, note: str = "") -> None:
    """Give a proposal its plan as a comment, unless there is nothing to say and nothing was said before."""
    old = pipeline.platform.comment(proposal.number, pipeline.first_words)
    if old or saved.plan.changed or saved.refusals or saved.plan.held:
        environ = {**os.environ, "RECONCILER_COMMIT": proposal.head}
        source = links(settings_folder(pipeline.options), environ)
        body = plan_markdown(saved, source, LIMIT - _FOOTER, pipeline.console.command)
        footer = f"\n{note}Planned for {code(proposal.head[:_SHOWN])} by [this run]({pipeline.platform.run_url}).\n"
        _say(pipeline, proposal, body + footer)
    verdict, said = _verdict(saved)
    pipeline.platform.record(proposal.head, pipeline.context, verdict, said)


def tell_no_plan(pipeline: Pipeline, proposal: Proposal, why: str) -> None:
    """Say that there is no plan, and why."""
    run = f"[This run]({pipeline.platform.run_url}) says more."
    body = f"**There is no plan for {code(proposal.head[:_SHOWN])}.** {why} {run}"
    _say(pipeline, proposal, f"{pipeline.first_words}fingerprint=none -->\n{body}\n")
    pipeline.platform.record(proposal.head, pipeline.context, Verdict.UNPLANNED, why)


def tell_applied(pipeline: Pipeline, proposal: Proposal, commit: str, report: Report) -> None:
    """Replace the plan of a merged proposal by what became of it; one without a comment had nothing to apply."""
    if not pipeline.platform.comment(proposal.number, pipeline.first_words):
        return
    said = report_markdown(report, pipeline.environment, LIMIT - _FOOTER, pipeline.console.command)
    footer = f"Applied at {code(commit[:_SHOWN])} by [this run]({pipeline.platform.run_url})."
    body = f"{pipeline.first_words}fingerprint=none -->\n{said}\n{footer}\n"
    _say(pipeline, proposal, body)


def tell_void(pipeline: Pipeline, proposal: Proposal, now: SavedPlan | None) -> bool:
    """Mark the plan of an open proposal where it would be another one `now`; return whether it was marked."""
    old = pipeline.platform.comment(proposal.number, pipeline.first_words)
    if not old or _VOID in old.body or "fingerprint=none" in old.body.partition("\n")[0]:
        return False
    if now and f"fingerprint={fingerprint(now.plan)} -->" in old.body.partition("\n")[0]:
        return False
    first, _, rest = old.body.partition("\n")
    why = f"{code(pipeline.platform.default_branch)} has moved on.** Update the branch to have it planned anew."
    _say(pipeline, proposal, f"{first}\n{_VOID} {why}\n\n{rest}")
    return True


def _say(pipeline: Pipeline, proposal: Proposal, body: str) -> None:
    """Make the comment, or replace the one that is there: it is looked for again after an answer that tells nothing."""
    for last in (False, False, True):
        old = pipeline.platform.comment(proposal.number, pipeline.first_words)
        try:
            pipeline.platform.write_comment(proposal.number, old, body)
        except Unclear:
            if last:
                raise
        else:
            return


def _verdict(saved: SavedPlan) -> tuple[Verdict, str]:
    if saved.refusals:
        return Verdict.REFUSED, f"refused by {count(len(saved.refusals), 'guard')}"
    return Verdict.PLANNED, ", ".join(counted(saved.plan)) or "no changes"
