"""What a plan may not do unasked: the limits, and the exact override for each.

Pure. A refusal shows its numbers; an approval permits its count and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from reconciler.commandline import quoted
from reconciler.errors import Problem
from reconciler.interaction import is_once
from reconciler.planning.plan import Action, Change, Plan, Reason
from reconciler.planning.selection import is_within
from reconciler.state.model import Applied

ALWAYS_ALLOWED: Final = 5
_OPEN: Final = "To allow it, declare it with prevent_release: false, apply that, and only then remove or change it."
_IN_DOUBT: Final = (
    "Put its declaration back as it was: then it is settled, or held until a person has looked it up. Or declare it "
    "with prevent_release: false."
)
_DOUBTS: Final = frozenset({Reason.MAYBE_OPEN, Reason.MAYBE_CLOSED, Reason.OUTCOME_UNKNOWN})
RefusalCode = Literal[
    "no-state",
    "missing-path",
    "nothing-declared",
    "max-releases",
    "max-release-percent",
    "max-dispatches",
    "prevent-release",
    "outside-path",
    "older-commit",
    "policy",
]
Relation = Literal["older", "elsewhere", "shallow", "unknown"]
"""How what is checked out stands to a commit that it doesn't follow: before it, on another line, or nobody can tell."""
_SHOWN: Final = 12
_RELATIONS: Final[Mapping[Relation, tuple[str, str]]] = {
    "older": (
        "is older than it",
        "Check out what was applied, or what follows it. To go back, revert in a new commit.",
    ),
    "elsewhere": (
        "does not follow it: it is on another branch, or that one was rebased or force-pushed",
        "Merge what was applied, or rebase onto it. After a force-push, see first that nothing of it is undone.",
    ),
    "shallow": (
        "can't be seen to follow it: this clone is shallow",
        "Fetch its history: git fetch --unshallow (fetch-depth: 0 in GitHub Actions, GIT_DEPTH: 0 in GitLab).",
    ),
    "unknown": (
        "can't be seen to follow it: that one is not in this repository",
        "Fetch it: git fetch --all. If it was force-pushed away, see first that nothing of it is undone.",
    ),
}


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """The configured limits; None is no limit."""

    max_release_percent: int
    max_releases: int | None
    max_dispatches: int | None


@dataclass(frozen=True, slots=True)
class Approvals:
    """What was approved for this plan: so many releases, dispatches, or declarations gone from outside the path read.

    `empty`: that nothing at all is declared; `older_commit`: that this one need not follow the one applied last.
    """

    releases: int | None = None
    dispatches: int | None = None
    empty: bool = False
    outside: int | None = None
    older_commit: str | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A guard that stands against the plan.

    `code` is stable; `override` is the exact flag, `hint` the way on without; `names` are what of the message was
    declared, in the order in which it stands there.
    """

    code: RefusalCode
    message: str
    override: str = ""
    hint: str = ""
    names: tuple[str, ...] = ()


def refusals(plan: Plan, limits: GuardLimits, approvals: Approvals, root: str = ".") -> tuple[Refusal, ...]:
    """Return every guard that stands against the plan; none means it may be applied.

    `root` is the file or folder that the declarations were read from, named as their files are.
    """
    found = (
        _nothing_declared(plan, approvals),
        _outside(plan, approvals, root),
        _releases(plan, limits, approvals),
        _dispatches(plan, limits, approvals),
    )
    return (*(refusal for refusal in found if refusal), *_prevented(plan))


def older_commit(head: str, applied: Applied, relation: Relation, approvals: Approvals) -> Refusal | None:
    """Refuse to apply a commit that does not follow the one applied last, unless just this one was approved."""
    if approvals.older_commit and head.startswith(approvals.older_commit):
        return None
    said, hint = _RELATIONS[relation]
    last = f"commit {applied.commit[:_SHOWN]} was applied last, {applied.at} by {applied.by}"
    override = f"--allow-older-commit {head[:_SHOWN]}"
    return Refusal("older-commit", f"{last}; {head[:_SHOWN]}, which is checked out, {said}", override, hint)


def denied(violations: Iterable[Problem]) -> tuple[Refusal, ...]:
    """Refuse what breaks a rule of the policy. No flag allows it: an exception is declared, for others to see."""
    return tuple(Refusal("policy", f"{each.place}: {each.message.rstrip('.')}", hint=each.hint) for each in violations)


def _nothing_declared(plan: Plan, approvals: Approvals) -> Refusal | None:
    if plan.declared or not plan.releasable or approvals.empty:
        return None
    return Refusal(
        "nothing-declared",
        f"nothing at all is declared, while {_count(plan.releasable, 'interaction is', 'interactions are')} open",
        "--allow-empty",
    )


def _outside(plan: Plan, approvals: Approvals, root: str) -> Refusal | None:
    """Refuse to take what was declared elsewhere as gone: a part of the declarations says nothing of the others."""
    gone = [change.place for change in plan.changes if change.after is None and change.action is not Action.HOLD]
    outside = sorted(place for place in gone if place and not is_within(place, root))
    if len(outside) <= (approvals.outside or 0):
        return None
    number = len(outside)
    return Refusal(
        "outside-path",
        f"{_count(number, 'interaction that is', 'interactions that are')} not declared in {root} "
        f"{'was' if number == 1 else 'were'} declared outside it ({outside[0]}{', …' if number > 1 else ''})",
        f"--allow-outside {number}",
        f"To plan a part, read all and choose: {quoted(f'--target=file:{root}')}. Allow it only if they are gone.",
    )


def _releases(plan: Plan, limits: GuardLimits, approvals: Approvals) -> Refusal | None:
    releases = sum(change.releases and not is_once(change.address) for change in plan.changes)
    if approvals.releases is not None and releases <= approvals.releases:
        return None
    override = f"--allow-releases {releases}"
    if limits.max_releases is not None and releases > limits.max_releases:
        return Refusal("max-releases", f"{releases} to release, more than max_releases {limits.max_releases}", override)
    # An explicit number always binds; the percentage allows a few, so that small sets can be worked with.
    too_many = releases * 100 > limits.max_release_percent * plan.releasable and releases > ALWAYS_ALLOWED
    if not too_many or limits.max_release_percent >= 100:  # noqa: PLR2004
        return None
    share = 100 * releases / plan.releasable if plan.releasable else 100
    return Refusal(
        "max-release-percent",
        f"{releases} of {plan.releasable} open interactions to release ({share:.0f} %), "
        f"more than max_release_percent {limits.max_release_percent}",
        override,
    )


def _dispatches(plan: Plan, limits: GuardLimits, approvals: Approvals) -> Refusal | None:
    dispatches = sum(change.dispatches for change in plan.changes)
    if approvals.dispatches is not None and dispatches <= approvals.dispatches:
        return None
    if limits.max_dispatches is None or dispatches <= limits.max_dispatches:
        return None
    return Refusal(
        "max-dispatches",
        f"{dispatches} to dispatch, more than max_dispatches {limits.max_dispatches}",
        f"--allow-dispatches {dispatches}",
    )


def _prevented(plan: Plan) -> list[Refusal]:
    return [
        Refusal(
            "prevent-release",
            f"{change.address} would be released, but its lifecycle says prevent_release ({change.place})",
            hint=_IN_DOUBT if change.reason in _DOUBTS else _OPEN,
            names=(change.address, "prevent_release", change.place),
        )
        for change in plan.changes
        if change.releases and _is_prevented(change)
    ]


def _is_prevented(change: Change) -> bool:
    """Whether it must not be released: a present declaration's own word counts, else what the state holds."""
    side = change.after or change.before
    return side is not None and side.prevent_release and change.action is not Action.HOLD


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
