"""The JSON that we print, key by key: the one place where each format is described.

`machine` and `story` write it, docs/plan.md and docs/state.md show it, `reconciler schema` prints it as JSON Schema.
A change that could break a reader raises `FORMAT_VERSION`; a new key doesn't.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypedDict

from reconciler.delivery.course import ChangeOutcome, RequestOutcome
from reconciler.delivery.events import Cause
from reconciler.interaction import Json
from reconciler.planning.guards import RefusalCode
from reconciler.planning.plan import Action
from reconciler.state.model import ApiAction, Kind, Result, Standing

FORMAT_VERSION: Final = 1
Version = Literal[1]
Counted = Action | Literal["unchanged", "declared", "left_out"]
Tallied = Literal["dispatched", "released", "failed", "unknown", "unsent", "held"]
Proves = Literal["accepted", "unknown", "not-processed", "refused", "rejected"]
Severity = Literal["error", "warning"]


class ProblemJson(TypedDict):
    """One thing that is wrong in a file."""

    severity: Severity
    code: str
    """Stable; `reconciler explain` lists them."""
    file: str
    line: int
    """From 1; 0 is the file as a whole."""
    column: int
    message: str
    hint: str | None
    """What to do about it."""


class ProblemsJson(TypedDict):
    """What `validate --format json` prints."""

    format_version: Version
    valid: bool
    """Whether there is nothing but warnings."""
    problems: list[ProblemJson]
    """All problems of all files, in order of place."""


class TargetJson(TypedDict):
    """An API and account."""

    base_url: str
    account: str | None


class ApprovalsJson(TypedDict):
    """What was approved of what a guard refuses; null where nothing was."""

    releases: int | None
    dispatches: int | None
    empty: bool
    """That nothing at all is declared."""
    outside: int | None
    older_commit: str | None
    """The commit that need not follow the one applied last."""


class PlannedStateJson(TypedDict):
    """The state that a plan was made from."""

    location: str | None
    """Where it is kept; null where a plan doesn't tell."""
    lineage: str
    serial: int
    open: int
    """How many interactions are open."""


class SelectionJson(TypedDict):
    """What was chosen by `--target` and `--exclude`."""

    targets: Sequence[str]
    excludes: Sequence[str]


class SideJson(TypedDict):
    """An interaction as it is or shall be."""

    provider: str | None
    route: str | None
    """null where it isn't known, as of a dispatch that failed."""
    skills: list[str] | None
    """Their names; null where they aren't known."""
    file: str
    line: int | None
    """null where it isn't declared now."""
    prevent_release: bool


class FieldJson(TypedDict):
    """One field that differs."""

    field: str
    before: Json
    """The API's own value; sensitive `linkeddata` lacks its `value`."""
    after: Json
    """Likewise."""
    sensitive: bool
    maybe_changed: bool
    """It is sensitive, and some sensitive value changed: the state can't tell which."""


class StepJson(TypedDict):
    """One request of a change."""

    kind: Kind
    provider: str | None
    requestid: str | None
    """null where apply makes a new one."""
    resend: bool
    """It may have been processed already."""


class ChangeHeadJson(TypedDict):
    """What happens to one address, and why."""

    action: Action
    address: str
    """An externalid, or `once:NAME`."""
    reason: str
    """A sentence, which may be reworded."""
    attempt: int
    """1 for a first attempt."""
    last_failure: str | None
    """The API's word on the last failed attempt."""
    renamed: str | None
    """The other address, where a release and a dispatch are equal but for the externalid."""
    follows: list[str]
    """The failed or pending requestids that it comes after."""
    before: SideJson | None
    """What is or may be open."""
    after: SideJson | None
    """What is declared."""
    fields: list[FieldJson]


class ChangeJson(ChangeHeadJson):
    """What happens to one address, and why."""

    requests: list[StepJson]
    """In the order of the chain; of several tolerant releases in a row each is sent only if the one before failed."""


class RefusalJson(TypedDict):
    """A guard that stands against the plan."""

    code: RefusalCode
    message: str
    override: str | None
    """The exact flag that allows this, and no more."""
    hint: str | None
    """The way on without it."""


class ExceptionJson(TypedDict):
    """An interaction that need not keep a rule of the policy for now."""

    address: str
    rule: str
    """The rule's id."""
    reason: str
    until: str
    """The last day, in UTC."""
    place: str
    """Where it is declared."""


class PlanHeadJson(TypedDict):
    """What a plan is about, and what it comes to."""

    environment: str | None
    target: TargetJson | None
    """null where there is none."""
    state: PlannedStateJson
    selection: SelectionJson | None
    """null where everything is selected."""
    summary: dict[Counted, int]
    """How many changes of each action, how many open ones are as declared, how many are declared, and how many changes
    the selection leaves out."""
    approvals: ApprovalsJson
    refusals: list[RefusalJson]
    warnings: list[ProblemJson]
    exceptions: list[ExceptionJson]


class PlanJson(PlanHeadJson):
    """What `plan --format json` and `show --format json` print. Digests and sensitive values stay out."""

    format_version: Version
    changes: list[ChangeJson]
    """Sorted by address."""


class ErrorJson(TypedDict):
    """Why a run ended early."""

    code: str
    """Stable; the codes are in docs/exit-codes.md."""
    message: str
    hint: str | None
    """What to do about it."""
    command: str | None
    """The command to do it with, ready to paste."""
    problems: list[ProblemJson]
    """Each of a file, where there are any."""


class FailureJson(TypedDict):
    """What a command prints with `--format json` where it fails; an apply prints its result, which says the same."""

    format_version: Version
    exit_code: int
    error: ErrorJson


class RequestJson(TypedDict):
    """One request, and what became of it."""

    requestid: str
    kind: Kind
    provider: str | None
    resend: bool
    """It may have been processed before this run."""
    outcome: RequestOutcome
    """`unsent`: certainly not processed; `held`: only a person can say; `dropped`: not needed after those before it."""
    reason: str | None
    """The API's word on it, where it did not succeed."""


class AppliedJson(ChangeHeadJson):
    """A change, and what became of it."""

    outcome: ChangeOutcome
    """`kept`: it drifted, and nothing is sent; `untouched`: the run ended before anything of it was sent or saved."""
    requests: list[RequestJson]
    """In the order of the chain; none where the run ended before there were any."""
    commands: list[str]
    """What a person may do about it, ready to paste."""


class StateAfterJson(TypedDict):
    """The state as this run saved it last."""

    serial: int
    open: int
    pending: int
    failed: int


class ApplyJson(TypedDict):
    """What `apply --format json` prints, however it ends. Digests and sensitive values stay out."""

    format_version: Version
    exit_code: int
    error: ErrorJson | None
    """null where it came to its end: then what failed, is unknown or was not sent is with the changes."""
    plan: PlanHeadJson | None
    """null where it ended before there was one."""
    counts: dict[Tallied, int]
    """How many requests dispatched, released, failed, are unknown or were not sent, and how many changes are held."""
    problems: list[str]
    """Why something could not be sent or settled."""
    state: StateAfterJson | None
    """null where nothing was saved."""
    changes: list[AppliedJson]
    """Sorted by address."""


class OpenJson(TypedDict):
    """An interaction that is open."""

    since: str
    """When its dispatch was answered, or it was adopted."""
    requestid: str
    """Empty where it was adopted."""
    provider: str | None
    source: str
    """The file that declared it."""
    prevent_release: bool
    settled: bool
    """Its last outcome came from a resend, which can't tell a first processing from an ignored copy."""


class PlaceJson(TypedDict):
    """Where an interaction is declared."""

    file: str
    line: int


class PendingJson(TypedDict):
    """A request whose outcome isn't known."""

    requestid: str
    kind: Kind
    standing: Standing
    """`unsent`: certainly not processed; `held`: only a person can say."""
    provider: str | None
    at: str
    """When it was intended."""
    held: str | None
    """Why only a person can say."""


class FailedJson(TypedDict):
    """A request that the API answered as failed."""

    requestid: str
    action: ApiAction
    attempts: int
    """Consecutive failures of this action for this address."""
    first: str
    last: str
    reason: str
    """The API's message, or that it gave none."""
    earlier: Sequence[str]
    """Up to ten requestids before this one."""


class StoryJson(TypedDict):
    """What is known of one address."""

    address: str
    """An externalid, or `once:NAME`."""
    open: OpenJson | None
    pending: list[PendingJson]
    """In the order of the chain."""
    failed: list[FailedJson]


class ShownJson(StoryJson):
    """What `state show --format json` prints."""

    fields: Json
    """What is open: `route`, `linkeddata`, `routingdata`; sensitive `linkeddata` lacks its `value`. null: not open."""
    declared: PlaceJson | None
    """null where it is declared no more."""


class RunJson(TypedDict):
    """What an apply did."""

    serial: int
    """Of the state that it left."""
    at: str
    by: str
    """The URL of the CI job, or user and host."""
    command: str
    commit: str | None
    """null outside a git repository."""
    dirty: bool
    """Whether the configuration or a declaration differed from that commit."""
    counts: dict[str, int]
    """As in the state."""
    exit: int


class HistoryJson(TypedDict):
    """What `history --format json` prints."""

    format_version: Version
    lineage: str
    serial: int
    target: TargetJson | None
    """null before the first apply."""
    runs: list[RunJson]
    """The newest first; an apply that had nothing to do, or was killed, is not among them."""


class MendedJson(TypedDict):
    """What the `state` commands that write print with `--format json`."""

    format_version: Version
    dry_run: bool
    """Then nothing was written, and this is what would be."""
    lineage: str
    serial: int
    """Of the state as it is, or would be, now."""
    interactions: list[StoryJson]
    """What is known now of those that are another story than before, sorted by address."""
    messages: list[str]
    """What a person is told."""


class StateJson(TypedDict):
    """What `state list --format json` prints. Digests stay out."""

    format_version: Version
    lineage: str
    serial: int
    target: TargetJson | None
    """null before the first apply."""
    interactions: list[StoryJson]
    """Sorted by address."""


class EventHeadJson(TypedDict):
    """What every line of `--events` has."""

    time: str
    """UTC, ISO 8601."""


class VersionEvent(EventHeadJson):
    """The first line. A reader must refuse a `major` that it doesn't know; new lines and keys raise `minor`."""

    event: Literal["version"]
    format: Literal["reconciler-events"]
    major: Literal[1]
    minor: int
    reconciler: str
    """The version of the program."""
    command: str


class PlannedEvent(EventHeadJson):
    """What would be done, and what stands against it."""

    event: Literal["planned"]
    plan: PlanHeadJson
    requests: int
    """How many requests that may take, at most."""


class SentRequestJson(TypedDict):
    """A request that goes out."""

    requestid: str
    address: str
    kind: Kind
    resend: bool
    """It may have been processed already."""


class SentEvent(EventHeadJson):
    """An Invocation goes out, for the first time or again."""

    event: Literal["sent"]
    invocation: int
    """Its number in this run."""
    attempt: int
    """From 1."""
    provider: str | None
    requests: list[SentRequestJson]


class AnsweredEvent(EventHeadJson):
    """What came of that."""

    event: Literal["answered"]
    invocation: int
    attempt: int
    answer: Proves
    """What it proves: docs/reliability.md has the table."""
    status: int | None
    """Of HTTP; null where no answer came."""
    failed: int
    """How many of its requests the API named as failed."""
    reason: str | None
    """The API's word, where it did not accept."""
    seconds: float


class WaitingEvent(EventHeadJson):
    """Something waits, and why."""

    event: Literal["waiting"]
    invocation: int | None
    """null where it is about no single one."""
    cause: Cause
    """After a failure, as `Retry-After` asks, as calls are spaced after a 429, or before a release is tried again."""
    reason: str
    seconds: float
    until: str


class SettledRequestJson(TypedDict):
    """A request whose outcome is in the journal."""

    requestid: str
    address: str
    kind: Kind
    result: Result
    """`unsent`: the API has certainly not processed it in this run."""
    reason: str | None


class SettledEvent(EventHeadJson):
    """Outcomes are known and journalled."""

    event: Literal["settled"]
    requests: list[SettledRequestJson]
    done: int
    """How many requests are done by now."""
    failed: int
    """How many of them failed."""
    expected: int
    """How many will be done, at most."""


class FoldedEvent(EventHeadJson):
    """The state says what became of it."""

    event: Literal["folded"]
    state: StateAfterJson


class HeartbeatEvent(EventHeadJson):
    """Nothing has happened for ten seconds, and the run goes on; from the plan on."""

    event: Literal["heartbeat"]


class ErrorEvent(EventHeadJson):
    """The run ends early."""

    event: Literal["error"]
    error: ErrorJson


class FinishedEvent(EventHeadJson):
    """The last line; without it, the run was cut."""

    event: Literal["finished"]
    exit_code: int
    counts: dict[Tallied, int]
    """How many requests ended how."""


EventJson = (
    VersionEvent
    | PlannedEvent
    | SentEvent
    | AnsweredEvent
    | WaitingEvent
    | SettledEvent
    | FoldedEvent
    | HeartbeatEvent
    | ErrorEvent
    | FinishedEvent
)
