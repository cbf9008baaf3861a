"""The guards: the numbers they show, the exact override, and what each lets pass."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from reconciler.interaction import Interaction
from reconciler.planning.guards import Approvals, GuardLimits, Refusal, refusals
from reconciler.planning.plan import Plan
from reconciler.planning.planner import plan
from reconciler.planning.selection import Selection
from reconciler.state.model import Kind, State
from tests.known import LIMITS, NOW, POLICY, TARGET, failed, interaction, opened, pending, state

NONE = Approvals()


def some(number: int, prefix: str = "A", **more: Any) -> list[Interaction]:
    """Return so many interactions."""
    return [interaction(f"{prefix}{n:03}", **more) for n in range(number)]


def with_open(interactions: list[Interaction], **parts: Any) -> State:
    """Return a state in which they are open."""
    return state(interactions={entry.address: opened(entry) for entry in interactions}, **parts)


def plan_of(desired: list[Interaction], known: State) -> Plan:
    """Return the plan."""
    return plan(desired, known, POLICY, NOW, TARGET)


def releasing(number: int, of: int) -> Plan:
    """Return a plan that releases so many of the open interactions."""
    everything = some(of)
    return plan_of(everything[number:], with_open(everything))


def codes(made: Plan, limits: GuardLimits = LIMITS, approvals: Approvals = NONE) -> list[str]:
    """Return the codes of the guards that stand against the plan."""
    return [refusal.code for refusal in refusals(made, limits, approvals)]


def test_a_plan_that_changes_nothing_passes() -> None:
    """No guard stands against a plan without changes, even an empty one."""
    assert refusals(plan_of([], state()), LIMITS, NONE) == ()
    assert refusals(releasing(0, 10), LIMITS, NONE) == ()


# -- max_release_percent -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("releases", "of", "percent", "refused"),
    [
        (5, 6, 30, False),
        (5, 6, 0, False),
        (6, 7, 30, True),
        (6, 20, 30, False),
        (6, 19, 30, True),
        (7, 20, 30, True),
        (30, 100, 30, False),
        (31, 100, 30, True),
        (6, 1000, 0, True),
        (6, 7, 99, False),
        (99, 100, 98, True),
        (99, 100, 100, False),
    ],
)
def test_percentage(releases: int, of: int, percent: int, *, refused: bool) -> None:
    """More than the percentage is refused, five always pass, and 100 switches the percentage off."""
    assert (
        codes(releasing(releases, of), replace(LIMITS, max_release_percent=percent))
        == ["max-release-percent"] * refused
    )


def test_percentage_shows_its_numbers() -> None:
    """The refusal says how many of how many, the share and the limit, and the flag that allows exactly this."""
    assert refusals(releasing(31, 100), LIMITS, NONE) == (
        Refusal(
            "max-release-percent",
            "31 of 100 open interactions to release (31 %), more than max_release_percent 30",
            "--allow-releases 31",
        ),
    )


@pytest.mark.parametrize(("approved", "refused"), [(30, True), (31, False), (32, False)])
def test_an_approval_permits_its_count_and_no_more(approved: int, *, refused: bool) -> None:
    """An approval of fewer releases than planned is none."""
    found = codes(releasing(31, 100), LIMITS, Approvals(releases=approved))
    assert found == ["max-release-percent"] * refused


def test_replaces_count_as_releases() -> None:
    """A replace releases, so it counts."""
    old = some(10)
    changed = [interaction(entry.address, route="Night") for entry in old[:6]]
    assert codes(plan_of([*changed, *old[6:]], with_open(old))) == ["max-release-percent"]


def test_settling_counts_as_releases() -> None:
    """Burning what may have been dispatched counts, and so does what may be open count as open."""
    links = {f"p{n}": pending(entry) for n, entry in enumerate(some(6))}
    rest = some(4, "B")
    made = plan_of(rest, with_open(rest, pending=links))
    (refusal,) = refusals(made, LIMITS, NONE)
    assert refusal.message.startswith("6 of 10 open interactions")


def test_what_failed_only_when_sent_again_counts() -> None:
    """What may be open after a resend that failed counts on both sides."""
    failures = {f"f{n}": failed(entry, resent=True) for n, entry in enumerate(some(6))}
    rest = some(4, "B")
    (refusal,) = refusals(plan_of(rest, with_open(rest, failed=failures)), LIMITS, NONE)
    assert refusal.message.startswith("6 of 10 open interactions")


def test_once_does_not_count() -> None:
    """A once can't be released: it is neither among the open ones nor among the releases."""
    sms = some(50, "once:")
    gone = some(6)
    made = plan_of([interaction("B")], with_open([*sms, *gone, interaction("B")]))
    (refusal,) = refusals(made, LIMITS, NONE)
    assert refusal.message.startswith("6 of 7 open interactions")
    assert refusals(plan_of([interaction("B")], with_open([*sms, interaction("B")])), LIMITS, NONE) == ()


def test_a_release_given_up_does_not_count() -> None:
    """What is taken as gone is released no more."""
    gone = some(6)
    failures = {f"f{n}": failed(entry, "release", attempts=3) for n, entry in enumerate(gone)}
    assert codes(plan_of([interaction("B")], with_open([*gone, interaction("B")], failed=failures))) == []


# -- max_releases ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("releases", "limit", "refused"), [(2, 2, False), (3, 2, True), (1, 0, True), (0, 0, False)])
def test_an_explicit_number_always_binds(releases: int, limit: int, *, refused: bool) -> None:
    """Unlike the percentage, an explicit number allows no five for free."""
    assert codes(releasing(releases, 100), replace(LIMITS, max_releases=limit)) == ["max-releases"] * refused


def test_an_explicit_number_binds_where_the_percentage_is_off() -> None:
    """max_release_percent 100 disables the percentage only."""
    assert codes(releasing(8, 10), replace(LIMITS, max_release_percent=100, max_releases=7)) == ["max-releases"]


def test_the_percentage_binds_within_the_explicit_number() -> None:
    """A generous number doesn't switch the percentage off."""
    assert codes(releasing(8, 10), replace(LIMITS, max_releases=100)) == ["max-release-percent"]


def test_max_releases_shows_its_numbers() -> None:
    """The refusal says how many, the limit, and the flag that allows exactly this, which then passes."""
    (refusal,) = refusals(releasing(3, 100), replace(LIMITS, max_releases=2), NONE)
    assert refusal == Refusal("max-releases", "3 to release, more than max_releases 2", "--allow-releases 3")
    assert codes(releasing(3, 100), replace(LIMITS, max_releases=2), Approvals(releases=3)) == []


# -- max_dispatches ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dispatches", "limit", "approved", "refused"),
    [
        (3, None, None, False),
        (3, 3, None, False),
        (3, 2, None, True),
        (1, 0, None, True),
        (3, 2, 3, False),
        (3, 2, 2, True),
        (3, 5, 1, False),
        (3, None, 1, False),
    ],
)
def test_max_dispatches(dispatches: int, limit: int | None, approved: int | None, *, refused: bool) -> None:
    """More dispatches than the limit are refused, unless as many were approved; an approval lowers no limit."""
    made = plan_of(some(dispatches), state())
    found = codes(made, replace(LIMITS, max_dispatches=limit), Approvals(dispatches=approved))
    assert found == ["max-dispatches"] * refused


def test_max_dispatches_shows_its_numbers() -> None:
    """Once and replaces count, and the flag allows exactly this."""
    desired = [interaction("A", route="Night"), interaction("B"), interaction("once:C")]
    (refusal,) = refusals(plan_of(desired, with_open([interaction("A")])), replace(LIMITS, max_dispatches=1), NONE)
    assert refusal == Refusal("max-dispatches", "3 to dispatch, more than max_dispatches 1", "--allow-dispatches 3")


# -- nothing declared --------------------------------------------------------------------------------------------


def test_nothing_declared() -> None:
    """Declaring nothing at all while something is open is refused, however little it is, and has its own override."""
    made = plan_of([], with_open([interaction("A")]))
    assert refusals(made, LIMITS, NONE) == (
        Refusal("nothing-declared", "nothing at all is declared, while 1 interaction is open", "--allow-empty"),
    )
    assert codes(made, LIMITS, Approvals(empty=True)) == []
    assert "2 interactions are open" in refusals(plan_of([], with_open(some(2))), LIMITS, NONE)[0].message


def test_allowing_nothing_allows_no_releases() -> None:
    """--allow-empty is about the declarations; how many releases may pass is another guard's matter."""
    made = plan_of([], with_open(some(10)))
    assert codes(made) == ["nothing-declared", "max-release-percent"]
    assert codes(made, LIMITS, Approvals(empty=True)) == ["max-release-percent"]
    assert codes(made, LIMITS, Approvals(releases=10)) == ["nothing-declared"]
    assert codes(made, LIMITS, Approvals(releases=10, empty=True)) == []


@pytest.mark.parametrize(
    ("known", "refused"),
    [
        (with_open([interaction("once:C")]), False),
        (state(failed={"f1": failed(interaction("A"))}), False),
        (state(failed={"f1": failed(interaction("A"), resent=True)}), True),
        (state(pending={"p1": pending(interaction("A"), unsent=True)}), False),
        (state(pending={"p1": pending(interaction("A"))}), True),
    ],
)
def test_nothing_declared_counts_what_may_be_open(known: State, *, refused: bool) -> None:
    """What may be open counts as open; what certainly isn't, and once, don't."""
    assert codes(plan_of([], known)) == ["nothing-declared"] * refused


# -- prevent_release ---------------------------------------------------------------------------------------------

GUARDED: Final = interaction("A", prevent_release=True)
FREE: Final = interaction("A")
KEPT: Final = [interaction("B")]


@pytest.mark.parametrize(
    ("desired", "known", "refused"),
    [
        pytest.param([], with_open([GUARDED]), True, id="gone: what the state holds counts"),
        pytest.param([], with_open([FREE]), False, id="gone, and not guarded"),
        pytest.param([GUARDED], with_open([GUARDED]), False, id="unchanged"),
        pytest.param([GUARDED._replace(prevent_release=False)], with_open([GUARDED]), False, id="guard taken away"),
        pytest.param(
            [interaction("A", route="Night", prevent_release=True)],
            with_open([GUARDED]),
            True,
            id="changed: the declaration's own value counts",
        ),
        pytest.param(
            [interaction("A", route="Night", prevent_release=True)],
            with_open([FREE]),
            True,
            id="changed, and guarded from now on",
        ),
        pytest.param(
            [interaction("A", route="Night")],
            with_open([GUARDED]),
            False,
            id="changed, and guarded no more",
        ),
        pytest.param([], state(pending={"p1": pending(GUARDED)}), True, id="gone, and maybe dispatched"),
        pytest.param([], state(pending={"p1": pending(FREE)}), False, id="gone, maybe dispatched, not guarded"),
        pytest.param([GUARDED], state(pending={"p1": pending(GUARDED)}), False, id="resent, which releases nothing"),
        pytest.param(
            [interaction("A", route="Night", prevent_release=True)],
            state(pending={"p1": pending(FREE)}),
            True,
            id="changed while unknown, and guarded",
        ),
        pytest.param(
            [interaction("A", route="Night")],
            state(pending={"p1": pending(GUARDED)}),
            False,
            id="changed while unknown, and guarded no more",
        ),
        pytest.param(
            [], state(pending={"p1": pending(GUARDED, unsent=True)}), False, id="gone, and certainly not dispatched"
        ),
        pytest.param(
            [],
            state(failed={"f1": failed(GUARDED, resent=True, prevent_release=True)}),
            True,
            id="gone, and maybe dispatched by a resend that failed",
        ),
        pytest.param(
            [],
            state(
                pending={"p1": pending(GUARDED, Kind.BURN), "p2": pending(GUARDED, Kind.TOLERANT, 1, unsent=True)},
            ),
            True,
            id="gone amid a burn",
        ),
    ],
)
def test_prevent_release(desired: list[Interaction], known: State, *, refused: bool) -> None:
    """What must not be released is not, whichever way it would be."""
    made = plan_of([*desired, *KEPT], replace(known, interactions={**known.interactions, "B": opened(KEPT[0])}))
    assert codes(made) == ["prevent-release"] * refused


def test_prevent_release_has_no_override() -> None:
    """Each such interaction is named with its place; no flag overrules it, only a declaration that allows it."""
    everything = Approvals(releases=1_000, dispatches=1_000, empty=True)
    known = with_open([GUARDED, interaction("C", prevent_release=True)])
    first, second = refusals(
        plan_of([interaction("C", route="Night", prevent_release=True)], known), LIMITS, everything
    )
    assert first.message == "A would be released, but its lifecycle says prevent_release (interactions/crm.yaml)"
    assert second.message == "C would be released, but its lifecycle says prevent_release (interactions/crm.yaml:3)"
    assert (first.override, second.override) == ("", "")
    assert "prevent_release: false, apply that, and only then remove or change it" in first.hint


@pytest.mark.parametrize(
    "known",
    [
        state(pending={"p1": pending(GUARDED)}),
        state(failed={"f1": failed(GUARDED, resent=True, prevent_release=True)}),
    ],
)
def test_what_may_be_open_is_safe_where_its_declaration_is_put_back(known: State) -> None:
    """The hint of the refusal tells the way on, and it is one: nothing is released, and no guard stands any more."""
    (refusal,) = refusals(plan_of(KEPT, known), LIMITS, NONE)
    assert refusal.hint.startswith("Put its declaration back as it was")
    assert not any(change.releases for change in plan_of([GUARDED, *KEPT], known).changes)
    assert codes(plan_of([GUARDED, *KEPT], known)) == []


# -- a part ------------------------------------------------------------------------------------------------------


def test_a_part_is_measured_by_the_whole() -> None:
    """What is left out is not counted, and percentages are of all that is open."""
    whole = releasing(10, of=20)
    chosen = [change.address for change in whole.changes][:6]
    part = whole.only(Selection((), ("A00[6-9]",)), chosen)
    assert codes(whole) == ["max-release-percent"]
    assert codes(part) == []
    assert codes(part, replace(LIMITS, max_releases=5)) == ["max-releases"]
    assert "6 of 20" in refusals(part, replace(LIMITS, max_release_percent=29), NONE)[0].message


@pytest.mark.parametrize(
    ("root", "outside"),
    [
        (".", 1),
        ("interactions", 2),
        ("interactions/uk", 3),
        ("interactions/u", 4),
        ("interactions/uk/a.yaml", 3),
        ("interactions/crm.yaml", 3),
        ("../elsewhere", 3),
    ],
)
def test_a_part_of_the_declarations_is_not_the_whole(root: str, outside: int) -> None:
    """What is gone, but was declared outside of what is read, stands against the plan, and the override is exact."""
    sources = ["interactions/uk/a.yaml", "interactions/crm.yaml", "other/b.yaml", "../elsewhere/c.yaml"]
    open_ = {f"A{n}": opened(interaction(f"A{n}"), source=source) for n, source in enumerate(sources)}
    made = plan_of([interaction("B")], state(interactions=open_))
    (refusal,) = refusals(made, LIMITS, NONE, root)
    assert (refusal.code, refusal.override) == ("outside-path", f"--allow-outside {outside}")
    assert refusals(made, LIMITS, Approvals(outside=outside), root) == ()
    assert refusals(made, LIMITS, Approvals(outside=outside - 1), root) == (refusal,)


def test_what_is_declared_or_held_is_not_gone() -> None:
    """Only what is declared no more can be gone, wherever it was declared; what is held stays as it is."""
    moved = state(interactions={"A": opened(interaction("A"), source="old/a.yaml")})
    assert refusals(plan_of([interaction("A", route="Night")], moved), LIMITS, NONE, "interactions") == ()
    unknown = state(pending={"p": pending(interaction("A"), source="old/a.yaml")})
    held = plan([], unknown, replace(POLICY, hold_unknown=True), NOW, TARGET)
    assert refusals(held, LIMITS, Approvals(empty=True), "interactions") == ()
