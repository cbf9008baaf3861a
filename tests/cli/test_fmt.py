"""`fmt` as people, editors and hooks use it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.command import COMMAND, Workplace

UGLY = "# ours\ninteractions:\n- externalid: a\n  route:   R   # night\n"
NEAT = "# ours\ninteractions:\n  - externalid: a\n    route: R  # night\n"


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Workplace:
    folder = tmp_path / "interactions"
    folder.mkdir()
    (folder / "neat.yaml").write_text(NEAT, encoding="utf-8")
    (folder / "ugly.yaml").write_text(UGLY, encoding="utf-8")
    (folder / "data.json").write_text('{"interactions":   []}', encoding="utf-8")
    return Workplace(tmp_path)


def test_only_what_differs_is_rewritten(place: Workplace) -> None:
    """The file that isn't canonical is rewritten, with its permissions, and named; all others stay untouched."""
    ugly, neat = (place.folder / "interactions" / name for name in ("ugly.yaml", "neat.yaml"))
    ugly.chmod(0o640)
    before = neat.stat().st_mtime_ns, neat.stat().st_ino
    ran = place.run("fmt")
    assert (ran.code, ran.out) == (0, "interactions/ugly.yaml\n")
    assert "1 of 2 files formatted." in ran.err
    assert (ugly.read_text(encoding="utf-8"), ugly.stat().st_mode & 0o777) == (NEAT, 0o640)
    assert (neat.stat().st_mtime_ns, neat.stat().st_ino) == before
    again = place.run("fmt", "--check")
    assert (again.code, again.out) == (0, "")


@pytest.mark.parametrize(("option", "code"), [("--check", 2), ("--diff", 0)])
def test_looking_writes_nothing(place: Workplace, option: str, code: int) -> None:
    """`--check` names what would change and ends with 2, `--diff` shows it; neither writes."""
    ran = place.run("fmt", option)
    assert ran.code == code
    assert ("+    route: R  # night\n" in ran.out) == (option == "--diff")
    assert "interactions/ugly.yaml\n" in ran.out
    assert (place.folder / "interactions" / "ugly.yaml").read_text(encoding="utf-8") == UGLY


def test_what_cannot_be_read_is_named_and_the_rest_is_done(place: Workplace) -> None:
    """A file with an error is named with its place and left; the others are formatted; exit 1."""
    broken = place.folder / "interactions" / "broken.yaml"
    broken.write_text("interactions: [\n", encoding="utf-8")
    ran = place.run("fmt", "interactions")
    assert ran.code == 1
    assert "interactions/broken.yaml:2:1" in ran.err
    assert broken.read_text(encoding="utf-8") == "interactions: [\n"
    assert (place.folder / "interactions" / "ugly.yaml").read_text(encoding="utf-8") == NEAT


def test_a_link_stays_a_link(place: Workplace) -> None:
    """What a link leads to is rewritten, not the link."""
    target = place.folder / "elsewhere.yaml"
    target.write_text(UGLY, encoding="utf-8")
    link = place.folder / "interactions" / "link.yaml"
    link.symlink_to(target)
    assert place.run("fmt", "interactions/link.yaml").code == 0
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == NEAT


@pytest.mark.parametrize(("given", "code", "out"), [(UGLY, 0, NEAT), ("a: [\n", 1, "")])
def test_an_editor_gets_the_text_back(place: Workplace, given: str, code: int, out: str) -> None:
    """`fmt -` formats stdin onto stdout; what can't be read gives nothing, so that an editor keeps its own."""
    ran = subprocess.run(
        [*COMMAND, "fmt", "-"], input=given, cwd=place.folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert (ran.returncode, ran.stdout) == (code, out)


def test_many_files_are_shared_among_processes(place: Workplace) -> None:
    """A hundred files are all formatted."""
    files = [place.folder / "interactions" / f"{number:03}.yaml" for number in range(100)]
    for file in files:
        file.write_text(UGLY, encoding="utf-8")
    ran = place.run("fmt")
    assert ran.code == 0
    assert {file.read_text(encoding="utf-8") for file in files} == {NEAT}
    assert ran.out.splitlines() == sorted(ran.out.splitlines())
