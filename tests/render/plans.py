"""Plans to render, made by the planner from what is declared and what is open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from reconciler.errors import Problem
from reconciler.interaction import Interaction, OnChange, Place
from reconciler.planning.guards import Approvals, GuardLimits, denied, refusals
from reconciler.planning.planner import plan
from reconciler.planning.policy import Excepted
from reconciler.planning.saved_plan import SavedPlan
from reconciler.state.model import ApiAction, Failed, Kind, Pending, State, Target
from tests import known
from tests.known import LIMITS, POLICY

TARGET = Target("https://emea.api.newvoicemedia.com", "prod-uk")
NOW = datetime(2026, 11, 23, 3, tzinfo=UTC)
STAMP = "2026-11-23T02:00:00Z"
NO_APPROVALS = Approvals()
SENSITIVE = POLICY.sensitive
HOSTILE = (
    "```\n# Approved\n```",
    "`" * 100,
    " `a` ",
    "@octocat @github/security",
    "#1 GH-2 octo/cat#3 !4 $5 %6 ~7 &8",
    "0123456789abcdef0123456789abcdef01234567",
    "<img src=x onerror=alert(1)><!-- --></details><script>alert(1)</script>",
    "[click](https://evil.example) ![i](https://evil.example/i.png) [x]: https://evil.example",
    "www.evil.example https://evil.example <https://evil.example> mail@evil.example",
    "\x1b[31mred\x1b[0m \x9b2J \x07",
    "a\u202eb\u2066c\u200bd\u2028e",
    "a | b \\| c \\\\| d",
    "--> <!-- reconciler:plan environment=prod fingerprint=0 -->",
    ":tada: $x^2$ $$y$$ [^1] [[_TOC_]] {{ 7 }}",
    "/approve\r\n/merge",
    "- [x] approved\n---\n> [!NOTE]",
    "~~~~\n$`x`$\n\n    code",
    "::error title=x::y %0A ##[error]z",
)


def interaction(address: str, file: str = "interactions/crm.yaml", line: int = 3, **more: Any) -> Interaction:
    """Return a declared interaction."""
    usual = {"provider": "CrmIntegration", "route": "CrmCallRouting", "place": Place(file, line)}
    return known.interaction(address, **{**usual, **more})


def failed(declared: Interaction, action: ApiAction, attempts: int, reason: str) -> Failed:
    """Return a failed attempt at it."""
    return known.failed(declared, action, attempts=attempts, first=STAMP, last=STAMP, reason=reason)


def pending(declared: Interaction, kind: Kind = Kind.DISPATCH, **more: Any) -> Pending:
    """Return a request for it, of unknown outcome."""
    return known.pending(declared, kind, **{"at": STAMP, **more})


def saved(
    desired: Sequence[Interaction],
    was: Iterable[Interaction] = (),
    failures: Iterable[Failed] = (),
    links: Iterable[Pending] = (),
    *,
    approved: Approvals = NO_APPROVALS,
    limits: GuardLimits = LIMITS,
    environment: str | None = "prod",
    warnings: tuple[Problem, ...] = (),
    target: Target | None = TARGET,
) -> SavedPlan:
    """Return the plan from what was open, failed and unknown to what is desired."""
    state = State(
        "3e1d6c1a-8d0f-4c52-9a56-0d5a1d0c2b11",
        12,
        target,
        {entry.address: known.opened(entry, requestid=f"r-{entry.address}", at=STAMP) for entry in was},
        {f"p-{link.address}": link for link in links},
        {f"f-{failure.address}": failure for failure in failures},
    )
    made = plan(desired, state, POLICY, NOW, target)
    return SavedPlan(made, approved, refusals(made, limits, approved), warnings, environment)


def nothing() -> SavedPlan:
    """Return a plan without any change."""
    as_is = [interaction(f"ObjectId_{n:03}") for n in range(241)]
    return saved(as_is, as_is)


def one() -> SavedPlan:
    """Return a plan with one change, without an environment."""
    items = [
        {"type": "clid", "value": "+447700900123"},
        {"type": "url", "label": "Click me", "value": "https://x.test"},
    ]
    return saved([interaction("ObjectId_002", line=14, linkeddata=items)], environment=None)


def forty() -> SavedPlan:
    """Return a plan with forty changes of every kind, refused by two guards."""
    clid, key = (
        {"type": "clid", "value": "+447700900123"},
        {"type": "interactionproperty", "key": "ToNum", "value": "07"},
    )
    skills = {"skills": [{"name": "skillOptional", "expiryafter": 0}]}
    more = {"skills": [{"name": "skillMandatory"}, {"name": "skillOptional", "expiryafter": 30}]}
    gone = [interaction(f"Gone_{n:02}", "interactions/old.yaml") for n in range(14)]
    night = [
        interaction("Night_01", line=3, linkeddata=[clid], routingdata=skills),
        interaction("Night_02", line=21, provider="OldCrm"),
        interaction("Night_03", "interactions/team/night.yaml", 5, prevent_release=True),
    ]
    changed = [
        interaction("Night_01", line=3, route="CrmNight", linkeddata=[{**clid, "value": "+44"}], routingdata=more),
        interaction("Night_02", line=21, linkeddata=[{"type": "url", "label": "Case", "value": "https://crm.test/1"}]),
        interaction("Night_03", "interactions/team/night.yaml", 5, route="CrmNight", prevent_release=True),
    ]
    new = [interaction(f"New_{n:02}", f"interactions/{'ab'[n % 2]}.yaml", 3 + n, linkeddata=[clid]) for n in range(16)]
    lost = [interaction("Lost_01", line=60), interaction("Lost_02", "interactions/old.yaml")]
    once = interaction("once:welcome sms", "interactions/sms.yaml", 4, provider=None, linkeddata=[key])
    other = interaction("once:welcome sms", "interactions/sms.yaml", 4, provider=None, route="SendSMS")
    kept = interaction("Kept", "interactions/kept.yaml", 9, route="Elsewhere", on_change=OnChange.KEEP)
    told = interaction("once:told", "interactions/sms.yaml")
    return saved(
        [*changed, *new, lost[0], once, kept],
        [*gone, *night, interaction("Kept", "interactions/kept.yaml", 9), told],
        [
            failed(gone[3], "release", 2, "Interaction not found (404)"),
            failed(gone[4], "release", 3, "Interaction not found (404)"),
            failed(new[0], "dispatch", 1, "the API gave no reason"),
        ],
        [pending(lost[0]), pending(lost[1]), pending(other)],
        warnings=(
            Problem("interactions/sms.yaml", 7, 9, "key-with-spaces", "the key 'To Num' has spaces", warning=True),
        ),
        approved=Approvals(dispatches=30),
    )


@cache
@cache
def ten_thousand(*, alike: bool = False) -> SavedPlan:
    """Return a plan with ten thousand changes, each of its own sort, or of three sorts."""
    gone, was, now, new = [], [], [], []
    for n in range(5_000):
        sort, file = "" if alike else str(n), f"interactions/{n % 9}.yaml"
        new.append(interaction(f"New_{n:04}", file, 9_003 + n, route=f"CrmDay{sort}"))
        if n < 3_000:
            was.append(interaction(f"Moved_{n:04}", file, 3 + n))
            now.append(interaction(f"Moved_{n:04}", file, 3 + n, route=f"CrmNight{sort}"))
        if n < 2_000:
            gone.append(interaction(f"Gone_{n:04}", "interactions/old.yaml", provider=f"Old{sort}"))
    return saved([*now, *new], [*gone, *was])


def hostile(texts: Sequence[str] = HOSTILE) -> SavedPlan:
    """Return a plan of every kind of change, with each text wherever there is room for one."""
    desired, was, failures, links, warnings, free = [], [], [], [], [], []
    for number, text in enumerate(texts):
        items = [
            {"type": "url", "label": text, "value": text},
            {"type": "interactionproperty", "key": text, "value": "1"},
        ]
        was.append(interaction(f"r{number} {text}", text))
        failures.append(failed(was[-1], "release", 1, text))
        was.append(interaction(f"c{number} {text}", text, number, prevent_release=True))
        desired.append(
            interaction(
                was[-1].address, text, number, route=text, linkeddata=items, provider=text, prevent_release=True
            )
        )
        desired.append(interaction(f"{text} d{number}", text, number + 9, route=text, linkeddata=items))
        desired.append(interaction(f"{text} u{number}", text, number + 19, route=text))
        links.append(pending(desired[-1]))
        desired.append(interaction(f"once:{text} {number}", text, number + 29, route=text))
        links.append(pending(interaction(desired[-1].address, text)))
        warnings.append(Problem(text, number, 1, "key-with-spaces", f"the key {text} has spaces", warning=True))
        free.append(Excepted(text, text, text, "2027-01-31", f"{text}:{number}"))
    target = Target(texts[0][:150] if texts else "https://x.test", texts[-1][:150] if texts else None)
    environment = texts[0] if texts else None
    made = saved(desired, was, failures, links, warnings=tuple(warnings), target=target, environment=environment)
    return replace(made, refusals=(*made.refusals, *denied(warnings)), exceptions=tuple(free))
