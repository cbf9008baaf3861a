"""The harness can fail: with any one protection removed, it finds what that protection is for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api import SandboxConfig
from tests.crash.conftest import MakeBench
from tests.crash.driver import Driver
from tests.crash.harness import Bench, Finding
from tests.crash.mutants import MUTANTS
from tests.crash.scenarios import SCENARIOS
from tests.crash.test_one_run import SLOW, sending, two_runs

SHOWN_BY = {
    "intent-not-saved": "dispatch-then-edited",
    "random-requestids": "dispatch-then-edited",
    "new-requestids-on-resend": "settle-processed",
    "no-journal": "once-fails",
    "files-not-fsynced": "dispatch-then-edited",
    "folder-not-fsynced": "dispatch-then-edited",
    "journal-removed-first": "once-fails",
    "state-written-in-place": "dispatch-then-edited",
    "refusal-settles": "refused-after-unknown",
    "unknown-marked-unsent": "rejected-after-unknown",
    "half-taken-as-unsent": "halved-then-rejected",
    "refused-half-is-definite": "halved-though-processed",
    "gateway-s-answer-is-a-rejection": "stopped-though-processed",
    "unsent-not-cleared": "unsent",
    "no-burn": "burn",
    "no-release-after-burn": "burn",
    "release-after-burn-tried-once": "burn-release-fails",
    "needless-tries-stay": "burn",
    "chain-order-reversed": "replace-then-edited",
    "chain-sent-at-once": "burn",
    "outcome-journaled-late": "replace-then-edited",
    "chain-goes-on-after-failed-release": "release-fails",
    "burnt-requestid-dispatches": "burn-then-reverted",
    "tolerant-release-stored-as-release": "burn",
    "release-without-its-provider": "replace",
}
SHOWN_ABOVE = {"failure-of-resend-is-definite", "calls-in-flight-abandoned", "no-lock", "others-not-noticed"}


@pytest.mark.parametrize("name", SHOWN_BY)
def test_caught(make_bench: MakeBench, name: str) -> None:
    """Killed at some point, with one protection removed, a run leaves something that the harness finds."""
    bench = make_bench(SCENARIOS[SHOWN_BY[name]], mutant=name)
    _caught(bench, bench.findings())


def test_failure_of_a_resend_is_caught(make_bench: MakeBench) -> None:
    """Where duplicates are listed as failed, a resend's failure that counts as definite doubles an interaction."""
    config = SandboxConfig(done_duplicate_fails=True)
    bench = make_bench(SCENARIOS["settle-processed"], mutant="failure-of-resend-is-definite", config=config)
    _caught(bench, bench.findings())


def test_calls_in_flight_abandoned_is_caught(make_bench: MakeBench) -> None:
    """Interrupted while a call is in flight, a run that doesn't wait for the answer leaves its outcome unknown."""
    bench = make_bench(SLOW, mutant="calls-in-flight-abandoned")
    _caught(bench, bench.interrupt_everywhere(sending(bench)))


def test_no_lock_is_caught(make_bench: MakeBench, other_driver: Driver) -> None:
    """Without a lock a second run goes on beside the first, and what one of them did is forgotten."""
    bench = make_bench(SCENARIOS["dispatch"], mutant="no-lock")
    _caught(bench, (finding for finding in two_runs(bench, other_driver) if finding.where == "after both"))


def test_others_not_noticed_is_caught(make_bench: MakeBench, other_driver: Driver) -> None:
    """Without its lock, a run that doesn't look writes over what another has saved, and that is forgotten."""
    bench = make_bench(SCENARIOS["dispatch"], mutant="others-not-noticed")
    _caught(
        bench, (finding for finding in two_runs(bench, other_driver, cleaned=True) if finding.where == "after both")
    )


def test_every_mutant_is_tried() -> None:
    """Each mutant that is defined is one of those above."""
    assert {*SHOWN_BY, *SHOWN_ABOVE} == MUTANTS.keys()


def _caught(bench: Bench, findings: Iterator[Finding]) -> None:
    finding = next(findings, None)
    assert finding, f"{bench.mutant} was not caught"
    print(finding)  # noqa: T201  # shown with -rP: what each protection is for
    bench.tally.mutants += 1
