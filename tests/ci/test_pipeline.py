"""The workflows' very shell steps, end to end: real git, real HTTP to a sandbox, a hosting platform in this process."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import time
import zipfile
from collections.abc import Callable, Mapping

import pytest

from tests.api import SandboxServer
from tests.ci.hosting import BOT, STATE, Hosting, Run
from tests.ci.runner import During, gone, killed

ONE = "provider: Crm\ninteractions:\n  - {externalid: case-1, route: Day}\n"
TWO = ONE + "  - {externalid: case-2, route: Day}\n"
OTHER = "provider: Other\ninteractions:\n  - {externalid: other-1, route: Day}\n"
CRM = "interactions/crm.yaml"


def merged(hosting: Hosting, files: dict[str, str | None], during: Mapping[str, During] | None = None) -> Run:
    """Propose, merge and apply, with an approval instead of a plan in the pull request."""
    return hosting.apply(hosting.merge(hosting.propose(files)), approve=True, during=during)


def comment(hosting: Hosting, number: int = 1) -> str:
    """Return the text of a pull request's one comment."""
    (only,) = hosting.comments[number]
    return str(only["body"])


def opened(server: SandboxServer) -> set[str]:
    """Return what is open."""
    return set(server.emulator.open)


def test_from_an_edit_to_a_saved_state(hosting: Hosting, server: SandboxServer) -> None:
    """A declaration is planned, shown, merged and applied with no other approval; the state is on its branch."""
    hosting.installs = True
    pull = hosting.propose({CRM: TWO})
    planned = hosting.plan(pull)
    assert planned.jobs["plan"].succeeded
    assert "case-1" in planned.jobs["plan"].summary
    hosting.comment(planned)
    assert "case-1" in comment(hosting)
    assert server.calls == []

    applied = hosting.apply(hosting.merge(pull))
    assert list(applied.jobs) == ["plan", "apply"]
    assert applied.jobs["apply"].succeeded
    assert opened(server) == {"case-1", "case-2"} == set(hosting.state["interactions"])
    assert hosting.show(f"{STATE}.commit") == pull["merge_commit_sha"]
    assert [hosting.show(f"{STATE}.{kind}") for kind in ("taken", "journal", "lock", "backup")] == [None] * 4
    assert hosting.retry().step("Retry").said.endswith("Nothing to retry.\n")


def test_planning_knows_no_secret(hosting: Hosting) -> None:
    """The plan of a pull request runs without credentials, and no output of any job holds one."""
    pull = hosting.propose({CRM: ONE})
    runs = [hosting.plan(pull), hosting.apply(hosting.merge(pull))]
    said = "".join(step.said for run in runs for job in run.jobs.values() for step in job.steps)
    kept = b"".join(data for run in runs for data in run.artifacts.values())
    for secret in ("planted-secret", "planted-token"):
        assert secret not in said
        assert secret.encode() not in kept
        assert secret not in hosting.git(hosting.bare, "log", "--all", "--patch")


def test_one_comment_is_updated_in_place(hosting: Hosting) -> None:
    """A second push to a pull request changes the comment that is there, and leaves a stranger's alone."""
    pull = hosting.propose({CRM: ONE})
    fake = {"id": 100, "user": {"login": "stranger"}, "body": "<!-- reconciler:plan environment=- mine -->"}
    hosting.comments[1] = [dict(fake)]
    hosting.comment(hosting.plan(pull))
    hosting.push(pull, {CRM: TWO})
    hosting.comment(hosting.plan(pull))
    assert hosting.comments[1][0] == fake
    (own,) = hosting.comments[1][1:]
    assert own["user"]["login"] == BOT
    assert "case-2" in own["body"]


def test_an_outdated_run_says_nothing(hosting: Hosting) -> None:
    """A run whose commit is not the head of the pull request any more does not touch the comment."""
    pull = hosting.propose({CRM: ONE})
    run = hosting.start({"pull_request": pull}, pull["head"]["sha"], pull["head"]["repo"])
    hosting.push(pull, {CRM: TWO})
    assert hosting.comment(run).succeeded
    assert hosting.comments == {}


def test_a_fork_that_changes_declarations_gets_its_plan(hosting: Hosting, server: SandboxServer) -> None:
    """The plan of a fork is shown, and counts as reviewed, as long as the fork changes declarations only."""
    pull = hosting.propose({CRM: ONE}, fork=True)
    hosting.comment(hosting.plan(pull))
    assert "case-1" in comment(hosting)
    assert "apply" in hosting.apply(hosting.merge(pull)).jobs
    assert opened(server) == {"case-1"}


def test_a_fork_that_changes_more_gets_a_link_only(hosting: Hosting, server: SandboxServer) -> None:
    """What a fork's own code may have written is not posted under our name, and does not count as reviewed."""
    forged = "printf 'not a plan' > reconciler-plan/plan.md\n"
    plan = (hosting.dev / "ci" / "reconciler" / "plan.sh").read_text(encoding="utf-8")
    text = plan.replace("exit 0", f"{forged} exit 0")
    pull = hosting.propose({CRM: ONE, "ci/reconciler/plan.sh": text}, fork=True)
    hosting.comment(hosting.plan(pull))
    assert "not a plan" not in comment(hosting)
    assert "changes more than declarations" in comment(hosting)
    run = hosting.apply(hosting.merge(pull))
    assert "came from a fork" in run.jobs["plan"].step("Is it what was reviewed?").said
    assert (list(run.jobs), opened(server)) == (["plan"], set())


FORGED = {
    "another environment's": f"<!-- reconciler:plan environment=prod fingerprint={'0' * 64} -->\nText",
    "text before the marker": f"@all <!-- reconciler:plan environment=- fingerprint={'0' * 64} -->\nText",
    "too long": f"<!-- reconciler:plan environment=- fingerprint={'0' * 64} -->\n" + "x" * 65_536,
    "escapes": f"<!-- reconciler:plan environment=- fingerprint={'0' * 64} -->\n\x1b[2J",
    "bidi": f"<!-- reconciler:plan environment=- fingerprint={'0' * 64} -->\n\u202e",
}


def test_an_artifact_that_is_no_plan_is_not_posted(hosting: Hosting) -> None:
    """Of an artifact, only what has the form of a plan is posted, whatever made it."""
    pull = hosting.propose({CRM: ONE})
    run = hosting.start({"pull_request": pull}, pull["head"]["sha"], pull["head"]["repo"])
    for what, artifact in {"empty": b"", "no zip": b"PK", **{key: zipped(FORGED[key]) for key in FORGED}}.items():
        hosting.comments.clear()
        run.artifacts["reconciler-plan"] = artifact
        assert hosting.comment(run).succeeded
        assert "**No plan is shown for" in comment(hosting), what


def zipped(plan: str) -> bytes:
    """Return an artifact with this plan.md."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("plan.md", plan)
    return buffer.getvalue()


def test_an_invalid_declaration_fails_the_check(hosting: Hosting) -> None:
    """The run of a pull request that can't be planned is red, and its comment leads to it."""
    planned = hosting.plan(hosting.propose({CRM: "interactions:\n  - {externalid: 7, route: Day}\n"}))
    hosting.comment(planned)
    assert planned.jobs["plan"].step("Plan").code == 1
    assert "There is no plan" in comment(hosting)


def test_a_plan_that_became_another_needs_approval(hosting: Hosting, server: SandboxServer) -> None:
    """A merge whose plan is not the one that was shown waits for a person, and is applied after the approval."""
    merged(hosting, {CRM: ONE})
    pull = hosting.propose({CRM: ONE.replace("Day", "Night")})
    hosting.plan(pull)
    server.faults.add("fail externalid=case-1 action=release")
    assert merged(hosting, {CRM: ONE.replace("Day", "Evening")}).jobs["apply"].step("Apply").code == 4
    hosting.git(hosting.dev, "checkout", "--quiet", pull["head"]["ref"])
    hosting.git(hosting.dev, "merge", "--quiet", "--strategy=ours", "origin/main")
    pull["head"]["sha"] = hosting.git(hosting.dev, "rev-parse", "HEAD")
    waiting = hosting.apply(hosting.merge(pull))
    assert list(waiting.jobs) == ["plan"]
    assert "Approval is needed" in waiting.jobs["plan"].step("Is it what was reviewed?").said

    # The schedule does not apply what waits: it retries the merge before.
    assert hosting.retry().succeeded
    assert hosting.state["interactions"]["case-1"]["fields"]["route"] == "Evening"

    again = hosting.apply(pull["merge_commit_sha"], approve=True)
    assert again.jobs["apply"].succeeded
    assert hosting.state["interactions"]["case-1"]["fields"]["route"] == "Night"


def test_a_stale_plan_sends_nothing(hosting: Hosting, server: SandboxServer) -> None:
    """A plan that was approved before another run changed the state exits 3, and the state is given back as it was."""
    run = hosting.start_apply(hosting.merge(hosting.propose({CRM: ONE})))
    hosting.apply(run.head_sha, approve=True)
    before, calls = hosting.state, len(server.calls)
    hosting.finish_apply(run, approve=True)
    assert run.jobs["apply"].step("Apply").code == 3
    assert run.jobs["apply"].step("Save the state").code == 0
    assert (hosting.state, len(server.calls), hosting.show(f"{STATE}.taken")) == (before, calls, None)


def test_an_older_commit_is_not_applied_over_a_newer_one(hosting: Hosting, server: SandboxServer) -> None:
    """Running the pipeline of an old merge again does not undo the merges since, even if approved."""
    first = merged(hosting, {CRM: ONE}).head_sha
    merged(hosting, {CRM: TWO})
    again = hosting.apply(first, approve=True)
    plan = again.jobs["plan"].step("Plan")
    assert (plan.code, "apply" in again.jobs) == (5, False)
    assert "is older than it" in " ".join(plan.said.split())
    assert opened(server) == {"case-1", "case-2"}


def test_a_failed_request_is_retried_by_the_schedule(hosting: Hosting, server: SandboxServer) -> None:
    """After exit 4 the job is red and the state is saved; the scheduled run sends the request again."""
    server.faults.add("fail externalid=case-1")
    failed = merged(hosting, {CRM: TWO}).jobs["apply"]
    assert (failed.step("Apply").code, failed.step("Save the state").code) == (4, 0)
    assert [failure["address"] for failure in hosting.state["failed"].values()] == ["case-1"]
    assert "Failed: 1 request" in failed.step("Apply").said

    assert hosting.retry().succeeded
    assert opened(server) == {"case-1", "case-2"}
    assert hosting.state["failed"] == {}


def test_a_killed_apply_is_taken_up_by_the_schedule(hosting: Hosting, server: SandboxServer) -> None:
    """State and journal of an apply that was killed are saved, and the next run settles what it left."""
    server.faults.add("hang processed=yes nth=2")

    def kill(process: subprocess.Popen[str]) -> None:
        server.wait_until(lambda: server.hanging == 1, timeout=60)
        deadline = time.monotonic() + 60
        while not list(hosting.folder.glob(f"run-*-apply/workspace/reconciler-state/{STATE}.journal")):
            assert time.monotonic() < deadline
            time.sleep(0.01)  # nothing tells when a file appears
        killed(process)

    run = merged(
        hosting, {CRM: ONE, "interactions/other.yaml": OTHER, "reconciler.yaml": slow(server)}, {"Apply": kill}
    )
    server.release()
    job = run.jobs["apply"]
    assert (job.step("Apply").code, job.step("Save the state").code) == (-signal.SIGKILL, 0)
    assert len(hosting.state["pending"]) == 2
    assert (hosting.show(f"{STATE}.journal") or "").count("succeeded") == 1
    assert opened(server) == {"case-1", "other-1"}

    retried = hosting.retry()
    assert retried.succeeded, retried.step("Retry").said
    assert hosting.show(f"{STATE}.journal") is None
    assert (set(hosting.state["interactions"]), hosting.state["pending"]) == ({"case-1", "other-1"}, {})
    assert server.emulator.record.doubles == []


def slow(server: SandboxServer) -> str:
    """Return a configuration with one call at a time."""
    return f"base_url: {server.base_url}\nparallelism: 1\n"


def test_a_cancelled_job_saves_what_was_answered(hosting: Hosting, server: SandboxServer) -> None:
    """A runner's signal reaches reconciler: it waits for the call in flight, exits 130, and the state is saved."""
    server.faults.add("hang processed=yes")

    def cancel(process: subprocess.Popen[str]) -> None:
        server.wait_until(lambda: server.hanging == 1, timeout=60)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert any("Stopping" in line for line in process.stdout)
        server.release()

    job = merged(
        hosting, {CRM: ONE, "interactions/other.yaml": OTHER, "reconciler.yaml": slow(server)}, {"Apply": cancel}
    ).jobs["apply"]
    assert (job.step("Apply").code, job.step("Save the state").code) == (130, 0)
    assert len(hosting.state["interactions"]) == 1
    assert hosting.retry().succeeded
    assert len(hosting.state["interactions"]) == 2


def test_an_outcome_that_stays_unknown_is_saved(hosting: Hosting, server: SandboxServer) -> None:
    """After exit 7 the state is saved, and the scheduled run settles it under the same requestid."""
    server.faults.add("status-after=503 retry-after=200")
    job = merged(hosting, {CRM: ONE}).jobs["apply"]
    assert (job.step("Apply").code, job.step("Save the state").code) == (7, 0)
    (requestid,) = hosting.state["pending"]
    assert hosting.retry().succeeded
    assert hosting.state["interactions"]["case-1"]["requestid"] == requestid


def test_two_merges_in_the_concurrency_group(hosting: Hosting, server: SandboxServer) -> None:
    """Of two merges at once the second one waits, and is still what was reviewed."""
    first, second = hosting.propose({CRM: ONE}), hosting.propose({"interactions/other.yaml": OTHER})
    hosting.plan(first)
    hosting.plan(second)
    commits = [hosting.merge(first), hosting.merge(second)]
    for commit in commits:
        assert hosting.apply(commit).jobs["apply"].succeeded
    assert opened(server) == {"case-1", "other-1"} == set(hosting.state["interactions"])


def test_two_merges_without_a_concurrency_group(hosting: Hosting, server: SandboxServer) -> None:
    """Where two runs overlap after all, the second one finds the state taken and sends nothing until later."""
    first, second = hosting.propose({CRM: ONE}), hosting.propose({"interactions/other.yaml": OTHER})
    commits = [hosting.merge(first), hosting.merge(second)]
    late: list[Run] = []
    server.faults.add("hang processed=yes")

    def overlap(_process: subprocess.Popen[str]) -> None:
        server.wait_until(lambda: server.hanging == 1, timeout=60)
        late.append(hosting.apply(commits[1], approve=True))
        server.release()

    early = hosting.apply(commits[0], approve=True, during={"Apply": overlap})
    assert early.jobs["apply"].succeeded
    refused = late[0].jobs["apply"]
    assert refused.step("Apply").code == 6
    assert f"/actions/runs/{early.id}" in refused.step("Apply").said
    assert refused.step("Save the state").said == "This run did not take the state: nothing to save.\n"
    assert opened(server) == {"case-1"}
    assert hosting.apply(commits[1], approve=True).jobs["apply"].succeeded
    assert opened(server) == {"case-1", "other-1"} == set(hosting.state["interactions"])


def push_elsewhere(hosting: Hosting, file: str, text: str) -> None:
    """Let someone else push a file to the state branch."""
    clone = hosting.clone(f"else-{file}")
    hosting.git(clone, "checkout", "--quiet", "reconciler-state")
    (clone / file).write_text(text, encoding="utf-8")
    hosting.commit(clone, "From elsewhere")
    hosting.git(clone, "push", "--quiet", "origin", "reconciler-state")


def during_a_call(server: SandboxServer, act: Callable[[], None]) -> During:
    """Return what acts while a call hangs."""
    server.faults.add("hang processed=yes")

    def during(_process: subprocess.Popen[str]) -> None:
        server.wait_until(lambda: server.hanging == 1, timeout=60)
        act()
        server.release()

    return during


def test_a_push_that_is_refused_for_another_state_is_repeated(hosting: Hosting, server: SandboxServer) -> None:
    """If only another environment's state moved on meanwhile, ours goes on top of it."""
    other = during_a_call(server, lambda: push_elsewhere(hosting, "reconciler.staging.state.json", "{}"))
    job = merged(hosting, {CRM: ONE}, {"Apply": other}).jobs["apply"]
    assert job.succeeded
    assert set(hosting.state["interactions"]) == {"case-1"}
    assert hosting.show("reconciler.staging.state.json") == "{}"


def test_a_state_that_someone_changed_meanwhile_is_not_overwritten(hosting: Hosting, server: SandboxServer) -> None:
    """Where the remote state moved on, ours is kept as an artifact, and the job says what to do."""
    theirs = json.dumps({**hosting.state, "serial": 40})
    act = during_a_call(server, lambda: push_elsewhere(hosting, STATE, theirs))
    run = merged(hosting, {CRM: ONE}, {"Apply": act})
    job = run.jobs["apply"]
    assert (job.step("Apply").code, job.step("Save the state").code) == (0, 1)
    assert "Nothing there was overwritten" in job.step("Save the state").said
    assert hosting.state["serial"] == 40
    rescue = job.workspace / "reconciler-rescue"
    assert set(json.loads((rescue / STATE).read_text("utf-8"))["interactions"]) == {"case-1"}
    assert "reconciler-rescue" in run.artifacts

    # Until a person has mended it, nothing else is applied.
    assert merged(hosting, {CRM: TWO}).jobs["apply"].step("Apply").code == 6


def test_a_branch_that_refuses_every_push(hosting: Hosting, server: SandboxServer) -> None:
    """If the state can't be pushed at the end it is kept as an artifact; if it can't be taken, nothing is sent."""
    hook = hosting.bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)

    def refuse() -> None:
        hook.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
        hook.chmod(0o755)

    act = during_a_call(server, refuse)
    run = merged(hosting, {CRM: ONE}, {"Apply": act})
    assert run.jobs["apply"].step("Save the state").code == 1
    assert "reconciler-rescue" in run.artifacts

    calls = len(server.calls)
    again = hosting.apply(run.head_sha, approve=True)
    assert "nothing was sent" in again.jobs["apply"].step("Apply").said
    assert len(server.calls) == calls


def test_a_runner_that_vanished(hosting: Hosting, server: SandboxServer) -> None:
    """After a run whose machine is gone with its state, only the same commit is applied: with the same requestids."""

    def vanish(process: subprocess.Popen[str]) -> None:
        server.wait_until(lambda: server.hanging == 1, timeout=60)
        killed(process)

    server.faults.add("hang processed=yes")
    taken = merged(hosting, {CRM: ONE}, {"Apply": vanish, "Save the state": gone})
    commit = taken.head_sha
    server.release()
    assert hosting.state["serial"] == 0
    assert (hosting.show(f"{STATE}.taken") or "").startswith(commit)

    refused = merged(hosting, {CRM: TWO}).jobs["apply"].step("Apply")
    assert refused.code == 6
    assert f"/actions/runs/{taken.id}" in refused.said

    assert hosting.apply(commit, approve=True).jobs["apply"].succeeded
    assert opened(server) == {"case-1"}
    assert server.emulator.record.doubles == []
    assert hosting.show(f"{STATE}.taken") is None


def test_a_guard_is_overruled_by_hand(hosting: Hosting, server: SandboxServer) -> None:
    """What a guard refuses is red in the pull request and after the merge, until a person starts it with a number."""
    many = "".join(f"  - {{externalid: case-{n}, route: Day}}\n" for n in range(10))
    merged(hosting, {CRM: "provider: Crm\ninteractions:\n" + many})
    pull = hosting.propose({CRM: ONE})
    planned = hosting.plan(pull)
    hosting.comment(planned)
    assert planned.jobs["plan"].step("Plan").code == 5
    assert "refused by 1 guard" in comment(hosting, 2)
    commit = hosting.merge(pull)
    assert list(hosting.apply(commit).jobs) == ["plan"]
    allowed = hosting.apply(commit, inputs={"allow-releases": "9"})
    assert allowed.jobs["apply"].succeeded
    assert opened(server) == {"case-1"}


def test_the_branch_is_made_once(hosting: Hosting) -> None:
    """A second `state.sh init` leaves the state as it is; another state of the same branch is put beside it."""
    before = hosting.state
    with pytest.raises(subprocess.CalledProcessError):
        hosting.sh("ci/reconciler/state.sh", "init")
    hosting.sh("ci/reconciler/state.sh", "init", RECONCILER_STATE="reconciler-state/reconciler.prod.state.json")
    assert hosting.state == before
    assert hosting.show("reconciler.prod.state.json") is not None


def test_a_state_moves_to_the_branch(hosting: Hosting) -> None:
    """`state.sh init FILE` starts the branch with a state that was kept elsewhere."""
    moved = hosting.folder / "moved.json"
    moved.write_text(hosting.show(STATE) or "", encoding="utf-8")
    hosting.sh("ci/reconciler/state.sh", "init", str(moved), RECONCILER_STATE="reconciler-state/moved.state.json")
    assert json.loads(hosting.show("moved.state.json") or "") == hosting.state
