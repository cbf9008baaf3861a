"""What is measured: declaration files made from a seed, and the state in which all of them are open.

`python -m tests.benchmarks.workload STYLE FILES EACH TARGET NEW [OPEN]` makes two folders with the same declarations,
EACH in a file: one in which none is open, one in which all are.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from reconciler.declarations.loader import load
from reconciler.delivery.intent import intend
from reconciler.interaction import Interaction
from reconciler.planning.planner import plan
from reconciler.state import codec
from reconciler.state.model import Outcome, Result, State, Target
from reconciler.state.transitions import fold
from tests.known import POLICY, RULES

SEED: Final = 20_261_123
LINEAGE: Final = "7d9f0c8e-2b41-4c5a-9a37-0f6f5d1c2e43"
PER_FOLDER: Final = 1_000
_WORDS: Final = (
    "renewal",
    "delivery",
    "invoice",
    "complaint",
    "callback",
    "order",
    "refund",
    "upgrade",
    "outage",
    "survey",
)
_AGENTS: Final = ("anna.berg", "lewis.ode", "maria.cruz", "tom.field")


def block(number: int, chance: random.Random) -> str:
    """Return a file of one interaction, in block style."""
    topic = chance.choice(_WORDS)
    return f"""\
provider: CrmIntegration
interactions:
  - externalid: Case_{number:07d}
    route: Crm{topic.title()}Routing
    linkeddata:
      - type: clid
        value: "+44{chance.randrange(10**9, 10**10)}"
      - type: url
        label: Open the {topic}
        value: https://crm.example.com/cases/{chance.randrange(10**11):x}?topic={topic}
      - type: interactionproperty
        key: CaseNumber
        value: "{chance.randrange(10**8):08d}"
    routingdata:
      interactiontype: nonlive
      personalqueue:
        agent: {chance.choice(_AGENTS)}
        loggedintimeout: {chance.randrange(30, 600)}
      skills:
        - name: {topic}
        - name: language-{chance.choice(("en", "de", "es", "fr"))}
          expiryafter: {chance.randrange(0, 120)}
"""


def flow(number: int, chance: random.Random) -> str:
    """Return the same with `linkeddata` and `routingdata` in flow style, and plain URLs inside braces."""
    topic, language = chance.choice(_WORDS), chance.choice(("en", "de"))
    return f"""\
provider: CrmIntegration
interactions:
  - externalid: Case_{number:07d}
    route: Crm{topic.title()}Routing
    linkeddata:
      - {{type: clid, value: "+44{chance.randrange(10**9, 10**10)}"}}
      - {{type: url, label: Open the {topic}, value: https://crm.example.com/cases/{chance.randrange(10**11):x}?t={topic}}}
      - {{type: url, label: Knowledge base, value: https://kb.example.com:8443/articles/{chance.randrange(10**7)}#steps}}
      - {{type: interactionproperty, key: CaseNumber, value: "{chance.randrange(10**8):08d}"}}
    routingdata:
      interactiontype: nonlive
      personalqueue: {{agent: {chance.choice(_AGENTS)}, loggedintimeout: {chance.randrange(30, 600)}}}
      skills: [{{name: {topic}}}, {{name: language-{language}, expiryafter: {chance.randrange(0, 120)}}}]
"""


STYLES: Final[dict[str, Callable[[int, random.Random], str]]] = {"block": block, "flow": flow}


def declare(folder: Path, style: str, files: int, each: int = 1) -> None:
    """Write so many files of so many interactions each below `folder/interactions`, a thousand in each folder."""
    chance, write = random.Random(SEED), STYLES[style]  # noqa: S311  # the same workload every time
    for number in range(files):
        below = folder / "interactions" / f"{number // PER_FOLDER:03d}"
        if number % PER_FOLDER == 0:
            below.mkdir(parents=True)
        head = ""
        parts = (write(number * each + which, chance) for which in range(each))
        for first, part in zip([True, *[False] * (each - 1)], parts, strict=True):
            head += part if first else part.partition("interactions:\n")[2]
        (below / f"case-{number:07d}.yaml").write_text(head, encoding="utf-8")


def declared(folder: Path) -> tuple[Interaction, ...]:
    """Return what the files below `folder` declare."""
    return load(folder / "interactions", RULES, base=folder).interactions


def empty_state(target: str) -> State:
    """Return a state in which nothing is open."""
    return State(LINEAGE, target=Target(target))


def open_state(interactions: tuple[Interaction, ...], target: str) -> State:
    """Return the state in which all of them are open: the real one, by way of intent and fold."""
    state = empty_state(target)
    at = datetime(2026, 11, 23, tzinfo=UTC)
    desired = {interaction.address: interaction for interaction in interactions}
    intent = intend(plan(interactions, state, POLICY, at), desired, state, at.isoformat(), Target(target))
    return fold(intent.state, ((Outcome(id_, Result.SUCCEEDED), at.isoformat()) for id_ in intent.state.pending))


def keep(state: State, folder: Path) -> None:
    """Write the state where a run in `folder` finds it."""
    (folder / "reconciler.state.json").write_bytes(b"".join(codec.encode(state)))


def make_new(style: str, files: int, target: str, new: Path, *, each: int = 1) -> None:
    """Make the folder in which none is open."""
    new.mkdir()
    declare(new, style, files, each)
    keep(empty_state(target), new)


def make(style: str, files: int, target: str, new: Path, opened: Path, *, each: int = 1) -> None:
    """Make both folders."""
    make_new(style, files, target, new, each=each)
    opened.mkdir()
    (opened / "interactions").symlink_to(new / "interactions")
    keep(open_state(declared(new), target), opened)


if __name__ == "__main__":
    style, files, each, target, new, *opened = sys.argv[1:]
    if opened:
        make(style, int(files), target, Path(new), Path(*opened), each=int(each))
    else:
        make_new(style, int(files), target, Path(new), each=int(each))
