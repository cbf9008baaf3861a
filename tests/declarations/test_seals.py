"""Seals: what is known to be as it was is not read again, and nobody can tell but by the time it takes."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path
from unittest import mock

import pytest

from reconciler.declarations import seals
from reconciler.yamlfile import reader
from tests.api import SandboxServer
from tests.command import Workplace
from tests.conftest import ROOT
from tests.declarations import sealing

APPLY = ("apply", "--auto-approve")
READS = ("yamlfile", "declarations", "interaction.py", "planning/planner.py", "planning/policy.py", "state/entries.py")
WHAT_READS = {
    1: "35d7e73fcffbc516",
    2: "b33bb22d0fb8b730",
    3: "ed07c42b41b24ecd",
    4: "78c7ba3b82a61f35",
    5: "3f044ca0f56fcfeb",
    6: "7ce891bf9c1f1f7f",
    7: "84e7c9b0fe358594",
}
"""What the modules that read and compare were, by the version that a seal holds."""


def test_the_version_grows_with_what_reads() -> None:
    """Whoever changes what reads or compares, raises READER and adds what it is now: or old seals hide the change."""
    paths = [
        path
        for name in READS
        for path in sorted((ROOT / "reconciler" / name).rglob("*.py")) or [ROOT / "reconciler" / name]
    ]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    assert trees
    now = hashlib.sha256("".join(map(meaning, trees)).encode()).hexdigest()[:16]
    assert WHAT_READS.get(seals.READER) == now, f"raise READER in declarations/seals.py, and add {now!r} here"
    assert len(set(WHAT_READS.values())) == len(WHAT_READS), "each version reads in its own way"


def meaning(tree: ast.Module) -> str:
    """Return what a module does, without what it says of itself."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [each for each in body if not _is_text(each)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_differs_but_what_is_read(tmp_path: Path, seed: int) -> None:
    """After each of many edits of files, names, state and configuration a plan says and does the same with seals."""
    assert sealing.run(tmp_path, seed, 250) > 50, "and files were sealed"


def test_what_is_sealed_is_not_read(place: Workplace) -> None:
    """An apply leaves seals, with which a plan parses nothing; what was edited is read, and said to be."""
    for name in ("a", "b"):
        place.declare(f"interactions: [{{externalid: {name}, route: R}}]\n", f"{name}.yaml")
    assert place.run(*APPLY).code == 0
    assert len(place.state["seals"]) == 2
    with mock.patch("reconciler.declarations.loader.parse", side_effect=reader.parse) as parse:
        assert "2 interactions declared in 2 files, 2 of them sealed" in place.run("plan", "-v").err
        assert "2 of 2 files are sealed" in place.run("plan", "--timings").err
        assert parse.call_count == 0
        place.declare("interactions: [{externalid: b, route: S}]\n", "b.yaml")
        assert "1 to replace" in place.run("plan").out
        assert parse.call_count == 1
        place.run("plan", "--no-seals")
        place.run("validate")
        assert parse.call_count == 5


def test_what_is_wrong_is_told_as_without_seals(place: Workplace) -> None:
    """An address that a sealed file has already, or any other problem, has everything read again."""
    place.declare("interactions: [{externalid: a, route: R}]\n", "a.yaml")
    assert place.run(*APPLY).code == 0
    place.declare("# again\ninteractions: [{externalid: a, route: R}, {externalid: b}]\n", "b.yaml")
    plain = place.run("plan", "--no-seals")
    assert (plain.code, "first at interactions/a.yaml:1:16" in plain.err) == (1, True)
    assert place.run("plan") == plain


@pytest.mark.parametrize("how", ["--format=json", "--format=markdown", "--full", "--target=a", "--detailed-exitcode"])
def test_each_output_is_the_same(place: Workplace, how: str) -> None:
    """With seals and without, every format of a plan, its selection and its exit code are alike."""
    place.declare("interactions: [{externalid: a, route: R}, {once: c, route: R}]\n", "a.yaml")
    place.declare("interactions: [{externalid: b, route: R}]\n", "b.yaml")
    assert place.run(*APPLY).code == 0
    place.declare("interactions: [{externalid: b, route: S}, {externalid: d, route: R}]\n", "b.yaml")
    assert place.run("plan", how) == place.run("plan", how, "--no-seals")


def test_an_apply_that_only_seals_writes_once_and_quietly(place: Workplace, server: SandboxServer) -> None:
    """A reader that made no seals yet makes them where there is nothing else to do; after that nothing is written."""
    place.declare("interactions: [{externalid: a, route: R}]\n")
    assert place.run(*APPLY).code == 0
    with mock.patch.object(seals, "READER", seals.READER + 1):
        calls, before = len(server.calls), place.state
        first = place.run(*APPLY)
        state = place.state
        assert (state["serial"], len(server.calls)) == (before["serial"] + 1, calls)
        assert state["seals"] != before["seals"]
        assert place.run(*APPLY).out.replace(f"serial {state['serial']}", "") == first.out.replace(
            f"serial {before['serial']}", ""
        )
        place.declare("# formatted\ninteractions: [{externalid: a, route: R}]\n")
        assert place.run(*APPLY).code == 0
        assert place.state == state
