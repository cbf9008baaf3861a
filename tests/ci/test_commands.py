"""`reconciler ci` in this process: real git, the real command, real HTTP to a GitHub and to an API of our own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api import SandboxServer
from tests.ci.github import BOT, READ_ONLY, TOKEN, GitHub, Job, Json, git, served
from tests.command import Workplace
from tests.conftest import connection

ONE = "provider: Crm\ninteractions:\n  - {externalid: case-1, route: Day}\n"
TWO = ONE + "  - {externalid: case-2, route: Day}\n"
OTHER = "provider: Other\ninteractions:\n  - {externalid: other-1, route: Day}\n"
CRM = "interactions/crm.yaml"
OTHERS = "interactions/other.yaml"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, shared_server: SandboxServer) -> GitHub:
    """Give a repository that tests work on copies of."""
    host = GitHub(tmp_path_factory.mktemp("github"))
    host.set_up(shared_server.base_url)
    return host


class Story:
    """A repository in the middle of its life, and what its pipelines do."""

    def __init__(self, host: GitHub, server: SandboxServer) -> None:
        self.host, self.server = host, server
        self.state = host.folder / "state" / "reconciler.state.json"
        self.env = {"RECONCILER_STATE": str(self.state)}
        self.secrets = connection(server)
        self.state.parent.mkdir()

    def start(self) -> Story:
        """Make the state."""
        assert Workplace(self.state.parent, self.env).run("init").code == 0
        return self

    def plan(self, pull: Json, **environ: str) -> Job:
        """Run the job of a pull request."""
        return self.host.job("plan", "pull_request", pull=pull, environ={**self.env, **environ})

    def look(self, commit: str = "", event: str = "push", *arguments: str) -> Job:
        """Run the first job after a merge."""
        return self.host.job("plan", event, *arguments, commit=commit, environ=self.env)

    def apply(self, commit: str = "", *arguments: str) -> Job:
        """Run the job that applies."""
        return self.host.job("apply", "push", *arguments, commit=commit, environ={**self.env, **self.secrets})

    def retry(self) -> Job:
        """Run the job of the schedule that applies."""
        return self.host.job("retry", "schedule", environ={**self.env, **self.secrets})

    def merged(self, files: dict[str, str | None], how: str = "merge") -> Json:
        """Propose, plan, merge, and let the pipeline apply it."""
        pull = self.host.propose(files)
        assert self.plan(pull).code == 0
        commit = self.host.merge(pull, how)
        looked = self.look(commit)
        assert looked.outputs["next"] == "apply", looked.said
        applied = self.apply(commit)
        assert applied.code == 0, applied.said
        return pull

    @property
    def opened(self) -> set[str]:
        """What is open."""
        return set(self.server.emulator.open)


@pytest.fixture
def story(tmp_path: Path, template: GitHub, server: SandboxServer) -> Iterator[Story]:
    """Give a repository with an empty state, on a platform that answers."""
    host = template.copy(tmp_path)
    with served(host):
        yield Story(host, server).start()


def test_from_a_pull_request_to_what_was_applied(story: Story) -> None:
    """A declaration is shown, merged and applied with no approval, and its comment says what became of it."""
    pull = story.host.propose({CRM: TWO})
    planned = story.plan(pull)
    assert planned.code == 0, planned.said
    assert "case-1" in planned.summary
    assert "2 to dispatch" in story.host.comment(1)
    assert story.host.status(pull) == ("success", "2 to dispatch")
    assert story.server.calls == []

    commit = story.host.merge(pull)
    looked = story.look(commit)
    assert looked.outputs == {"next": "apply", "approved": ""}
    assert "No approval is needed" in looked.said
    applied = story.apply(commit)
    assert applied.code == 0, applied.said
    assert story.opened == {"case-1", "case-2"}
    assert "2 dispatched, 0 released, 0 failed" in story.host.comment(1)
    assert f"/actions/runs/{story.host.jobs}" in story.host.comment(1)
    assert story.look(commit).outputs["next"] == "nothing"


@pytest.mark.parametrize("how", ["merge", "squash", "rebase"])
def test_each_way_to_merge_keeps_what_was_reviewed(story: Story, how: str) -> None:
    """Whichever way a pull request is merged, its changes need no approval."""
    pull = story.host.propose({CRM: ONE})
    story.host.amend(pull, {OTHERS: OTHER})
    assert story.plan(pull).code == 0
    story.host.push({"README.md": "Between\n"})
    assert story.look(story.host.merge(pull, how)).outputs["next"] == "apply"


def test_two_merges_that_are_both_planned_before_either_is_applied(story: Story) -> None:
    """The second plan holds the changes of both; as both were reviewed it is applied, without an approval."""
    first, second = story.host.propose({CRM: ONE}), story.host.propose({OTHERS: OTHER})
    for pull in (first, second):
        assert story.plan(pull).code == 0
    commits = [story.host.merge(first), story.host.merge(second)]
    looks = [story.look(commit) for commit in commits]
    assert [look.outputs for look in looks] == [{"next": "apply", "approved": ""}] * 2
    for commit in commits:
        applied = story.apply(commit)
        assert applied.code == 0, applied.said
    assert story.opened == {"case-1", "other-1"}
    assert all("1 dispatched" in story.host.comment(number) for number in (1, 2))


def test_the_later_of_two_merges_may_come_first(story: Story) -> None:
    """What the later merge has applied is not undone by the earlier one, whose run finds nothing to do."""
    first, second = story.host.propose({CRM: ONE}), story.host.propose({OTHERS: OTHER})
    for pull in (first, second):
        story.plan(pull)
    commits = [story.host.merge(first), story.host.merge(second)]
    assert story.apply(commits[1]).code == 0
    late = story.apply(commits[0])
    assert (late.code, story.opened) == (0, {"case-1", "other-1"})
    assert "nothing to apply" in late.said


def test_a_push_past_review_waits_for_a_person(story: Story) -> None:
    """What no pull request showed is not applied before a person has approved it; then just that is."""
    story.host.environments["reconciler-approval"] = reviewers("ann")
    commit = story.host.push({CRM: TWO})
    looked = story.look(commit)
    assert (looked.code, looked.outputs["next"]) == (0, "approve")
    assert "case-1, case-2" in looked.said
    refused = story.apply(commit)
    assert (refused.code, story.opened) == (3, set())
    assert story.apply(commit, "--approved", looked.outputs["approved"]).code == 0
    assert story.opened == {"case-1", "case-2"}


def reviewers(*names: str) -> Json:
    """Return an environment with required reviewers."""
    people = [{"type": "User", "reviewer": {"login": name}} for name in names]
    return {"protection_rules": [{"type": "required_reviewers", "reviewers": people}]}


@pytest.mark.parametrize(
    "environment",
    [None, {"protection_rules": []}, reviewers(), {"protection_rules": [{"type": "wait_timer", "wait_timer": 5}]}],
    ids=["not there", "no rules", "no reviewers", "another rule"],
)
def test_approval_does_not_fail_open(story: Story, environment: Json | None) -> None:
    """Where nobody would be asked, nothing goes on; a person approves just what was named, by its fingerprint."""
    if environment:
        story.host.environments["reconciler-approval"] = environment
    commit = story.host.push({CRM: TWO})
    looked = story.look(commit)
    assert (looked.code, looked.outputs.get("next")) == (5, None)
    assert "no required reviewers" in looked.said
    fingerprint = looked.said.rpartition("-f approve=")[2].split()[0]
    wrong = story.look(commit, "workflow_dispatch", "--approve", "0" * 12)
    assert wrong.code == 5
    again = story.look(commit, "workflow_dispatch", "--approve", fingerprint)
    assert (again.code, again.outputs["next"]) == (0, "apply")
    assert story.apply(commit, "--approved", again.outputs["approved"]).code == 0
    assert story.opened == {"case-1", "case-2"}


def test_what_was_not_shown_is_not_reviewed(story: Story) -> None:
    """A pull request that was merged before its plan was shown needs an approval, and so does one that had none."""
    story.host.environments["reconciler-approval"] = reviewers("ann")
    looked = story.look(story.host.merge(story.host.propose({CRM: ONE})))
    assert looked.outputs["next"] == "approve"
    assert "The plan of pull request #1 was never shown." in looked.said
    invalid = story.host.propose({OTHERS: "interactions:\n  - {externalid: 7, route: Day}\n"})
    assert story.plan(invalid).code == 1
    assert story.host.status(invalid)[0] == "error"
    assert "There is no plan" in story.host.comment(2)


def test_content_that_became_another_is_not_reviewed(story: Story) -> None:
    """What a push past review makes of a reviewed change needs an approval; what is as it was shown doesn't."""
    story.host.environments["reconciler-approval"] = reviewers("ann")
    pull = story.host.propose({CRM: TWO})
    story.plan(pull)
    story.host.merge(pull)
    commit = story.host.push({CRM: TWO.replace("case-2, route: Day", "case-2, route: Night")})
    looked = story.look(commit)
    assert looked.outputs["next"] == "approve"
    assert "1 change: case-2" in looked.said


def test_a_removal_is_reviewed_as_well(story: Story) -> None:
    """A release that a reviewed pull request showed needs no approval; one by a push past review does."""
    story.host.environments["reconciler-approval"] = reviewers("ann")
    story.merged({CRM: TWO, OTHERS: OTHER})
    story.merged({CRM: ONE})
    assert story.opened == {"case-1", "other-1"}
    assert story.look(story.host.push({OTHERS: "# gone\n"})).outputs["next"] == "approve"


def test_a_change_that_came_up_meanwhile_is_refused(story: Story) -> None:
    """A plan that is approved is looked at again under the lock: what came up since is not applied with it."""
    story.host.environments["reconciler-approval"] = reviewers("ann")
    commit = story.host.push({CRM: ONE})
    looked = story.look(commit)
    late = story.host.push({CRM: TWO})
    refused = story.apply(late, "--approved", looked.outputs["approved"])
    assert (refused.code, story.opened) == (3, set())
    assert "1 change came up that nobody has agreed to (case-2)" in refused.said


def test_nothing_to_do(story: Story) -> None:
    """A pull request without changes gets no comment, its merge goes no further, and the state stays as it is."""
    before = story.state.read_bytes()
    pull = story.host.propose({"README.md": "Words\n"})
    assert story.plan(pull).code == 0
    assert story.host.comments == {}
    assert story.host.status(pull) == ("success", "no changes")
    looked = story.look(story.host.merge(pull))
    assert (looked.code, looked.outputs["next"]) == (0, "nothing")
    assert story.state.read_bytes() == before


def test_a_comment_is_replaced_and_a_strangers_left_alone(story: Story) -> None:
    """A second push changes the comment that is there; one that a stranger wrote to look like it stays."""
    pull = story.host.propose({CRM: ONE})
    fake = {"id": 9000, "user": {"login": "stranger"}, "body": "<!-- reconciler:plan environment=- mine -->"}
    story.host.comments[1] = [dict(fake), *({"id": 1000 + n, "user": {"login": "x"}, "body": ""} for n in range(120))]
    story.plan(pull)
    story.host.amend(pull, {CRM: TWO})
    story.plan(pull)
    assert story.host.comments[1][0] == fake
    assert "2 to dispatch" in story.host.comment(1)
    assert len([each for each in story.host.comments[1] if each["user"]["login"] == BOT]) == 1


def test_a_failed_request_is_retried_by_the_schedule(story: Story) -> None:
    """After exit 4 the schedule sends the request again, under a new requestid."""
    story.server.faults.add("fail externalid=case-1")
    pull = story.host.propose({CRM: TWO})
    story.plan(pull)
    commit = story.host.merge(pull)
    assert story.apply(commit).code == 4
    assert "1 failed" in story.host.comment(1)
    assert story.look(event="schedule").outputs["next"] == "apply"
    assert story.retry().code == 0
    assert story.opened == {"case-1", "case-2"}
    assert "1 dispatched, 0 released, 0 failed" in story.host.comment(1)
    assert story.look(event="schedule").outputs["next"] == "nothing"
    assert "Nothing to retry" in story.retry().said


def test_the_schedule_applies_no_merge_that_waits(story: Story) -> None:
    """While a push waits for its approval, the schedule retries what was applied last, and nothing of the push."""
    story.host.environments["reconciler-approval"] = reviewers("ann")
    story.server.faults.add("fail externalid=case-1")
    pull = story.host.propose({CRM: ONE})
    story.plan(pull)
    story.apply(story.host.merge(pull))
    story.host.push({CRM: TWO})
    assert story.look(event="schedule").outputs["next"] == "apply"
    assert story.retry().code == 0
    assert story.opened == {"case-1"}
    assert "1 dispatched, 0 released, 0 failed" in story.host.comment(1)
    assert story.look(event="schedule").outputs["next"] == "nothing"


def test_the_schedule_takes_up_a_merge_that_nothing_applied(story: Story) -> None:
    """A reviewed merge whose run was cancelled, or never started, is applied by the schedule."""
    pull = story.host.propose({CRM: ONE})
    story.plan(pull)
    story.host.merge(pull)
    assert story.look(event="schedule").outputs["next"] == "apply"
    assert story.retry().code == 0
    assert story.opened == {"case-1"}


def test_a_guard_is_overruled_by_hand(story: Story) -> None:
    """What a guard refuses is red in the pull request and after the merge, until a person starts it with a number."""
    story.merged({CRM: ONE + "".join(f"  - {{externalid: case-{n}, route: Day}}\n" for n in range(10, 20))})
    pull = story.host.propose({CRM: ONE})
    assert story.plan(pull).code == 5
    assert story.host.status(pull) == ("failure", "refused by 1 guard")
    commit = story.host.merge(pull)
    assert story.look(commit).code == 5
    looked = story.look(commit, "workflow_dispatch", "--allow", "--allow-releases 10")
    assert looked.outputs["next"] == "apply"
    assert story.apply(commit, "--allow", "--allow-releases 10").code == 0
    assert story.opened == {"case-1"}


@pytest.mark.parametrize("words", ["--auto-approve", "--state x", "x; rm -rf /", "--allow-releases -5"])
def test_only_guards_are_overruled_by_hand(story: Story, words: str) -> None:
    """The field for approvals takes nothing else."""
    looked = story.look(story.host.head, "workflow_dispatch", "--allow", words)
    assert looked.code == 64


def test_a_fork_gets_its_plan_in_a_job_that_may_write(story: Story) -> None:
    """The pull request's own job can't write; the one of the default branch plans the fork's commit as data."""
    pull = story.host.propose({CRM: ONE}, fork=True)
    own = story.plan(pull, GITHUB_TOKEN=READ_ONLY)
    assert own.code == 0
    assert "Resource not accessible by integration" in own.said
    assert "pull-requests: write" in own.said
    assert story.host.comments == {}
    assert outside(story, pull).code == 0
    assert "1 to dispatch" in story.host.comment(1)
    assert story.look(story.host.merge(pull)).outputs["next"] == "apply"


def outside(story: Story, pull: Json) -> Job:
    """Run the job that plans a fork's pull request."""
    return story.host.job("comment", "pull_request_target", pull=pull, environ=story.env)


def test_a_fork_that_moves_its_head_gets_nothing_forged(story: Story) -> None:
    """All that is shown comes from the one commit of the event; once another one is proposed, nothing is said."""
    pull = story.host.propose({CRM: ONE}, fork=True)
    event = {**pull, "head": dict(pull["head"])}
    story.host.before["GET /issues"] = lambda: story.host.amend(pull, {CRM: TWO})
    assert outside(story, event).code == 0
    assert "case-2" not in story.host.comment(1)
    assert event["head"]["sha"][:12] in story.host.comment(1)
    assert {status["sha"] for status in story.host.statuses} == {event["head"]["sha"]}
    story.host.comments.clear()
    assert "not what is proposed any more" in outside(story, event).said
    assert story.host.comments == {}


def test_a_forks_files_are_data(story: Story, tmp_path: Path) -> None:
    """A link in a fork leads nowhere, and no filter of its attributes runs."""
    secret = tmp_path / "secret.yaml"
    secret.write_text("planted-secret: [\n", encoding="utf-8")
    pull = story.host.propose({CRM: ONE, ".gitattributes": "*.yaml filter=evil\n"}, fork=True)
    (story.host.dev / "interactions" / "link.yaml").symlink_to(secret)
    story.host.amend(pull, {"interactions/filters.txt": ""}, base="HEAD")
    ran = outside(story, pull)
    assert ran.code == 0, ran.said
    assert "planted-secret" not in ran.said + story.host.comment(1)


def test_a_forks_configuration_is_not_used(story: Story) -> None:
    """A fork that changes where requests go, or what is sensitive, is planned with what the default branch says."""
    pull = story.host.propose({CRM: ONE, "reconciler.yaml": "region: nam\nsensitive: []\n"}, fork=True)
    ran = outside(story, pull)
    assert ran.code == 0, ran.said
    assert "The configuration changes as well" in story.host.comment(1)
    assert "nam.api" not in story.host.comment(1)


def test_a_plan_that_is_void_says_so(story: Story) -> None:
    """After an apply, an open pull request whose plan would be another one now says that; others stay as they are."""
    story.merged({CRM: TWO})
    same = story.host.propose({OTHERS: OTHER})
    other = story.host.propose({CRM: ONE})
    for pull in (same, other):
        story.plan(pull)
    story.merged({CRM: TWO.replace("case-2, route: Day", "case-2, route: Night")})
    assert "This plan is void" in story.host.comment(other["number"])
    assert "This plan is void" not in story.host.comment(same["number"])


@pytest.mark.parametrize("call", ["GET /issues", "POST /statuses", "PATCH /issues"])
def test_a_502_is_tried_again(story: Story, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One answer that says that GitHub is unwell is no reason to fail, and makes no second comment."""
    monkeypatch.setattr("reconciler.ci.rest.pause", lambda _seconds: None)
    pull = story.host.propose({CRM: ONE})
    story.plan(pull)
    story.host.amend(pull, {CRM: TWO})
    story.host.failing += [(call, 502)] * 2
    ran = story.plan(pull)
    assert (ran.code, story.host.status(pull)) == (0, ("success", "2 to dispatch"))
    assert "2 to dispatch" in story.host.comment(1)


@pytest.mark.parametrize("landed", [False, True])
def test_a_comment_that_may_have_landed_is_made_once(story: Story, *, landed: bool) -> None:
    """After an answer to a new comment that tells nothing, it is looked for before another one is made."""
    pull = story.host.propose({CRM: ONE})
    story.host.failing += [("POST /issues", 502)]
    if landed:
        body = "<!-- reconciler:plan environment=- fingerprint=0 -->"
        story.host.before["POST /issues"] = lambda: story.host.comments.update(
            {1: [{"id": 1, "user": {"login": BOT}, "body": body}]}
        )
    assert story.plan(pull).code == 0
    assert "1 to dispatch" in story.host.comment(1)


def test_a_github_that_stays_away_is_no_traceback(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan is shown in the job all the same; what is decided about it needs GitHub, and says so."""
    monkeypatch.setattr("reconciler.ci.rest.pause", lambda _seconds: None)
    pull = story.host.propose({CRM: ONE})
    story.host.failing += [("", 502)] * 5
    ran = story.plan(pull)
    assert ran.code == 0
    assert "the plan is shown here only: GitHub answered 502" in ran.said
    commit = story.host.merge(pull)
    story.host.failing += [("", 502)] * 5
    looked = story.look(commit)
    assert (looked.code, looked.outputs) == (1, {})
    assert "GitHub answered 502 to GET" in looked.said


def test_a_default_branch_of_another_name(tmp_path: Path, shared_server: SandboxServer, server: SandboxServer) -> None:
    """`trunk` is as good as `main`; what is for another branch than the default one is left alone, and that is said."""
    host = GitHub(tmp_path, branch="trunk")
    host.set_up(shared_server.base_url)
    with served(host):
        story = Story(host, server).start()
        story.merged({CRM: ONE})
        pull = host.propose({CRM: TWO})
        pull["base"]["ref"] = "release"
        said = story.plan(pull).said
    assert story.opened == {"case-1"}
    assert "Only trunk is planned for and applied; this is about release." in said
    assert 2 not in host.comments


def test_a_second_environment(story: Story) -> None:
    """Each environment has a comment, a status and an approval of its own."""
    story.host.push({"reconciler.yaml": f"environments: {{prod: {{base_url: '{story.server.base_url}'}}}}\n"})
    story.env["RECONCILER_ENV"] = "prod"
    story.host.environments["reconciler-prod-approval"] = reviewers("ann")
    pull = story.host.propose({CRM: ONE})
    story.host.comments[1] = [{"id": 1, "user": {"login": BOT}, "body": "<!-- reconciler:plan environment=- x -->"}]
    assert story.plan(pull).code == 0
    assert "for `prod`" in story.host.comments[1][1]["body"]
    assert story.host.statuses[-1]["context"] == "reconciler (prod)"
    commit = story.host.merge(pull)
    assert story.look(commit).outputs["next"] == "apply"
    assert story.apply(commit).code == 0
    assert story.look(story.host.push({CRM: TWO})).outputs["next"] == "approve"


def test_no_secret_is_shown(story: Story) -> None:
    """Neither the platform's token nor the API's credentials stand in a log, a summary, a comment or an output."""
    pull = story.host.propose({CRM: ONE})
    jobs = [story.plan(pull), story.look(commit := story.host.merge(pull)), story.apply(commit)]
    shown = "".join(job.said + job.summary + str(job.outputs) for job in jobs) + str(story.host.comments)
    assert [secret for secret in (TOKEN, story.secrets["RECONCILER_CLIENT_SECRET"]) if secret in shown] == []


def test_the_branch_of_an_earlier_version_is_read(story: Story) -> None:
    """A state that scripts kept on a branch, with notes of theirs beside it, is the state of that branch."""
    git(story.host.dev, "checkout", "--quiet", "--orphan", "reconciler-state")
    git(story.host.dev, "rm", "-rfq", ".")
    state = story.state.read_text("utf-8")
    story.host.write({"reconciler.state.json": state, "reconciler.state.json.commit": "of an earlier version"})
    story.host.commit("Save reconciler.state.json")
    git(story.host.dev, "push", "--quiet", "origin", "HEAD:reconciler-state")
    story.env["RECONCILER_STATE"] = "git:reconciler-state"
    story.merged({CRM: ONE})
    assert story.opened == {"case-1"}


def test_whoever_approves_sees_what(story: Story) -> None:
    """The summary of the job that plans has the whole plan, and names what no pull request showed."""
    story.host.environments["reconciler-approval"] = reviewers("ann")
    summary = story.look(story.host.push({CRM: TWO})).summary
    assert "2 to dispatch" in summary
    assert "Approval is needed" in summary
    assert "`case-2`" in summary


def test_after_a_forced_push_somebody_is_asked(story: Story) -> None:
    """What came since a commit that the history lacks can't be told: a guard stands, and nothing counts as reviewed."""
    story.host.environments["reconciler-approval"] = reviewers("ann")
    story.merged({CRM: ONE})
    git(story.host.dev, "checkout", "--quiet", "--detach", f"{story.host.head}~1")
    git(story.host.dev, "push", "--quiet", "--force", "origin", f"HEAD:{story.host.branch}")
    pull = story.host.propose({CRM: TWO})
    assert story.plan(pull).code == 0
    commit = story.host.merge(pull)
    looked = story.look(commit)
    assert (looked.code, "older-commit" in looked.said) == (5, True)
    allowed = story.look(commit, "workflow_dispatch", "--allow", f"--allow-older-commit {commit}")
    assert (allowed.code, allowed.outputs["next"]) == (0, "approve")


def test_a_state_in_the_checkout_is_refused(story: Story) -> None:
    """It would be gone with the job, so nothing is planned or applied with it; the way to mend that is named."""
    story.env["RECONCILER_STATE"] = "reconciler.state.json"
    ran = story.look()
    assert ran.code == 1
    assert "reconciler state migrate reconciler.state.json git:reconciler-state" in ran.said


def test_a_change_of_form_gets_no_comment_at_all(story: Story) -> None:
    """A pull request that touches declarations and changes nothing is not told of what others changed."""
    pull = story.host.propose({OTHERS: "# words"})
    story.plan(pull)
    story.host.merge(pull)
    story.merged({CRM: ONE})
    assert list(story.host.comments) == [2]


def test_what_is_checked_out_must_be_what_is_proposed(story: Story) -> None:
    """Where the default branch is checked out for a fork, `ci plan` would show another plan than the fork's."""
    pull = story.host.propose({CRM: ONE}, fork=True)
    ran = story.host.job("plan", "pull_request_target", pull=pull, environ=story.env)
    assert (ran.code, story.host.statuses) == (64, [])
    assert "`reconciler ci comment`" in ran.said
