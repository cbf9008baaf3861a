"""A plan as a person is to read it: sections by what happens, the most dangerous first, identical changes as one group.

Pure: what every rendering says, each in its own signs. Its texts are escaped; values that nobody may see are not in it.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

import orjson

from reconciler.escape import brief, visible
from reconciler.interaction import LINKED_BY
from reconciler.planning.diff import FieldChange, Secrecy
from reconciler.planning.guards import Approvals
from reconciler.planning.plan import Action, Change, Plan, Reason, Side
from reconciler.planning.policy import Excepted
from reconciler.planning.saved_plan import SavedPlan
from reconciler.render.words import count, step_words, times

_NO_VALUE: Final[Mapping[str, str]] = MappingProxyType({})
NO_VALUES: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType({})
ORDER: Final = {
    Action.RELEASE: ("to release", ""),
    Action.REPLACE: ("to replace", "Released, then dispatched as declared now."),
    Action.SETTLE: ("to settle", "What became of an earlier request is unknown; that is settled first."),
    Action.HOLD: ("held", "Nothing is sent for these until somebody has looked them up."),
    Action.DISPATCH: ("to dispatch", ""),
    Action.FORGET: ("to forget", "Leaves the state; nothing is sent."),
    Action.DRIFT: ("drifted", "Changed, but kept as declared; nothing is sent."),
    Action.RECORD: ("to record", "Only local facts changed; nothing is sent."),
}
"""Each kind of change, the most dangerous first, with its title and what it means."""
_TOP: Final = 3
_SAID: Final = frozenset({"name", "expiryafter", "label", "value", *LINKED_BY})
# The section says as much.
_PLAIN_REASONS: Final = frozenset(
    {Reason.NOT_OPEN, Reason.UNDECLARED, Reason.CHANGED, Reason.LOCAL, Reason.KEPT, Reason.OUTCOME_UNKNOWN}
)


class Field(NamedTuple):
    """One field that differs: what it was and will be, or a `note` where the value is not shown.

    `mark` is `+`, `-`, `!` (changed, perhaps) or nothing; `declared` is a sensitive value that was asked for.
    """

    name: str
    before: str | None = None
    after: str | None = None
    note: str = ""
    mark: str = ""
    declared: str = ""


class Shape(NamedTuple):
    """All that is shown of a change but its address and place: changes of one shape are one group.

    `new`: nothing is open, so the fields are all there is. `former` and `provider` are those of what is released.
    """

    action: Action
    attempt: str
    notes: tuple[str, ...]
    steps: tuple[str, ...]
    fields: tuple[Field, ...]
    new: bool
    former: str
    provider: str
    renamed: bool


class Group(NamedTuple):
    """Changes of one shape, by their places; `values` are the sensitive ones of the first to show, by field."""

    changes: tuple[Change, ...]
    values: Mapping[str, str] = _NO_VALUE

    @property
    def shape(self) -> Shape:
        """What is shown of each; made when it is looked at, for the shapes of 100,000 changes take much room."""
        return shape(self.changes[0], self.values)

    @property
    def is_new(self) -> bool:
        """Whether nothing but a dispatch of what is declared happens to them."""
        return self.changes[0].reason is Reason.NOT_OPEN and not self.changes[0].failure

    @property
    def place(self) -> str:
        """Where it is declared or was; of several, the file or how many there are."""
        if len(self.changes) == 1:
            return place(self.changes[0])
        files = {file_of(change) for change in self.changes}
        was = "" if _declared(self.changes[0]) else "was "
        return was + files.pop() if len(files) == 1 else f"{len(files)} files"


class Section(NamedTuple):
    """All changes of one kind; `note` says what it means."""

    action: Action
    title: str
    note: str
    groups: tuple[Group, ...]

    @property
    def number(self) -> int:
        """How many changes it has."""
        return sum(len(group.changes) for group in self.groups)


@dataclass(frozen=True, slots=True)
class Outline:
    """What a person is told of a plan.

    `where` says what it is about, as pairs of a word, maybe none, and a name: the environment, the account, the API.
    """

    saved: SavedPlan
    where: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    tallies: tuple[str, ...]
    warnings: tuple[str, ...]
    approved: tuple[str, ...]
    exceptions: tuple[tuple[str, str], ...]
    """What need not keep a rule of the policy: what is said of it, and where it is declared."""


def outline(saved: SavedPlan, values: Mapping[str, Mapping[str, str]] = NO_VALUES) -> Outline:
    """Return the plan for people; `values` are sensitive ones to show, by address and field."""
    changes = saved.plan.changes
    return Outline(
        saved,
        tuple(_where(saved)),
        tuple(_sections(changes, values)),
        tuple(_tallies(changes)),
        tuple(_warnings(saved.plan)),
        tuple(_approved(saved.approvals)),
        tuple(_exceptions(saved.exceptions)),
    )


def verdict(saved: SavedPlan) -> str:
    """Return what a plan comes to, in a few words."""
    if saved.refusals:
        return f"refused by {count(len(saved.refusals), 'guard')}"
    if saved.plan.changed:
        return "changes to apply"
    return "somebody has to look" if saved.plan.held else "no changes"


def _where(saved: SavedPlan) -> Iterator[tuple[str, str]]:
    target = saved.plan.target
    if saved.environment:
        yield "environment", visible(saved.environment)
    if target and target.account:
        yield "account", visible(target.account)
    yield ("", visible(target.base_url)) if target else ("no target", "")


def _sections(changes: Iterable[Change], values: Mapping[str, Mapping[str, str]]) -> Iterator[Section]:
    found: defaultdict[Action, defaultdict[bytes, list[Change]]] = defaultdict(lambda: defaultdict(list))
    for change in sorted(changes, key=_by_place):
        found[change.action][_key(change, values.get(change.address, _NO_VALUE))].append(change)
    for action, (title, note) in ORDER.items():
        if action in found:
            alike = map(tuple, found[action].values())
            yield Section(action, title, note, tuple(Group(each, values.get(each[0].address, {})) for each in alike))


def _key(change: Change, values: Mapping[str, str]) -> bytes:
    """Return what stands for a shape: a digest, for the shape itself is a hundred times as large."""
    own = change.diff is not None or change.renamed or change.attempt > 1 or bool(values)
    if change.reason is Reason.NOT_OPEN and change.after and not own:
        # Nothing but its content is shown of it, which a saved plan doesn't hold.
        what = b"%b %b" % (repr(change.after.provider).encode(), change.after.fields)
    else:
        what = repr(shape(change, values)).encode()
    return hashlib.blake2b(what, digest_size=16).digest()


def _by_place(change: Change) -> tuple[str, int, str]:
    side = change.after or change.before
    return (side.source, side.line, change.address) if side else ("", 0, change.address)


def shape(change: Change, values: Mapping[str, str] = _NO_VALUE) -> Shape:
    """Return what is shown of a change; `values` are its sensitive ones to show, by field."""
    gone = change.before if change.action is Action.RELEASE else None
    told = change.action is Action.SETTLE or change.reason in {Reason.MAYBE_OPEN, Reason.MAYBE_CLOSED}
    return Shape(
        change.action,
        f"attempt {change.attempt}: failed {times(change.attempt - 1)}" if change.attempt > 1 else "",
        tuple(_notes(change)),
        tuple(step_words(change.steps)) if told else (),
        tuple(_field(field, change, values) for field in change.differences if not _stays(field, change)),
        change.before is None,
        visible(gone.source) if gone else "",
        visible(gone.provider or "") if gone else "",
        bool(change.renamed),
    )


def _notes(change: Change) -> Iterator[str]:
    if change.reason not in _PLAIN_REASONS:
        yield change.reason.value
    if change.failure:
        yield f"last answer: {visible(change.failure)}"


def _stays(field: FieldChange, change: Change) -> bool:
    """Whether a sensitive field is as it was."""
    return change.before is not None and field.secrecy is Secrecy.SENSITIVE and field.before == field.after


def _field(field: FieldChange, change: Change, values: Mapping[str, str]) -> Field:
    name, before, after = visible(field.field), field.before, field.after
    if field.secrecy is Secrecy.OPEN:
        return Field(name, None if before is None else shown(before), None if after is None else shown(after))
    declared = visible(values.get(field.field, ""))
    if field.secrecy is Secrecy.MAYBE_CHANGED:
        return Field(name, note="(sensitive, changed)", mark="!", declared=declared)
    if change.before is None or (before is not None and after is not None):
        return Field(name, note="(sensitive)", declared=declared)
    if before is None:
        return Field(name, note="(sensitive, added)", mark="+", declared=declared)
    return Field(name, note="(sensitive, removed)", mark="-", declared=declared)


def shown(value: object) -> str:
    """Return one of the API's values as a reader would say it, escaped."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return _shown_object(value)
    if isinstance(value, list):
        return ", ".join(shown(item) for item in value)
    return visible(str(value).lower() if isinstance(value, bool) else str(value))


def _shown_object(value: dict[str, object]) -> str:
    """Return an item of a list: its name or value, then what else it has, but for what the field's name says."""
    text = ""
    if "name" in value:
        expiry = value.get("expiryafter")
        suffix = "" if expiry is None else " (optional)" if expiry == 0 else f" (expires after {expiry})"
        text = visible(str(value["name"])) + suffix
    elif "value" in value:
        text = visible(str(value["value"]))
        text = f'"{visible(str(value["label"]))}" {text}' if "label" in value else text
    more = [f"{visible(name)}: {shown(part)}" for name, part in value.items() if name not in _SAID]
    return f"{text} ({', '.join(more)})".lstrip() if more else text


def rename(group: Group) -> Iterator[str]:
    """Yield that it is a rename, if it is."""
    change = group.changes[0]
    if change.renamed:
        pair = [change.address, change.renamed]
        old, new = map(brief, pair if change.action is Action.RELEASE else reversed(pair))
        yield f"a rename, all else being equal: {old} → {new}" + (" and so on" if len(group.changes) > 1 else "")


# -- places and counts -------------------------------------------------------------------------------------------


def place(change: Change) -> str:
    """Return where a change is declared, or was."""
    return visible(("" if _declared(change) else "was ") + change.place) if change.place else ""


def _declared(change: Change) -> bool:
    return bool(change.after and change.after.line)


def file_of(change: Change) -> str:
    """Return the file that declares it, or did."""
    side = change.after or change.before
    return visible(side.source) if side else ""


def _tallies(changes: Iterable[Change]) -> Iterator[str]:
    """Yield how many changes each file and each route has, the most first; where there is but one, nothing."""
    counted = [change for change in changes if change.action is not Action.RECORD]
    for what, tally in (("file", Counter(map(file_of, counted))), ("route", Counter(map(route, counted)))):
        tally.pop("", None)
        if len(tally) > 1:
            top = [f"{brief(name)} {number}" for name, number in tally.most_common(_TOP)]
            more = [f"{len(tally) - _TOP} more"] if len(tally) > _TOP else []
            yield f"By {what}: {', '.join([*top, *more])}"


def route(change: Change) -> str:
    """Return the route that an interaction has or had, where it is known."""
    side = change.after or change.before
    return _route(side) if side else ""


def _route(side: Side) -> str:
    return visible(str(orjson.loads(side.fields).get("route", "")))


def facets(change: Change) -> dict[str, list[str]]:
    """Return the files, routes and providers that an interaction has or had: what a selector selects it by."""
    sides = [side for side in (change.before, change.after) if side]
    named = {
        "file": [visible(side.source) for side in sides],
        "route": [_route(side) for side in sides],
        "provider": [visible(side.provider or "") for side in sides],
    }
    return {facet: sorted({*names} - ({""} if facet != "provider" else set())) for facet, names in named.items()}


def _warnings(plan: Plan) -> Iterator[str]:
    """Yield what to look out for, each a sentence."""
    counts = plan.counts()
    facts = {
        "An agent may be handling what is replaced or released": sum(change.releases for change in plan.changes),
        "Released and dispatched again under another externalid, all else being equal (a rename)": sum(
            bool(change.renamed) and change.action is Action.RELEASE for change in plan.changes
        ),
        "Whether an earlier request was processed is unknown, and settled first": counts.get(Action.SETTLE, 0),
        "Held, for only a person can say what became of an earlier request": counts.get(Action.HOLD, 0),
        "Failed before, and tried again": sum(change.attempt > 1 for change in plan.changes),
        "The release kept failing, and is taken as done": sum(c.reason is Reason.GIVEN_UP for c in plan.changes),
    }
    yield from (f"{said}: {count(number, 'interaction')}." for said, number in facts.items() if number)


def _exceptions(exceptions: Iterable[Excepted]) -> Iterator[tuple[str, str]]:
    for each in exceptions:
        said = f"{brief(each.address)} need not keep {brief(each.rule)} until {each.until}: {visible(each.reason)}"
        yield said, visible(each.place)


def _approved(approvals: Approvals) -> Iterator[str]:
    if approvals.releases is not None:
        yield f"up to {count(approvals.releases, 'release')}"
    if approvals.dispatches is not None:
        yield f"up to {count(approvals.dispatches, 'dispatch', 'dispatches')}"
    if approvals.empty:
        yield "that nothing at all is declared"
    if approvals.outside is not None:
        yield f"up to {approvals.outside} gone that were declared outside of what is read"
    if approvals.older_commit is not None:
        yield f"commit {visible(approvals.older_commit)}, which need not follow the one applied last"
