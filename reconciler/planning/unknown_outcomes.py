"""What to do about requests whose outcome is unknown: resend, burn, hold or forget.

Pure. The API can't be asked what became of a request, but it ignores a requestid that it has processed [D]:
- sending the very same request again is safe, whether it was processed or not;
- a release sent under a dispatch's requestid burns it: ignored if the dispatch was processed, and otherwise it
  takes the id, so that a late copy of the dispatch is ignored.
Then it is released in case it is open. That may fail because nothing is, or for a passing reason: so it is tried
`release_attempts` times, each under a requestid of its own, before what stands behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from reconciler.interaction import Interaction, is_once, same_content
from reconciler.planning.plan import Reason, Step
from reconciler.state.model import Kind, Pending

PendingChain = Sequence[tuple[str, Pending]]
CLOCKS_DIFFER: Final = timedelta(minutes=5)
"""So far ahead of this machine's clock another one may have been, which says nothing of a request's age."""


def needs_settling(links: PendingChain) -> bool:
    """Whether anything in the chain may have been processed, or must still be sent whatever is declared now."""
    return any(link.unknown or link.kind is Kind.TOLERANT for _, link in links)


def why_held(
    links: PendingChain, wanted: Interaction | None, now: datetime, *, hold: bool, within: timedelta
) -> Reason | None:
    """Return why the chain must wait for a person, or None.

    `hold` is `on_unknown: hold`; `within` is `resend_within`: how long requestids are remembered is not documented.
    """
    # A burn that a person resolved as not applied is marked unsent too: it waits for nobody.
    unknown = [link for _, link in links if not link.unsent]
    if any(link.held for link in unknown):
        return Reason.HELD_FAILED
    if unknown and hold:
        return Reason.HELD_POLICY
    ages = [now - datetime.fromisoformat(link.at) for link in unknown]
    if any(age > within for age in ages):
        return Reason.HELD_AGE
    if any(age < -min(within, CLOCKS_DIFFER) for age in ages):
        return Reason.HELD_CLOCK
    changed = wanted is not None and any(not same_content(link.digest, wanted) for link in unknown)
    if changed and any(is_once(link.address) for link in unknown):
        return Reason.HELD_ONCE
    return None


def settle(links: PendingChain, wanted: Interaction | None, release_attempts: int) -> tuple[Step, ...]:
    """Return the steps that settle the chain and then bring about what is wanted.

    A link that is kept goes out under its own requestid. What follows a release that fails is dropped by `fold`.
    """
    steps = list(_settling(links, wanted, release_attempts))
    if wanted is not None and (not steps or steps[-1].kind is not Kind.DISPATCH):
        steps.append(Step(Kind.DISPATCH, wanted.provider, wanted.digest))
    return reuse_unsent(tuple(steps), links)


def tolerant(provider: str | None, digest: str, release_attempts: int) -> tuple[Step, ...]:
    """Return all tries of a release of what may be open."""
    return (Step(Kind.TOLERANT, provider, digest),) * release_attempts


def _settling(links: PendingChain, wanted: Interaction | None, release_attempts: int) -> Iterator[Step]:
    for requestid, link in links:
        if link.kind is not Kind.DISPATCH:
            yield Step(link.kind, link.provider, link.digest, requestid, resend=link.unknown)
        elif link.unsent:
            continue
        elif wanted is not None and same_content(link.digest, wanted):
            yield Step(Kind.DISPATCH, link.provider, link.digest, requestid, resend=True)
        else:
            yield Step(Kind.BURN, link.provider, link.digest, requestid, resend=True)
            yield from tolerant(link.provider, link.digest, release_attempts)


def reuse_unsent(steps: tuple[Step, ...], links: PendingChain) -> tuple[Step, ...]:
    """Return the steps, new ones under the requestid of the same request where that was certainly not processed.

    Nothing can come of it twice: should it have been processed after all, the API ignores the copy. Each is used once.
    """
    used = {step.requestid for step in steps}
    unsent = {
        (link.kind, link.provider, link.digest): requestid
        for requestid, link in links
        if not link.unknown and requestid not in used
    }
    return tuple(
        step if step.requestid else step._replace(requestid=unsent.pop((step.kind, step.provider, step.digest), None))
        for step in steps
    )
