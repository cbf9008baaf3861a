"""Random edits, faults and crashes against a small model of the API: nothing is lost, nothing is doubled.

Each example is a list of steps that a reader can follow. After the last one, faults and edits stop, and a few more
runs must bring the API to exactly what is declared.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any, Final, Self

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reconciler.delivery import executor as applying
from reconciler.delivery.answers import Accepted, Answer, NotProcessed, Refused, Rejected, Unknown
from reconciler.delivery.batch import Invocation, Request
from reconciler.delivery.events import Event
from reconciler.delivery.executor import apply
from reconciler.delivery.intent import intend
from reconciler.delivery.ports import Ports
from reconciler.delivery.retry import Budget
from reconciler.delivery.throttle import StopSignal
from reconciler.errors import StateError
from reconciler.interaction import Interaction, OnChange, Place, content_digest, dispatch_body, is_once
from reconciler.planning.plan import Plan
from reconciler.planning.planner import PlanPolicy, plan
from reconciler.state import codec, journal
from reconciler.state.journal import Record
from reconciler.state.model import Kind, Open, State
from reconciler.state.repair import resolve
from reconciler.times import stamp
from tests.clock import QuickClock
from tests.known import LINEAGE, NOW, OPTIONS, POLICY, TARGET

DAY: Final = 86_400.0
ADDRESSES: Final = ("A", "B", "once:C")
CONTENTS: Final = (("P", "Day", "1"), ("P", "Day", "2"), ("Q", "Day", "1"), (None, "Night", "1"))
PROTECTED: Final = 0
"""The content with which an interaction must not be released; nothing here asks the guards."""
ENOUGH_RUNS: Final = 8
SPARED_WHERE_NONE_IS_GIVEN_UP: Final = 4


class Duplicates(Enum):
    """What the API answers to a requestid that it has taken already: not documented, so each is tried."""

    ANSWERED_AS_BEFORE = auto()
    ALWAYS_FAILED = auto()
    NEVER_FAILED = auto()


class Fault(Enum):
    """What happens to one call."""

    NONE = auto()
    ANSWER_LOST = auto()
    CALL_LOST = auto()
    CALL_LATE = auto()
    THROTTLED = auto()
    REFUSED = auto()
    REFUSED_IN_PART = auto()
    REFUSED_IN_PART_AND_INTERRUPTED = auto()
    REJECTED = auto()
    STOPPED = auto()
    STOPPED_THOUGH_PROCESSED = auto()
    INTERRUPTED = auto()


ANSWERS: Final[Mapping[Fault, Answer]] = {
    Fault.ANSWER_LOST: Unknown("the answer was lost"),
    Fault.CALL_LOST: Unknown("the call was lost"),
    Fault.CALL_LATE: Unknown("the call is late"),
    Fault.THROTTLED: NotProcessed("throttled", throttled=True),
    Fault.REFUSED: Refused("refused"),
    Fault.REFUSED_IN_PART: Refused("refused"),
    Fault.REFUSED_IN_PART_AND_INTERRUPTED: Refused("refused"),
    Fault.REJECTED: Rejected("rejected"),
    Fault.STOPPED: Unknown("not found", stop=True),
    Fault.STOPPED_THOUGH_PROCESSED: Unknown("not found", stop=True),
}
"""What is answered where it isn't what became of the requests."""
UNHEARD: Final = (Fault.ANSWER_LOST, Fault.STOPPED_THOUGH_PROCESSED)
IN_PART: Final = (Fault.REFUSED_IN_PART, Fault.REFUSED_IN_PART_AND_INTERRUPTED)
INTERRUPTIONS: Final = (Fault.INTERRUPTED, Fault.REFUSED_IN_PART_AND_INTERRUPTED)
REFUSALS: Final = (Fault.REFUSED, *IN_PART)


class CrashPoint(Enum):
    """Where in a save, an append or a call the machine stops."""

    BEFORE = auto()
    AFTER = auto()
    TORN = auto()
    DISK_FULL = auto()


@dataclass(frozen=True)
class Call:
    """One call's fate, and the addresses whose requests the API fails in it."""

    fault: Fault = Fault.NONE
    failing: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Stop:
    """The machine stops at the n-th effect of a run; `disk_lost`: the next run starts where this one did."""

    effect: int
    point: CrashPoint
    disk_lost: bool = False


@dataclass(frozen=True)
class Declare:
    """An edit: content number `content` for the address, or its removal."""

    address: str
    content: int | None
    on_change: OnChange | None = None


@dataclass(frozen=True)
class Run:
    """One apply."""

    calls: tuple[Call, ...] = ()
    stop: Stop | None = None


@dataclass(frozen=True)
class Arrive:
    """Every call that was late arrives now."""


@dataclass(frozen=True)
class DayPasses:
    """More than resend_within passes; nothing stays on its way that long."""


@dataclass(frozen=True)
class Resolve:
    """A person looks up what is held, and says it."""


Step = Declare | Run | Arrive | DayPasses | Resolve


class Crash(BaseException):
    """The machine has stopped."""


@dataclass
class Api:
    """The API as documented: requestids processed once, a release needs its dispatch's provider.

    `refusals_spared`: how many releases of an open interaction it may fail in a row; after that many, apply takes the
    interaction as gone, and no local state could know better.
    """

    duplicates: Duplicates
    refusals_spared: int
    taken: dict[str, bool] = field(default_factory=dict)
    open: dict[str, tuple[str | None, bytes]] = field(default_factory=dict)
    once: Counter[bytes] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    late: list[Invocation] = field(default_factory=list)

    def process(self, invocation: Invocation, failing: frozenset[str] = frozenset()) -> frozenset[str]:
        """Process the requests and return the ids of those that failed."""
        return frozenset(request.requestid for request in invocation.requests if not self._one(request, failing))

    def _one(self, request: Request, failing: frozenset[str]) -> bool:
        known = self.taken.get(request.requestid)
        if known is None:
            done = self.taken[request.requestid] = not self._fails(request, failing) and self._do(request)
            return done
        return {
            Duplicates.ANSWERED_AS_BEFORE: known,
            Duplicates.ALWAYS_FAILED: False,
            Duplicates.NEVER_FAILED: True,
        }[self.duplicates]

    def _fails(self, request: Request, failing: frozenset[str]) -> bool:
        if request.address not in failing:
            return False
        releases = request.kind in {Kind.RELEASE, Kind.TOLERANT}
        return not releases or self.may_refuse(request.address)

    def may_refuse(self, externalid: str) -> bool:
        """Whether one more release of it may fail, which is counted where it is open."""
        self.refused[externalid] += externalid in self.open
        return self.refused[externalid] <= self.refusals_spared

    def _do(self, request: Request) -> bool:
        body = orjson.loads(request.body)
        externalid = body.get("externalid")
        if body["action"] == "release":
            opened = self.open.get(externalid)
            if opened is None or opened[0] != request.provider:
                return False
            del self.open[externalid]
        elif externalid is None:
            self.once[request.body] += 1
        else:
            assert externalid not in self.open, f"{externalid} was dispatched while it was open"
            self.open[externalid] = (request.provider, request.body)
            self.refused[externalid] = 0
        return True

    def arrive(self) -> None:
        """Process every call that was late."""
        late, self.late = self.late, []
        for invocation in late:
            self.process(invocation)


@dataclass
class Machine:
    """Counts the effects of a run, and stops where it was told to."""

    stop: Stop | None
    effects: int = 0

    def around(self, effect: Callable[[], Any], torn: Callable[[], None] | None = None) -> Any:
        """Have the effect, or stop before, in or after it."""
        self.effects += 1
        point = self.stop.point if self.stop and self.effects == self.stop.effect else None
        if point is CrashPoint.BEFORE:
            raise Crash
        if torn and point is CrashPoint.DISK_FULL:
            torn()
            raise StateError("no space left")
        if torn and point is CrashPoint.TORN:
            torn()
            raise Crash
        result = effect()
        if point is not None:
            raise Crash
        return result


@dataclass
class Disk:
    """The state file and its journal, as bytes, with every rule of the real ones."""

    data: bytes
    journal: bytes = b""
    machine: Machine = field(default_factory=lambda: Machine(None))

    def save(self, state: State) -> None:
        """See OutcomeWriter."""

        def replace_both() -> None:
            self.data, self.journal = b"".join(codec.encode(state)), b""

        self.machine.around(replace_both, torn=lambda: None)

    def prepare(self, opened: Mapping[str, Open]) -> None:
        """See OutcomeWriter."""

    def append(self, records: Sequence[Record]) -> None:
        """See OutcomeWriter."""
        lines, before = b"".join(map(journal.encode, records)), self.journal

        def append() -> None:
            self.journal = before + lines

        def tear() -> None:
            self.journal = before + lines[: len(lines) // 2]

        try:
            self.machine.around(append, torn=tear)
        except StateError:
            # The next append starts at the last good offset.
            self.journal = before
            raise

    def settle(self) -> None:
        """See OutcomeWriter."""

    def require_held(self) -> None:
        """See OutcomeWriter."""

    def read(self) -> tuple[State, bool]:
        """Return the state with the journal folded in, and whether there was one."""
        state = codec.decode(self.data, "state")
        records = journal.decode(self.journal, "journal")
        return journal.fold_left_over(state, records, "journal"), bool(self.journal)


@dataclass
class Network:
    """Sends Invocations to the API, with the faults of this run; also checks that intent and order are kept."""

    api: Api
    disk: Disk
    machine: Machine
    stop_signal: StopSignal
    calls: Iterator[Call]

    def invoke(self, invocation: Invocation) -> Answer:
        """See ports.Sender."""
        chains = self.disk.read()[0].chains()
        for request in invocation.requests:
            assert chains[request.address][0][0] == request.requestid, "sent before the link in front of it was settled"
        answer: Answer = self.machine.around(lambda: self._call(invocation, next(self.calls, Call())))
        return answer

    def _call(self, invocation: Invocation, call: Call) -> Answer:
        fault = self._possible(call.fault, invocation)
        if fault in INTERRUPTIONS:
            self.stop_signal.interrupt()
        if fault is Fault.CALL_LATE:
            self.api.late.append(invocation)
        elif fault in UNHEARD:
            self._process_unheard(invocation, call)
        elif fault in IN_PART:
            self._process_unheard(Invocation.of(invocation.provider, invocation.requests[::2]), call)
        return ANSWERS[fault] if fault in ANSWERS else Accepted(self.api.process(invocation, call.failing))

    def _process_unheard(self, invocation: Invocation, call: Call) -> None:
        # As in `World.run`: nobody could ever tell that a request failed.
        hidden = self.api.duplicates is Duplicates.NEVER_FAILED
        self.api.process(invocation, frozenset() if hidden else call.failing)

    def _possible(self, fault: Fault, invocation: Invocation) -> Fault:
        if fault not in REFUSALS or len(invocation.requests) > 1:
            return fault
        (lone,) = invocation.requests
        # What is refused alone has not been processed.
        refused = lone.kind is not Kind.RELEASE or self.api.may_refuse(lone.address)
        return Fault.REFUSED if refused else Fault.NONE


class Silent:
    """Tells nobody."""

    def told(self, event: Event) -> None:
        """See ports.Observer."""


class OneAfterTheOther:
    """Workers without threads, so that a failing example fails again."""

    def __init__(self, most: int) -> None:
        """Take what Workers takes."""
        self.count = most

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def submit(self, function: Callable[..., None], *arguments: object) -> None:
        """Do it at once."""
        function(*arguments)


@pytest.fixture(autouse=True, scope="module")
def _without_threads() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(applying, "Workers", OneAfterTheOther)
        yield


@dataclass
class World:
    """Declarations, one machine's disk, and the API."""

    policy: PlanPolicy
    api: Api
    budget: Budget
    disk: Disk = field(default_factory=lambda: Disk(b"".join(codec.encode(State(LINEAGE, target=TARGET)))))
    clock: QuickClock = field(default_factory=lambda: QuickClock(NOW))
    declared: dict[str, Interaction] = field(default_factory=dict)
    dispatches_allowed: Counter[str] = field(default_factory=Counter)
    frozen: bool = False
    disk_was_lost: bool = False

    def take(self, step: Step) -> None:
        """Carry out one step, and check what must hold after it."""
        match step:
            case Declare():
                self.edit(step)
            case Run(calls, stop):
                self.run(calls, stop)
            case Arrive():
                self.api.arrive()
            case DayPasses() if not self.disk_was_lost:
                self.api.arrive()
                self.clock.passed += 2 * DAY
            case Resolve():
                self.resolve_held()
        if not self.frozen:
            self.check_nothing_is_lost()
            assert not self.mistaken()
        self.check_no_once_is_doubled()

    def edit(self, step: Declare) -> None:
        """Change the declarations, unless a lost disk asks for the same run again."""
        if self.frozen:
            return
        if step.content is None:
            self.declared.pop(step.address, None)
            return
        self.declared[step.address] = interaction(step.address, step.content, step.on_change)
        self.dispatches_allowed[step.address] += 1

    def plan(self) -> Plan:
        """Return what an apply would do now."""
        return plan(self.declared.values(), self.disk.read()[0], self.policy, self.clock.now(), TARGET)

    def run(self, calls: tuple[Call, ...] = (), stop: Stop | None = None) -> None:
        """Apply, as the command does."""
        before = (self.disk.data, self.disk.journal)
        machine, stop_signal = Machine(stop), StopSignal()
        state, left_over = self.disk.read()
        wanted = plan(self.declared.values(), state, self.policy, self.clock.now(), TARGET)
        if not wanted.writes and not left_over:
            return
        if stop and self.api.duplicates is Duplicates.NEVER_FAILED:
            # Nobody could ever tell that a request failed, if its answer was lost and its duplicates never fail.
            calls = tuple(replace(call, failing=frozenset()) for call in calls)
        if self.frozen:
            # A request that the API took once is not refused as a body it can't read.
            calls = tuple(call for call in calls if call.fault not in REFUSALS)
        network = Network(self.api, self.disk, machine, stop_signal, iter(calls))
        ports = Ports(self.disk, network, self.clock, Silent(), stop_signal, random.Random(1).random)  # noqa: S311
        intent = intend(wanted, self.declared, state, stamp(self.clock.now()), TARGET)
        self.disk.machine = machine
        try:
            apply(intent, replace(OPTIONS, parallelism=1, budget=self.budget), ports)
        except (Crash, StateError):
            if stop and stop.disk_lost and self.can_lose_the_disk(calls):
                self.frozen = self.frozen or (self.disk.data, self.disk.journal) != before
                self.disk_was_lost = True
                self.disk.data, self.disk.journal = before
                return
        finally:
            self.disk.machine = Machine(None)
        # What is marked unsent was not sent by this run, but the one whose disk was lost may have sent it.
        self.frozen = self.frozen and bool(self.mistaken() or (self.disk.data, self.disk.journal) == before)

    def can_lose_the_disk(self, calls: tuple[Call, ...]) -> bool:
        """Whether a lost disk is one that derived requestids cover.

        Not after a definite failure, nor where duplicates fail; and a person who is asked what became of a request
        can't know which run sent it, so nothing is held after a loss.
        """
        refused = any(call.failing or call.fault in REFUSALS for call in calls)
        return not (refused or self.policy.hold_unknown or self.api.duplicates is Duplicates.ALWAYS_FAILED)

    def mistaken(self) -> list[str]:
        """Return the requests that are marked as certainly not processed, and reached the API all the same."""
        late = {requestid for invocation in self.api.late for requestid in invocation.requestids}
        reached = self.api.taken.keys() | late
        links = self.disk.read()[0].pending.items()
        return [requestid for requestid, link in links if not link.unknown and requestid in reached]

    def in_question(self) -> set[str]:
        """Return the addresses of which a person must say what became of them."""
        held = {change.address for change in self.plan().held}
        if self.policy.release_attempts:
            return held
        # No release is ever taken as gone.
        failures = self.disk.read()[0].failed.values()
        return held | {failure.address for failure in failures if failure.resent and failure.action == "release"}

    def resolve_held(self) -> None:
        """Say of everything in question what the API knows to be true."""
        if self.frozen:
            return
        for address in sorted(self.in_question()):
            self.api.arrive()
            state, _ = self.disk.read()
            links, failures = state.chains().get(address, ()), state.failures().get(address, ())
            unknown = [(requestid, link.kind) for requestid, link in links if link.unknown]
            doubtful = [(requestid, Kind(failure.action)) for requestid, failure in failures if failure.resent]
            requestid, kind = [*unknown, *doubtful][0]
            done, gone = self.api.taken.get(requestid, False), address not in self.api.open
            applied = {
                Kind.DISPATCH: done,
                Kind.BURN: requestid in self.api.taken,
                Kind.RELEASE: done or gone,
                Kind.TOLERANT: done or gone,
            }[kind]
            self.disk.save(resolve(state, [address], applied=applied, at=stamp(self.clock.now())).state)

    def check_nothing_is_lost(self) -> None:
        """Check that what is open is known: as open, as pending, or as failed only when it was sent again."""
        state, _ = self.disk.read()
        known = set(state.interactions)
        known |= {link.address for link in state.pending.values() if link.unknown or link.kind is Kind.TOLERANT}
        known |= {failure.address for failure in state.failed.values() if failure.resent}
        assert set(self.api.open) <= known

    def check_no_once_is_doubled(self) -> None:
        """Check that a once was dispatched at most once for each time it was declared."""
        for address in filter(is_once, ADDRESSES):
            assert self.api.once.total() <= self.dispatches_allowed[address]

    def check_it_converges(self) -> None:
        """Check that without faults and edits a few runs reach what is declared, and leave nothing to do."""
        self.api.arrive()
        for _ in range(ENOUGH_RUNS):
            self.run()
            self.resolve_held()
        rest, state = self.plan(), self.disk.read()[0]
        assert not rest.sends
        assert not rest.writes
        assert not state.pending
        assert not state.failed
        self.check_nothing_is_lost()
        self.check_no_once_is_doubled()
        opened = {address: entry.digest for address, entry in state.interactions.items()}
        assert opened.keys() == self.declared.keys()
        for address, wanted in self.declared.items():
            assert opened[address] == wanted.digest or wanted.on_change is OnChange.KEEP
        assert {a: content_digest(*content) for a, content in self.api.open.items()} == {
            address: digest for address, digest in opened.items() if not is_once(address)
        }
        self.api.arrive()


def interaction(address: str, content: int, on_change: OnChange | None = None) -> Interaction:
    """Return a declaration with one of the contents."""
    provider, route, clid = CONTENTS[content]
    request = {"route": route, "linkeddata": [{"type": "clid", "value": clid}]}
    body = dispatch_body(None if is_once(address) else address, request)
    digest, place = content_digest(provider, body), Place("a.yaml", 1)
    usual = OnChange.KEEP if is_once(address) else OnChange.REPLACE
    return Interaction(address, provider, body, digest, place, content == PROTECTED, on_change or usual)


def declares(addresses: tuple[str, ...] = ("A", "A", "A", "B", "once:C")) -> st.SearchStrategy[Declare]:
    """Edits that a declaration file could hold."""

    def of(address: str) -> st.SearchStrategy[Declare]:
        content = st.sampled_from([None, None, *range(len(CONTENTS))])
        change = [None, OnChange.AGAIN] if is_once(address) else [None, None, None, OnChange.KEEP]
        return st.builds(Declare, st.just(address), content, st.sampled_from(change))

    return st.sampled_from(addresses).flatmap(of)


CALLS = st.builds(
    Call,
    st.sampled_from([Fault.NONE, Fault.NONE, *Fault]),
    st.sampled_from([frozenset[str](), frozenset[str](), frozenset({"A"}), frozenset(ADDRESSES)]),
)
STOPS = st.builds(Stop, st.integers(1, 7), st.sampled_from(CrashPoint), st.sampled_from([False, False, True]))
RUNS = st.builds(Run, st.lists(CALLS, max_size=4).map(tuple), st.none() | st.none() | STOPS)
BETWEEN = st.sampled_from([None, None, None, Arrive(), Arrive(), DayPasses(), Resolve()])
ROUNDS = st.tuples(declares(), st.none() | declares(), RUNS, BETWEEN)
STEPS = st.lists(ROUNDS, max_size=5).map(lambda rounds: [step for steps in rounds for step in steps if step])
POLICIES = st.sampled_from(
    [
        POLICY,
        POLICY,
        POLICY,
        replace(POLICY, hold_unknown=True),
        replace(POLICY, release_attempts=1),
        replace(POLICY, release_attempts=0),
    ]
)


INTERRUPTED_AMID_A_RESEND: Final = [
    Declare("B", 0),
    Run(),
    Declare("A", 0),
    Run((Call(Fault.ANSWER_LOST),)),
    Declare("B", None),
    Run((Call(Fault.INTERRUPTED),)),
]


def dispatched_amid(*faults: Fault) -> list[Step]:
    """Return the story of two dispatches in one body, whose calls end so; then both declarations change."""
    return [Declare("A", 0), Declare("B", 0), Run(tuple(map(Call, faults))), Declare("A", 1), Declare("B", 1)]


RELEASE_FAILS_TWICE: Final = [
    Declare("A", 0),
    Run((Call(Fault.ANSWER_LOST),)),
    Declare("A", 1),
    Run((Call(failing=frozenset({"A"})),) * 3),  # the burn is ignored
]
NEVER_GONE: Final = replace(POLICY, release_attempts=0)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(INTERRUPTED_AMID_A_RESEND, Duplicates.ANSWERED_AS_BEFORE, POLICY, 1)
@example(dispatched_amid(Fault.REFUSED_IN_PART), Duplicates.ALWAYS_FAILED, POLICY, 1)
@example(dispatched_amid(Fault.REFUSED_IN_PART, Fault.REJECTED), Duplicates.ANSWERED_AS_BEFORE, POLICY, 1)
@example(dispatched_amid(Fault.REFUSED_IN_PART, *[Fault.REFUSED] * 2), Duplicates.ANSWERED_AS_BEFORE, POLICY, 1)
@example(dispatched_amid(Fault.REFUSED_IN_PART, *[Fault.REFUSED] * 2), Duplicates.ANSWERED_AS_BEFORE, NEVER_GONE, 1)
@example(RELEASE_FAILS_TWICE, Duplicates.ANSWERED_AS_BEFORE, POLICY, 1)
@example(RELEASE_FAILS_TWICE, Duplicates.ANSWERED_AS_BEFORE, NEVER_GONE, 1)
@example(dispatched_amid(Fault.REFUSED_IN_PART_AND_INTERRUPTED), Duplicates.ANSWERED_AS_BEFORE, POLICY, 1)
@given(steps=STEPS, duplicates=st.sampled_from(Duplicates), policy=POLICIES, tries=st.sampled_from([1, 1, 2]))
def test_nothing_is_lost_or_doubled(steps: list[Step], duplicates: Duplicates, policy: PlanPolicy, tries: int) -> None:
    """Whatever fails and wherever it stops, nothing is doubled or forgotten, and calm runs reach what is declared."""
    spared = policy.release_attempts - 1 if policy.release_attempts else SPARED_WHERE_NONE_IS_GIVEN_UP
    world = World(policy, Api(duplicates, spared), Budget(tries))
    for step in steps:
        world.take(step)
    world.check_it_converges()
