"""A hundred thousand rows, and ten thousand request bodies, become declarations in a minute and in bounded memory."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.command import Workplace
from tests.soak.test_load_100k import measured

SECONDS = 60.0
MEGABYTES = 150.0
MAPPING = """\
file: "{Team}.yaml"
interaction:
  externalid: {column: Case}
  provider: Crm
  route: Calls
  linkeddata:
    - {type: clid, value: {column: Phone}}
    - {type: url, label: Open, value: {pattern: "https://crm.test/{Case}"}}
  routingdata:
    interactiontype: nonlive
    personalqueue: {agent: {column: Agent}, loggedintimeout: {column: Wait, as: integer}}
"""
POLICY = """\
policy:
  - {id: known, message: m, routes: [Calls], providers: [Crm, "P[0-2]"], identities: ["B-*", "C-*"]}
  - {id: callable, message: m, required_linkeddata: [clid], forbidden_skills: [vip], most: 20000}
"""


def table(path: Path, count: int, changed: int = 0) -> None:
    """Write a table of so many cases, some of which have another phone than before."""
    with path.open("w", encoding="utf-8") as file:
        file.write("Case,Team,Phone,Agent,Wait,Name\n")
        for number in range(count):
            phone = f"+44770{0 if number >= changed else 1}{number:06}"
            file.write(f"C-{number},team {number % 40},{phone},agent {number % 300},{number % 60},Ada {number}\n")


@pytest.mark.soak
@pytest.mark.timeout(25 * 60)
def test_a_hundred_thousand_rows(tmp_path: Path) -> None:
    """They take no more than a minute of one core and little memory; a merge of a thousand changes takes no more."""
    place = Workplace(tmp_path)
    (tmp_path / "map.yaml").write_text(MAPPING, encoding="utf-8")
    command = ("import", "--mapping", "map.yaml", "crm.csv")
    table(tmp_path / "crm.csv", 100_000)
    code, peak, seconds = measured(place, *command, env={})
    sys.stdout.write(f"\n100,000 rows: {seconds:.1f} s of CPU, {peak:.0f} MB\n")
    assert (code, peak < MEGABYTES, seconds < SECONDS) == (0, True, True)
    assert place.run("validate").out == "Valid: 100000 interactions in 80 files.\n"
    assert place.run("fmt", "--check", "interactions/team 7.yaml").code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "interactions").iterdir()}
    table(tmp_path / "crm.csv", 100_000, changed=1_000)
    code, peak, seconds = measured(place, *command, "--merge", env={})
    sys.stdout.write(f"1,000 of them changed: {seconds:.1f} s of CPU, {peak:.0f} MB\n")
    assert (code, seconds < SECONDS) == (0, True)
    after = {path: path.read_bytes() for path in (tmp_path / "interactions").iterdir()}
    lines = [line for path, data in after.items() for line in {*data.splitlines()} - {*before[path].splitlines()}]
    assert len(lines) == 1_000
    assert {line.split(b'"')[1][:6] for line in lines} == {b"+44770"}


@pytest.mark.soak
def test_ten_thousand_bodies_and_rows_without_a_manual_edit(tmp_path: Path) -> None:
    """They are imported, are in canonical form and keep a policy, and a plan dispatches each of them."""
    place = Workplace(tmp_path)
    (tmp_path / "calls").mkdir()
    (tmp_path / "map.yaml").write_text(MAPPING, encoding="utf-8")
    table(tmp_path / "crm.csv", 10_000)
    for number in range(10_000):
        request = {"action": "dispatch", "requestid": str(number), "route": "Calls", "externalid": f"B-{number}"}
        request["linkeddata"] = [{"type": "clid", "value": f"0770{number:07}"}]  # type: ignore[assignment]
        body = {"provider": f"P{number % 3}", "requests": [request]}
        (tmp_path / "calls" / f"{number}.json").write_text(json.dumps(body), encoding="utf-8")
    assert place.run("import", "calls").code == 0
    assert place.run("import", "--mapping", "map.yaml", "crm.csv").code == 0
    checked = place.run("fmt", "--check")
    assert (checked.code, checked.out) == (0, "")
    assert place.run("init").code == 0
    (tmp_path / "interactions" / "example.yaml").unlink(missing_ok=True)
    with (tmp_path / "reconciler.yaml").open("a", encoding="utf-8") as file:
        file.write(POLICY)
    assert place.run("validate").out == "Valid: 20000 interactions in 45 files.\n"
    assert "Plan: 20000 to dispatch" in place.run("plan", "--sandbox", "--concise").out.replace(",", "")
