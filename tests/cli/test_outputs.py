"""Several outputs of one run: files, the summary of a job, annotations, and links into the repository."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.api import SandboxServer
from tests.command import Ran, Workplace

COMMIT = "5d41402abc4b2a76b9719d911017c592aaaabbbb"
OTHER = "7d793037a0760186574b0282f2f435e7ccccdddd"
TWO = """\
provider: CrmIntegration
defaults: {route: CrmCallRouting}
interactions:
  - externalid: ObjectId_001
    linkeddata: [{type: clid, value: "+447700900123"}]
  - externalid: ObjectId_002
"""
SPACED = """\
interactions:
  - once: sms
    route: SendSMS
    linkeddata: [{type: interactionproperty, key: "To Num", value: "1"}]
"""
EVERY = ("--out", "p", "--json-into", "p.json", "--markdown-into", "p.md", "--html-into", "p.html")
WRONG = "interactions: [{externalid: 7, route: R}]\n"


def github(root: Path, **more: str) -> dict[str, str]:
    """Return what GitHub's runner sets, for a checkout at `root`."""
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(root),
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "acme/contact-centre",
        "GITHUB_SHA": COMMIT,
        **more,
    }


def commands(ran: Ran) -> list[str]:
    """Return the workflow commands of a run; there are none on stdout."""
    assert not [line for line in ran.out.splitlines() if line.startswith("::")]
    return [line for line in ran.err.splitlines() if line.startswith("::")]


def test_one_run_gives_every_format(place: Workplace) -> None:
    """Text is shown, and the plan is in its files in each other format, as these alone would be printed."""
    place.declare(TWO)
    ran = place.run("plan", *EVERY)
    assert ran.code == 0
    assert ran.out == place.run("plan").out
    read = {name: (place.folder / name).read_text(encoding="utf-8") for name in ("p.json", "p.md", "p.html")}
    assert read["p.json"] == place.run("plan", "--format", "json").out
    assert read["p.md"] == place.run("plan", "--format", "markdown").out
    assert read["p.html"] == place.run("plan", "--format", "html").out
    assert read["p.md"].startswith("<!-- reconciler:plan environment=- fingerprint=")


def test_a_saved_plan_shows_in_every_format(place: Workplace) -> None:
    """`show` prints and writes of a saved plan what `plan` did, relative to -C."""
    place.declare(TWO)
    place.run("plan", *EVERY)
    above, inside = Workplace(place.folder.parent, place.env), place.folder.name
    into = ("--json-into", "s.json", "--markdown-into", "s.md", "--html-into", "s.html")
    ran = above.run("-C", inside, "show", "p", "--format", "markdown", *into)
    assert ran.out == (place.folder / "p.md").read_text(encoding="utf-8")
    assert above.run("-C", inside, "show", "p", "--format", "html").out.startswith("<!doctype html>")
    for kind in ("json", "md", "html"):
        assert (place.folder / f"s.{kind}").read_bytes() == (place.folder / f"p.{kind}").read_bytes()


def test_files_hold_no_sensitive_value(place: Workplace) -> None:
    """Not even a person at a terminal gets phone numbers into files."""
    place.declare(TWO)
    place.run("plan", "--show-sensitive", *EVERY)
    for name in EVERY[1::2]:
        assert "7700900123" not in (place.folder / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("option", EVERY[2::2])
def test_a_file_that_cannot_be_written_is_an_error(place: Workplace, option: str) -> None:
    """A missing output is no success: exit 1, and the file is named."""
    place.declare(TWO)
    ran = place.run("plan", option, "missing/file")
    assert ran.code == 1
    assert "missing/file: it can't be written: No such file or directory" in ran.err


def test_a_plan_is_added_to_the_summary_of_the_job(place: Workplace) -> None:
    """The summary gets each plan as Markdown, behind what is there; `show` adds nothing."""
    place.declare(TWO)
    summary = place.folder / "summary.md"
    summary.write_text("# Before\n", encoding="utf-8")
    env = {"GITHUB_STEP_SUMMARY": str(summary)}
    markdown = place.run("plan", "--out", "p", "--format", "markdown", env=env).out
    place.run("plan", env=env)
    place.run("show", "p", env=env)
    assert summary.read_text(encoding="utf-8") == f"# Before\n{markdown}\n{markdown}\n"


def test_an_apply_adds_what_became_of_it(place: Workplace, server: SandboxServer) -> None:
    """The summary tells what was done, what failed, and that nothing is left to do."""
    place.declare(TWO)
    env = {"GITHUB_STEP_SUMMARY": str(place.folder / "summary.md")}
    server.faults.add("fail externalid=ObjectId_002")
    assert place.run("apply", "--auto-approve", env=env).code == 4
    said = taken(place)
    assert said.startswith("## Apply: requests failed\n\n**1 dispatched, 0 released, 1 failed**; state serial ")
    assert "- dispatch `ObjectId_002`\\\n  requestid `" in said
    assert place.run("apply", "--auto-approve", env=env).code == 0
    assert taken(place).startswith("## Apply: done\n\n**1 dispatched")
    assert place.run("apply", "--auto-approve", env=env).code == 0
    assert "## Plan: no changes" in taken(place)


def test_an_apply_leaves_a_page_of_what_became_of_it(place: Workplace, server: SandboxServer) -> None:
    """The page is the plan as long as there is no more to tell, then what was done and what failed, and why."""
    place.declare(TWO)
    server.faults.add("fail externalid=ObjectId_002")
    into, written = ("--html-into", "apply.html"), place.folder / "apply.html"
    refused = place.run("apply", "--auto-approve", *into, env={"RECONCILER_MAX_DISPATCHES": "1"})
    assert (refused.code, "<h1>Plan: refused by 1 guard</h1>" in written.read_text(encoding="utf-8")) == (5, True)
    ran = place.run("apply", "--auto-approve", "--allow-dispatches", "2", *into)
    said = written.read_text(encoding="utf-8")
    assert (ran.code, "<h1>Apply: requests failed</h1>" in said, "up to 2 dispatches" in said) == (4, True, True)
    (requestid,) = place.state["failed"]
    assert f"dispatch requestid {requestid}" in said
    assert '<b class="count">1</b> done' in said


def test_a_page_that_cannot_be_written_is_found_out_before_anything_is_sent(
    place: Workplace, server: SandboxServer
) -> None:
    """Whoever wants the page of an apply gets it, or nothing is done."""
    place.declare(TWO)
    ran = place.run("apply", "--auto-approve", "--html-into", "missing/page.html")
    assert (ran.code, "missing/page.html: it can't be written" in ran.err, server.emulator.open) == (1, True, {})


def taken(place: Workplace) -> str:
    """Return the summary and begin a new one, as each step does."""
    summary = place.folder / "summary.md"
    said = summary.read_text(encoding="utf-8")
    summary.unlink()
    return said


def test_an_apply_that_is_refused_says_so_in_the_summary(place: Workplace) -> None:
    """A guard's numbers and override, and a stale plan's differences, are in the summary."""
    place.declare(TWO)
    env = {"GITHUB_STEP_SUMMARY": str(place.folder / "summary.md")}
    limited = {**env, "RECONCILER_MAX_DISPATCHES": "1"}
    assert place.run("apply", "--auto-approve", env=limited).code == 5
    said = taken(place)
    assert "## Plan: refused by 1 guard" in said
    assert (
        "> - 2 to dispatch, more than `max_dispatches` 1.\\\n>   To allow exactly this: `--allow-dispatches 2`" in said
    )
    place.run("plan", "--out", "p")
    place.declare(TWO.replace("CrmCallRouting", "CrmNight"))
    assert place.run("apply", "p", env=env).code == 3
    assert "## Apply: the saved plan is stale" in taken(place)


def test_a_summary_that_cannot_be_written_does_no_harm(place: Workplace, server: SandboxServer) -> None:
    """The run goes on and warns; a summary that GitHub would refuse whole is not made larger."""
    place.declare(TWO)
    ran = place.run("apply", "--auto-approve", env={"GITHUB_STEP_SUMMARY": str(place.folder / "no" / "summary")})
    assert (ran.code, len(server.emulator.open)) == (0, 2)
    assert "the job's summary can't be written: No such file or directory" in ran.err
    full = place.folder / "full"
    full.write_bytes(b"x" * 1_048_500)
    ran = place.run("plan", env={"GITHUB_STEP_SUMMARY": str(full)})
    assert (ran.code, full.stat().st_size) == (0, 1_048_500)
    assert "the job's summary is full" in ran.err


@pytest.mark.parametrize("arguments", [["validate"], ["plan"], ["apply", "--auto-approve"]])
def test_problems_are_annotations_on_github(place: Workplace, arguments: list[str]) -> None:
    """Each problem stands beside its line, with a path from the repository's root, beside the text."""
    place.declare(WRONG)
    above = Workplace(place.folder.parent, place.env)
    ran = above.run("-C", place.folder.name, *arguments, env=github(place.folder.parent))
    assert ran.code == 1
    (said,) = [line for line in commands(ran) if "externalid" in line]
    file = f"{place.folder.name}/interactions/crm.yaml"
    assert said.startswith(f"::error file={file},line=1,col=29,title=")
    assert "interactions/crm.yaml:1:29: error:" in ran.out + ran.err
    assert commands(above.run("-C", place.folder.name, *arguments)) == []


def test_warnings_are_annotations_and_escaped(place: Workplace) -> None:
    """In a property, per cent signs, colons and commas are escaped; one run warns once."""
    place.declare(SPACED, "a,b:%c.yaml")
    (said,) = commands(place.run("validate", env=github(place.folder)))
    assert said.startswith("::warning file=interactions/a%2Cb%3A%25c.yaml,line=4,col=")
    assert ",title=key-with-spaces::" in said
    assert commands(place.run("plan", env=github(place.folder))) == [said]


def test_a_message_is_escaped(place: Workplace) -> None:
    """A per cent sign of a message stays one, a hint is a further line, and no line is a command of its own."""
    place.declare('interactions: [{externalid: a, route: R, "5%0A::error::x": 1}]\n')
    (said,) = commands(place.run("validate", env=github(place.folder)))
    assert "'5%250A::error::x'" in said


def test_a_file_outside_the_repository_keeps_its_name(place: Workplace) -> None:
    """Where the checkout is elsewhere, the file is named as in the text."""
    place.declare(WRONG)
    (said, *_) = commands(place.run("validate", env=github(Path("/elsewhere"))))
    assert said.startswith("::error file=interactions/crm.yaml,line=1,col=29,")


def test_a_guard_is_an_annotation(place: Workplace) -> None:
    """A refusal has its numbers and its override; a comma in a message stays one."""
    place.declare(TWO)
    env = github(place.folder, RECONCILER_MAX_DISPATCHES="1")
    expected = (
        "::error title=refused by max-dispatches::"
        "2 to dispatch, more than max_dispatches 1%0ATo allow exactly this: --allow-dispatches 2"
    )
    assert commands(place.run("plan", env=env)) == [expected]
    assert commands(place.run("apply", "--auto-approve", env=env)) == [expected]


def test_a_mistake_in_the_configuration_is_an_annotation(place: Workplace) -> None:
    """The configuration's own problems have their file, whatever the working folder."""
    (place.folder / "reconciler.yaml").write_text("region: emea\nregion: nam\n", encoding="utf-8")
    above = Workplace(place.folder.parent, place.env)
    for ran in (
        place.run("validate", env=github(place.folder.parent)),
        above.run("-C", place.folder.name, "validate", env=github(place.folder.parent)),
    ):
        assert ran.code == 1
        (said,) = commands(ran)
        assert said.startswith(f"::error file={place.folder.name}/reconciler.yaml,line=2,")


def test_a_log_in_json_stays_json(place: Workplace) -> None:
    """Whoever asks for a JSON log gets nothing else."""
    place.declare(SPACED)
    ran = place.run("plan", "--log-format", "json", env=github(place.folder, RECONCILER_MAX_DISPATCHES="0"))
    assert [json.loads(line)["level"] for line in ran.err.splitlines()] == ["warning"]


def test_no_more_annotations_than_github_shows(place: Workplace) -> None:
    """Ten errors are annotated, all are in the text."""
    place.declare("interactions:\n" + "  - {externalid: 7}\n" * 25)
    ran = place.run("validate", env=github(place.folder))
    assert len(commands(ran)) == 10
    assert ran.out.count("error: externalid") == 25


@pytest.mark.parametrize("form", ["text", "json", "markdown"])
def test_what_is_declared_gives_the_runner_no_command(place: Workplace, form: str) -> None:
    """A runner reads commands where a line begins, the old kind anywhere: neither comes from a declaration."""
    value = "::set-output name=x::y ##[add-mask]z " * 9
    place.declare(
        "interactions:\n"
        f'  - {{externalid: "::warning::a", route: "{value}"}}\n'
        '  - {externalid: "##[error]b", route: R}\n'
    )
    ran = place.run("plan", "--format", form, env=github(place.folder))
    lines = (ran.out + ran.err).splitlines()
    assert ran.code == 0
    assert not [line for line in lines if line.strip().startswith("::") or "##[" in line]
    if form == "json":
        assert {change["address"] for change in ran.json["changes"]} == {"::warning::a", "##[error]b"}
    assert "##[" in place.run("plan", "--format", form).out


def links(place: Workplace, env: dict[str, str], *arguments: str) -> list[str]:
    """Return the links of a plan as Markdown."""
    ran = place.run(*arguments, "plan", "--format", "markdown", env=env)
    assert (ran.code, ran.err) == (0, "")
    return [line.partition("](")[2].partition(")")[0] for line in ran.out.splitlines() if "](" in line]


def test_lines_are_linked_on_github(place: Workplace) -> None:
    """A link names server, repository, commit and the path from the checkout's root; another commit can be given."""
    place.declare(TWO)
    root, name = place.folder.parent, place.folder.name
    base = "https://github.com/acme/contact-centre/blob"
    path = f"{name}/interactions/crm.yaml"
    assert links(place, github(root)) == [f"{base}/{COMMIT}/{path}#L4", f"{base}/{COMMIT}/{path}#L6"]
    above = Workplace(root, place.env)
    given = github(root, RECONCILER_COMMIT=OTHER)
    assert links(above, given, "-C", name) == [f"{base}/{OTHER}/{path}#L4", f"{base}/{OTHER}/{path}#L6"]
    place.run("plan", "--out", "p")
    shown = above.run("-C", name, "show", "p", "--format", "markdown", env=github(root)).out
    assert f"[line 4]({base}/{COMMIT}/{path}#L4)" in shown


def test_lines_are_linked_on_gitlab(place: Workplace) -> None:
    """A link names project, commit and path."""
    place.declare(TWO)
    url = "https://gitlab.com/acme/contact-centre"
    env = {"CI_PROJECT_URL": url, "CI_COMMIT_SHA": COMMIT, "CI_PROJECT_DIR": str(place.folder)}
    assert links(place, env)[0] == f"{url}/-/blob/{COMMIT}/interactions/crm.yaml#L4"


@pytest.mark.parametrize(
    "wrong",
    [
        {"GITHUB_WORKSPACE": "/elsewhere"},
        {"GITHUB_WORKSPACE": ""},
        {"GITHUB_SHA": "main"},
        {"GITHUB_REPOSITORY": "acme"},
        {"GITHUB_SERVER_URL": "javascript:alert(1)//"},
        {"GITHUB_SERVER_URL": "https://github.com/x) [y](https://evil.example"},
    ],
)
def test_where_we_are_is_never_guessed(place: Workplace, wrong: dict[str, str]) -> None:
    """Without a whole and plain answer there are line numbers, and no links."""
    place.declare(TWO)
    assert links(place, github(place.folder, **wrong)) == []


def test_a_checkout_behind_a_link_is_found(place: Workplace, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A runner may name its workspace by a symbolic link."""
    place.declare(TWO)
    link = tmp_path_factory.mktemp("runner") / "work"
    link.symlink_to(place.folder)
    assert links(place, github(link))[0].endswith(f"/{COMMIT}/interactions/crm.yaml#L4")
