"""Workspaces edited at random, each planned with seals and without: nothing may differ but what was read."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson

from reconciler.declarations import loader
from reconciler.declarations.loader import Declarations
from reconciler.declarations.rules import DeclarationRules
from reconciler.declarations.seals import Seals
from reconciler.delivery.intent import Intent, intend
from reconciler.delivery.sealing import resealed
from reconciler.errors import DeclarationError, Problem
from reconciler.interaction import Interaction
from reconciler.planning.guards import Approvals, denied, refusals
from reconciler.planning.plan import Plan
from reconciler.planning.planner import PlanPolicy, plan
from reconciler.planning.policy import PolicyRule, excepted, judge
from reconciler.planning.saved_plan import SavedPlan
from reconciler.planning.selection import Selection, known, select
from reconciler.render.text import Detail, View, plan_text
from reconciler.state.codec import decode, encode
from reconciler.state.model import Kind, Outcome, Result, State
from reconciler.state.repair import new_lineage
from reconciler.state.transitions import fold
from tests.known import AT, LIMITS, LINEAGE, NOW, POLICY, RULES, TARGET, failed, interaction, pending

ADDRESSES: Final = ("a", "b", "c", "once:d", "é", "f", "g", "once:h", "i", 'j"\\')
FILES: Final = ("1.yaml", "2.yml", "3.json", "sub/1.yaml", ".hidden.yaml", "Größe.yaml")
WRONG: Final = (
    "interactions: [",
    "interactions: [{externalid: a}]\n",
    "\x00",
    "interactions: [{externalid: 07, route: R}]",
)
DEMANDS: Final = (
    PolicyRule(id="1", message="m", most_per_route=3, severity="warn"),
    PolicyRule(id="2", message="m", most=4, about=["file:sub", "a", "route:S"]),
    PolicyRule(id="3", message="m", routes=["R"], about=["file:1.yaml", "provider:P"]),
    PolicyRule(id="4", message="m", required_linkeddata=["clid"], about=["b"], severity="warn"),
)
FULL: Final = View(detail=Detail.FULL)


def declaration(address: str, chance: random.Random) -> dict[str, Any]:
    """Return a declaration of an address, one of a few."""
    name, identity = ("once", address[5:]) if address.startswith("once:") else ("externalid", address)
    found: dict[str, Any] = {name: identity, "route": chance.choice(["R", "R", "S"])}
    if chance.random() < 0.3:
        found["linkeddata"] = [{"type": chance.choice(["clid", "url", "own"]), "value": chance.choice(["1", "22"])}]
    if chance.random() < 0.05:
        found["linkeddata"] = [{"type": "interactionproperty", "key": "with space", "value": "w"}]
    if chance.random() < 0.1:
        found["linkeddata"] = [{"type": "name", "value": "ada@example.com"}]
    if chance.random() < 0.2:
        found["lifecycle"] = {"prevent_release": True}
    if chance.random() < 0.2:
        found["lifecycle"] = {"on_change": chance.choice(["keep", "replace" if name == "externalid" else "again"])}
    if chance.random() < 0.1:
        until = chance.choice(["2025-12-31", "2026-01-02", "2027-01-01"])
        found["lifecycle"] = {"exceptions": [{"rule": chance.choice(["1", "2", "x"]), "reason": "r", "until": until}]}
    if chance.random() < 0.2:
        found["provider"] = chance.choice(["P", None])
    return found


@dataclass(frozen=True)
class Seen:
    """All that a run shows and does, and what it read."""

    problems: tuple[Problem, ...]
    declarations: Declarations | None = None
    plan: Plan | None = None
    text: str = ""
    selected: frozenset[str] = frozenset()
    intent: Intent | None = None

    def shown(self) -> tuple[Any, ...]:
        """Return what must not depend on seals."""
        read = (
            (self.declarations.warnings, self.declarations.files, len(self.declarations), self.declarations.denied)
            if self.declarations
            else ()
        )
        intent = (replace(self.intent.state, reader="", seals={}), self.intent.chains) if self.intent else ()
        return (self.problems, read, self.plan, self.text, self.selected, intent)


@dataclass
class Edited:
    """A folder, a state and a configuration; `edit` changes one of them, `check` plans, `apply` carries a plan out."""

    folder: Path
    chance: random.Random
    state: State = field(default_factory=lambda: State(LINEAGE, target=TARGET))
    rules: DeclarationRules = RULES
    policy: PlanPolicy = POLICY
    demands: tuple[PolicyRule, ...] = ()
    log: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    sealed: int = 0

    def __post_init__(self) -> None:
        (self.folder / "sub").mkdir()

    def edit(self) -> None:
        """Change something."""
        usual: list[Callable[[], None]] = [
            self._write,
            self._write,
            self._write,
            self._comment,
            self._move,
            self._remove,
        ]
        odd = [self._configure, self._tamper, self._doubt, self._restore, self._lay_out]
        chosen = self.chance.choice(usual if self.chance.random() < 0.8 else odd)
        self.log.append(chosen.__name__)
        chosen()

    def check(self) -> Seen:
        """Plan with seals and without, and return what is seen with them; raises AssertionError where it differs."""
        selection = Selection((self.chance.choice(["a", "file:1.yaml", "route:R", "provider:P", "*"]),))
        without, seen = self._see(None, selection), self._see(Seals(self.state, self._in_force()), selection)
        assert seen.shown() == without.shown(), self.log[-30:]
        self.sealed += len(seen.declarations.sealed) if seen.declarations else 0
        return seen

    def mend(self, seen: Seen) -> None:
        """Remove the files that something is wrong with."""
        for problem in seen.problems:
            (self.folder / problem.file).unlink(missing_ok=True)

    def apply(self, seen: Seen) -> None:
        """Carry out what was seen, with outcomes at random; mostly it succeeds."""
        if not (seen.plan and seen.intent and seen.declarations):
            return
        self.log.append("apply")
        outcomes, weights = (Result.SUCCEEDED, Result.FAILED, Result.UNSENT, None), (20, 1, 1, 1)
        state = seen.intent.state
        for request in (request for chain in seen.intent.chains for request in chain):
            [result] = self.chance.choices(outcomes, weights)
            if result and request.requestid in state.pending:
                state = fold(state, [(Outcome(request.requestid, result, resent=self.chance.random() < 0.2), AT)])
        self.state = resealed(state, seen.plan, seen.declarations, self._in_force())
        self.states.append(self.state)
        del self.states[:-5]

    def _see(self, seals: Seals | None, selection: Selection) -> Seen:
        try:
            judged = partial(judge, self.demands, today=NOW.date())
            declarations = loader.load(self.folder, self.rules, base=self.folder, seals=seals, judge=judged)
        except DeclarationError as error:
            return Seen(error.problems)
        as_sealed = declarations.as_sealed
        made = plan(declarations.interactions, self.state, self.policy, NOW, TARGET, as_sealed=as_sealed)
        refused = (*refusals(made, LIMITS, Approvals(), "."), *denied(declarations.denied))
        exceptions = excepted(self.demands, declarations.interactions, NOW.date())
        text = plan_text(SavedPlan(made, Approvals(), refused, declarations.warnings, exceptions=exceptions), FULL)
        desired: dict[str, Interaction] = {each.address: each for each in declarations.interactions}
        selected = select(selection, known(desired.values(), self.state)).addresses
        return Seen((), declarations, made, text, selected, intend(made, desired, self.state, AT, TARGET))

    def _in_force(self) -> bytes:
        return repr(
            (sorted(self.rules.sensitive), sorted(self.rules.linkeddata_types), self.rules, self.policy, self.demands)
        ).encode()

    def _path(self) -> Path:
        return self.folder / self.chance.choice(FILES)

    def _write(self) -> None:
        name = self.chance.choice(FILES)
        if self.chance.random() < 0.05:
            text = self.chance.choice(WRONG)
        elif self.written and self.chance.random() < 0.3:
            text = self.chance.choice(self.written)
        else:
            own = ADDRESSES[2 * FILES.index(name) : 2 * FILES.index(name) + 2]
            most = own if own and self.chance.random() < 0.9 else ADDRESSES
            addresses = self.chance.sample(most, self.chance.choice([0, 1, 1, 1, 2, 2]))
            listed = [declaration(address, self.chance) for address in addresses]
            text = orjson.dumps({"interactions": listed}).decode()
        self.written = [*self.written[-8:], text]
        (self.folder / name).write_text(text, encoding="utf-8")

    def _comment(self) -> None:
        path = self._path()
        if path.exists():
            path.write_text(
                path.read_text(encoding="utf-8") + self.chance.choice(["\n", " \n", "# c\n"]), encoding="utf-8"
            )

    def _move(self) -> None:
        path = self._path()
        if path.exists():
            path.rename(self._path())

    def _remove(self) -> None:
        self._path().unlink(missing_ok=True)

    def _configure(self) -> None:
        sensitive = frozenset(self.chance.sample(["clid", "url", "own"], self.chance.choice([0, 1, 1, 2])))
        types = frozenset(["own"] if self.chance.random() < 0.7 else [])
        self.rules = DeclarationRules(sensitive, types, self.chance.choice([100_000, 100_000, 150]))
        self.demands = tuple(self.chance.sample(DEMANDS, self.chance.choice([0, 0, 1, 2, 3])))
        attempts, hold = self.chance.choice([0, 3]), self.chance.random() < 0.3
        self.policy = replace(POLICY, sensitive=sensitive, release_attempts=attempts, hold_unknown=hold)

    def _tamper(self) -> None:
        """Change entries or seals by hand."""
        opened, seals, chance = self.state.editable(), dict(self.state.seals), self.chance
        if opened and chance.random() < 0.7:
            address = chance.choice(sorted(opened))
            entry = opened.pop(address)
            other = [
                entry._replace(source=chance.choice(FILES)),
                entry._replace(fields=b'{"route":"T"}'),
                entry._replace(digest=interaction("T").digest),
                entry._replace(prevent_release=not entry.prevent_release),
            ]
            if chance.random() < 0.8:
                opened[address if chance.random() < 0.8 else chance.choice(ADDRESSES)] = chance.choice(other)
        elif seals:
            name = chance.choice(sorted(seals))
            seals[chance.choice(FILES)] = chance.choice([seals[name], seals.pop(name), "0" * 32])
        reader = chance.choice([self.state.reader] * 9 + ["0"])
        self.state = replace(self.state, interactions=opened, seals=seals, reader=reader)

    def _doubt(self) -> None:
        """Let a request be pending or failed, as a run that was killed leaves it."""
        about, chance = interaction(self.chance.choice(ADDRESSES), "P", "R"), self.chance
        if chance.random() < 0.5:
            kind = Kind.DISPATCH if about.address.startswith("once:") else chance.choice([Kind.DISPATCH, Kind.RELEASE])
            link = pending(about, kind, unsent=chance.random() < 0.5)
            self.state = replace(self.state, pending={**self.state.pending, f"p{chance.random()}": link})
        else:
            failure = failed(about, resent=chance.random() < 0.5)
            self.state = replace(self.state, failed={**self.state.failed, f"f{chance.random()}": failure})

    def _restore(self) -> None:
        """Put an older state back, or give this one a lineage of its own, or forget all that is in doubt."""
        if self.states and self.chance.random() < 0.5:
            self.state = self.chance.choice(self.states)
        elif self.chance.random() < 0.3:
            self.state = new_lineage(self.state).state
        else:
            self.state = replace(self.state, pending={}, failed={})

    def _lay_out(self) -> None:
        """Write the state and read it again, as it was written or as an editor left it."""
        data = b"".join(encode(self.state))
        edited = orjson.dumps(orjson.loads(data), option=orjson.OPT_INDENT_2)
        self.state = decode(data if self.chance.random() < 0.7 else edited, "s")


def run(folder: Path, seed: int, edits: int) -> int:
    """Edit a workspace so often, plan after each edit, apply now and then; return how often a file was sealed."""
    edited = Edited(folder, random.Random(seed))  # noqa: S311  # the same edits for the same seed
    for _ in range(edits):
        edited.edit()
        seen = edited.check()
        if edited.chance.random() < 0.5:
            edited.mend(seen)
        elif edited.chance.random() < 0.6:
            edited.apply(seen)
            edited.apply(edited.check())
    return edited.sealed
