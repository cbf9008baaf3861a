"""`reconciler ci init` and `check`: files for the repository at hand, and the settings that remain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.ci.origin import located
from tests.ci.github import NAME, NOBODY, TOKEN, GitHub, git, served
from tests.command import Ran, Workplace

USES = f"acme/reconciler@{'a' * 40}"


class Place(Workplace):
    """A new repository."""

    def init(self, *arguments: str) -> Ran:
        """Set it up, with a state beside it."""
        state = str(self.folder.parent / "state.json")
        return self.run("ci", "init", "--uses", USES, "--state", state, *arguments)

    def files(self) -> dict[str, str]:
        """Return all that is there, but git's."""
        paths = [path for path in self.folder.rglob("*") if path.is_file() and ".git" not in path.parts]
        return {path.relative_to(self.folder).as_posix(): path.read_text("utf-8") for path in paths}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Give an empty repository whose branch is trunk."""
    folder = tmp_path / "new"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=trunk")
    git(folder, "remote", "add", "origin", f"https://github.example/{NAME}.git")
    return Place(folder, dict(NOBODY))


def test_an_empty_repository(place: Place) -> None:
    """It gets a configuration, an example, a state and two workflows of its own; a second time, nothing changes."""
    first = place.init("--region", "emea")
    assert first.code == 0, first.err
    made = place.files()
    assert {
        ".github/workflows/reconciler-plan.yml",
        ".github/workflows/reconciler-apply.yml",
        "reconciler.yaml",
    } <= set(made)
    apply = made[".github/workflows/reconciler-apply.yml"]
    assert "push: { branches: [trunk] }" in apply
    assert f"uses: {USES}\n" in apply
    assert "\nregion: emea\n" in made["reconciler.yaml"]
    assert "OWNER" not in "".join(made.values())
    second = place.init()
    assert (second.code, place.files()) == (0, made)
    assert "Made" not in second.out


def test_the_settings_that_remain_are_few_and_exact(place: Place) -> None:
    """At most five, each with its address and its reason."""
    told = place.init().out.partition("These settings remain to be made:\n")[2]
    assert told.count("     (") <= 5
    assert [line.split()[1] for line in told.splitlines() if line.startswith("  1")] == [
        f"https://github.example/{NAME}/settings/branches:"
    ]


def test_an_environment_has_files_of_its_own(place: Place) -> None:
    """Its workflows say which it is, and nothing of theirs waits for, or is cancelled by, another one's."""
    place.init()
    before = place.files()
    assert place.init("--env", "prod").code == 0
    made = {name: text for name, text in place.files().items() if name not in before}
    assert set(made) == {".github/workflows/reconciler-plan-prod.yml", ".github/workflows/reconciler-apply-prod.yml"}
    apply = made[".github/workflows/reconciler-apply-prod.yml"]
    for line in (
        "name: reconciler apply prod\n",
        "env: { RECONCILER_ENV: prod }\n",
        "environment: reconciler-prod-approval\n",
        "environment: reconciler-prod\n",
        "group: reconciler-state-prod,",
    ):
        assert line in apply
    assert 'group: "reconciler-plan-prod-${{' in made[".github/workflows/reconciler-plan-prod.yml"]


def test_a_folder_below_the_root(place: Place) -> None:
    """The workflows stand where GitHub looks for them, and name the folder of the configuration."""
    ran = place.init("-C", "calls")
    assert ran.code == 0, ran.err
    made = place.files()
    assert "env: { RECONCILER_FOLDER: calls }" in made[".github/workflows/reconciler-plan.yml"]
    assert "calls/reconciler.yaml" in made


def test_a_file_that_is_there_is_left(place: Place) -> None:
    """What somebody has written or changed is not replaced, and that is said."""
    own = place.folder / ".github" / "workflows" / "reconciler-plan.yml"
    own.parent.mkdir(parents=True)
    own.write_text("name: mine\n", encoding="utf-8")
    ran = place.init("--forks")
    assert own.read_text("utf-8") == "name: mine\n"
    assert "Left .github/workflows/reconciler-plan.yml as it is" in ran.out
    assert "Made .github/workflows/reconciler-forks.yml" in ran.out


def test_gitlab(place: Place) -> None:
    """By its address, or by what is said, a project of GitLab gets one include."""
    git(place.folder, "remote", "set-url", "origin", "git@gitlab.example:group/sub/calls.git")
    ran = place.init()
    assert ran.code == 0, ran.err
    text = place.files()[".gitlab-ci.yml"]
    assert f"component: $CI_SERVER_FQDN/acme/reconciler/reconciler@{'a' * 40}" in text
    assert len(text.splitlines()) <= 15
    assert "https://gitlab.example/group/sub/calls/-/settings/ci_cd" in ran.out


@pytest.mark.parametrize("uses", ["", "reconciler", "acme/reconciler", "acme/reconciler@a b"])
def test_where_jobs_get_it_from_must_be_said(place: Place, uses: str) -> None:
    """Without an address, or with half of one, nothing is made."""
    ran = place.run("ci", "init", f"--uses={uses}")
    assert (ran.code, place.files()) == (64, {})
    assert "--uses OWNER/reconciler@COMMIT" in ran.err


def test_outside_a_repository(tmp_path: Path) -> None:
    """It is said that there is none, and nothing is made."""
    ran = Place(tmp_path, {**NOBODY, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)}).init()
    assert (ran.code, list(tmp_path.iterdir())) == (1, [])
    assert "not a git repository" in ran.err


@pytest.mark.parametrize(
    ("url", "server", "path"),
    [
        ("https://github.com/acme/calls.git", "https://github.com", "acme/calls"),
        ("https://user:secret@ghe.example:8443/acme/calls", "https://ghe.example:8443", "acme/calls"),
        ("git@github.com:acme/calls.git", "https://github.com", "acme/calls"),
        ("ssh://git@gitlab.example:2222/group/sub/calls.git", "https://gitlab.example", "group/sub/calls"),
        ("/srv/git/calls.git", "", ""),
        ("", "", ""),
    ],
)
def test_where_a_remote_is(url: str, server: str, path: str) -> None:
    """Each form of address names a server and a repository, and no credentials."""
    assert located(url) == (server, path)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[GitHub]:
    """Give a GitHub without any settings."""
    host = GitHub(tmp_path, "trunk")
    with served(host):
        yield host


SETTINGS = {
    "": {"private": False, "default_branch": "trunk"},
    "/rules/branches/trunk": [{"type": "pull_request"}],
    "/environments/reconciler/secrets": {
        "secrets": [{"name": "RECONCILER_CLIENT_ID"}, {"name": "RECONCILER_CLIENT_SECRET"}]
    },
    "/actions/permissions/workflow": {"default_workflow_permissions": "read"},
    "/actions/permissions/fork-pr-contributor-approval": {"approval_policy": "all_external_contributors"},
}


def check(place: Place, host: GitHub) -> Ran:
    """Look whether all is in force."""
    env = {"GITHUB_API_URL": host.url, "GITHUB_REPOSITORY": NAME, "GITHUB_TOKEN": TOKEN}
    return place.run("ci", "check", "--uses", USES, env=env)


def test_check(place: Place, host: GitHub) -> None:
    """All that is in force is said so; what is not makes it fail, and what can't be seen is named with its reason."""
    place.init()
    host.answers |= SETTINGS
    host.environments["reconciler"] = {"deployment_branch_policy": {"protected_branches": True}}
    host.environments["reconciler-approval"] = {"protection_rules": [{"type": "required_reviewers", "reviewers": [{}]}]}
    fine = check(place, host)
    assert (fine.code, {line.split()[0] for line in fine.out.splitlines()}) == (0, {"ok"})
    host.environments["reconciler-approval"] = {"protection_rules": []}
    host.answers["/actions/permissions/workflow"] = {"default_workflow_permissions": "write"}
    host.answers["/rules/branches/trunk"] = 403
    (place.folder / ".github/workflows/reconciler-plan.yml").unlink()
    wrong = check(place, host)
    assert wrong.code == 1
    assert wrong.out.count("missing  ") == 3
    assert "unseen   " in wrong.out
    assert "3 things to mend" in wrong.err


def test_check_sees_a_branch_that_was_renamed(place: Place, host: GitHub) -> None:
    """Workflows for another branch than the default one do nothing; that is said."""
    place.init()
    git(place.folder, "symbolic-ref", "HEAD", "refs/heads/main")
    ran = check(place, host)
    assert ran.code == 1
    assert "reconciler-apply.yml: it is not for main, so nothing is applied" in ran.out
