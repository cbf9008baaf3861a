"""What was agreed to since the commit that was applied last: asked of the platform, computed from the commits."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from reconciler.ci.platform import Proposal
from reconciler.ci.repository import GitError
from reconciler.ci.reviewed import Agreed, Declared, declared, known, touched, word
from reconciler.cli.ci.pipeline import Pipeline
from reconciler.declarations import loader
from reconciler.errors import DeclarationError, ReconcilerError
from reconciler.planning.plan import Change
from reconciler.state.model import State

_COMMITS: Final = 100
"""How far back reviews are looked for: each commit is a question to the platform."""


def applied_last(pipeline: Pipeline) -> str | None:
    """Return the commit that was applied last."""
    try:
        return _note(pipeline).read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None


def remember(pipeline: Pipeline, commit: str) -> None:
    """Keep which commit was applied last."""
    _note(pipeline).write_text(commit + "\n", encoding="ascii")


def _note(pipeline: Pipeline) -> Path:
    path = pipeline.workspace.state_path
    if path is None:
        raise ReconcilerError(f"{pipeline.workspace.place}: `reconciler ci` takes a state in a file, so far")
    return path.with_name(f"{path.name}.commit")


def may_apply(pipeline: Pipeline) -> bool:
    """Whether what is checked out follows what was applied last; a forced push needs a person."""
    last, commit = applied_last(pipeline), pipeline.repository.head
    if last is None or pipeline.repository.follows(commit, last):
        return True
    if pipeline.repository.follows(last, commit):
        pipeline.console.note(f"{last} was applied already, which follows {commit}: nothing to apply.")
        return False
    raise ReconcilerError(
        f"{last} was applied last, and {commit} does not follow it: applying it would undo merges. Nothing was sent.",
        hint="Was the branch forced? Then apply once by hand.",
    )


def agreement(pipeline: Pipeline, state: State, approved: str = "") -> Agreed:
    """Return what the checked out commit may do: what was reviewed, is due anyway, or a person approved."""
    content: dict[str, str | None] = {}
    for proposal, base in merged_since(pipeline).values():
        content |= _reviewed(pipeline, proposal, base)
    return Agreed(content, frozenset([*map(word, due(pipeline, state)), *known(approved)]))


def due(pipeline: Pipeline, state: State) -> tuple[Change, ...]:
    """Return what is left to do of the commit that was applied last: what failed, or is unknown."""
    last = applied_last(pipeline)
    if last is None:
        return ()
    try:
        with pipeline.at(last, configured=True) as workspace:
            plan = pipeline.review(workspace, state).plan
    except (DeclarationError, GitError):
        return ()
    return tuple(change for change in plan.changes if change.action.counted)


def what_is_due(pipeline: Pipeline, state: State) -> str:
    """Return what the schedule does: `apply` a reviewed merge that nothing has applied, else `retry` what is left."""
    try:
        reviewed = pipeline.review(pipeline.workspace, state)
        covered = not reviewed.shown.refusals and not agreement(pipeline, state).uncovered(reviewed.plan)
    except DeclarationError:
        covered = False
    if covered:
        return "apply" if reviewed.plan.changed else "nothing"
    return "retry" if due(pipeline, state) else "nothing"


def merged_since(pipeline: Pipeline) -> dict[int, tuple[Proposal, str]]:
    """Return the proposals merged since, by number, oldest first; each with the commit that it came on top of."""
    repository, last = pipeline.repository, applied_last(pipeline)
    found: dict[int, tuple[Proposal, str]] = {}
    for commit in repository.commits(last, repository.head, (pipeline.declarations,), _COMMITS):
        for proposal in pipeline.platform.merged(commit):
            if base := repository.parent(commit):
                found.setdefault(proposal.number, (proposal, base))
    return found


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
