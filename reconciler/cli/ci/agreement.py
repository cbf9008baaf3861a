"""What was agreed to since the commit that was applied last: asked of the platform, computed from the commits."""

from __future__ import annotations

from typing import Final

from reconciler.ci.platform import Proposal
from reconciler.ci.repository import GitError
from reconciler.ci.reviewed import Agreed, Declared, declared, known, touched, word
from reconciler.cli.ci.pipeline import Pipeline
from reconciler.declarations import loader
from reconciler.errors import DeclarationError
from reconciler.planning.plan import Change
from reconciler.state.model import State

_COMMITS: Final = 100
"""How far back reviews are looked for: each commit is a question to the platform."""


def applied_last(state: State) -> str | None:
    """Return the commit that was applied last."""
    return state.applied.commit if state.applied else None


def is_old(pipeline: Pipeline, state: State) -> bool:
    """Whether a later commit was applied already; a guard stands against what is on another line."""
    last, commit = applied_last(state), pipeline.repository.head
    if not last or last == commit or pipeline.options.allow_older_commit:
        return False
    if not pipeline.repository.follows(last, commit):
        return False
    pipeline.console.note(f"{last}, which follows {commit}, was applied already: nothing to apply.")
    return True


def agreement(pipeline: Pipeline, state: State, approved: str = "") -> Agreed:
    """Return what the checked out commit may do: what was reviewed, is due anyway, or a person approved."""
    content: dict[str, str | None] = {}
    for proposal, base in merged_since(pipeline, state).values():
        content |= _reviewed(pipeline, proposal, base)
    return Agreed(content, frozenset([*map(word, due(pipeline, state)), *known(approved)]))


def due(pipeline: Pipeline, state: State) -> tuple[Change, ...]:
    """Return what is left to do of the commit that was applied last: what failed, or is unknown."""
    last = applied_last(state)
    if last is None:
        return ()
    try:
        with pipeline.back_at(last) as before:
            plan = before.review(before.workspace, state).plan
    except (DeclarationError, GitError):
        return ()
    return tuple(change for change in plan.changes if change.action.counted)


def what_is_due(pipeline: Pipeline, state: State) -> str:
    """Return what the schedule does: `apply` a reviewed merge that nothing has applied, `retry` what is left, or ``."""
    try:
        reviewed = pipeline.review(pipeline.workspace, state)
        covered = not reviewed.shown.refusals and not agreement(pipeline, state).uncovered(reviewed.plan)
    except DeclarationError:
        covered = False
    if covered:
        return "apply" if reviewed.plan.changed else ""
    return "retry" if due(pipeline, state) else ""


def merged_since(pipeline: Pipeline, state: State) -> dict[int, tuple[Proposal, str]]:
    """Return the proposals merged since, by number, oldest first; each with the commit that it came on top of."""
    repository, last = pipeline.repository, applied_last(state)
    found: dict[int, tuple[Proposal, str]] = {}
    if last and not repository.follows(repository.head, last):
        return found  # after a forced push, nobody can tell what came since
    for commit in repository.commits(last, repository.head, (pipeline.declarations,), _COMMITS):
        for proposal in pipeline.platform.merged(commit):
            if base := repository.parent(commit):
                found.setdefault(proposal.number, (proposal, base))
    return found


def merged_last(pipeline: Pipeline, commit: str) -> list[Proposal]:
    """Return the proposals that changed the declarations last, up to a commit: a retry is about them."""
    last = pipeline.repository.commits(None, commit, (pipeline.declarations,), 1)
    return [proposal for each in last for proposal in pipeline.platform.merged(each)]


def _reviewed(pipeline: Pipeline, proposal: Proposal, base: str) -> dict[str, str | None]:
    """Return what a merged proposal left addresses with, as far as its plan was shown."""
    name = f"{pipeline.platform.noun} {pipeline.platform.sign}{proposal.number}"
    if not pipeline.platform.was_shown(proposal.head, pipeline.context):
        pipeline.console.note(f"The plan of {name} was never shown.")
        return {}
    repository = pipeline.repository
    try:
        repository.fetch(proposal.head)
    except GitError as error:
        pipeline.console.warn(f"the commit of {name} can't be had: {error}")
        return {}
    before = repository.fork_point(proposal.head, base)
    return touched(_declared(pipeline, before) if before else {}, _declared(pipeline, proposal.head))


def _declared(pipeline: Pipeline, commit: str) -> Declared:
    """Return what a commit declares; nothing where that isn't valid."""
    with pipeline.at(commit) as workspace:
        settings = workspace.settings
        try:
            found = loader.load(settings.interactions, settings.keys.rules, base=settings.folder)
        except DeclarationError:
            return {}
    return declared(found.interactions)
