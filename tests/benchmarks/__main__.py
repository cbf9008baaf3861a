"""`make bench`: us and every peer that is installed, in the same run; the bars, met or not.

Writes docs/performance.json and .svg, and the tables of docs/performance.md. `--rounds N` takes medians of N instead of
five; `--quick` takes a hundredth of each workload, to see that it works.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from reconciler import __version__
from tests.benchmarks import page
from tests.benchmarks.measure import Case, Run, alternately, ratio, together
from tests.benchmarks.picture import svg
from tests.benchmarks.sending import WIDTH
from tests.benchmarks.workload import empty_state, keep
from tests.command import clean_environment
from tests.state.stores.cloud import BUCKET, Cloud, Lie
from tests.state.stores.repositories import bare, clone

ROOT: Final = Path(__file__).parents[2]
HERE: Final = Path(__file__).parent
NOWHERE: Final = "http://127.0.0.1:9"
NEW, NOOP, YAML = "plan, all new", "plan, no-op", "PyYAML loading"
PLAN: Final = (sys.executable, "-m", "reconciler", "plan")
FLOOR: Final = "import yaml; from pydantic import TypeAdapter; TypeAdapter(dict[str, int])"
"""The least that reading YAML and checking it with pydantic can start in."""
_SHARED: Final = {"a bucket of 30 ms an operation": 1.15, "a branch on disk": 1.3}
"""Where else a state may be, and the most that an apply may take there over one with its state in a file."""
TERRAFORM: Final = ("terraform", "plan", "-input=false")
ENV: Final = {
    **clean_environment(),
    "PYTHONPATH": str(ROOT),
    "RECONCILER_BASE_URL": NOWHERE,
    "RECONCILER_ACCESS_TOKEN": "fixed",
}


@dataclass(frozen=True)
class Bar:
    """A line of the table: what was measured, and the most that it may be. `unit` is empty for a ratio."""

    name: str
    measured: float
    most: float
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.measured <= self.most

    def __str__(self) -> str:
        verdict = "met" if self.met else "NOT MET"
        return f"{self.name:<76} {self.measured:>8.2f}{self.unit:<3} (at most {self.most:g}{self.unit})  {verdict}"


class Bench:
    """The workloads in a folder, and what was measured with them."""

    def __init__(self, folder: Path, rounds: int, small: int, large: int) -> None:
        self.folder, self.rounds, self.small, self.large = folder, rounds, small, large
        self.load = os.getloadavg()[0]
        self.bars: list[Bar] = []
        self.figures: dict[str, Any] = {}
        self.curves: dict[str, dict[int, float]] = {}

    def workload(self, style: str, files: int) -> tuple[Path, Path]:
        """Return two folders with the same declarations: one in which none is open, one in which all are."""
        new, noop = self.folder / f"{style}-{files}-new", self.folder / f"{style}-{files}-open"
        if not new.exists():
            say(f"making {files:,} files in {style} style")
            apart("workload", style, str(files), NOWHERE, str(new), str(noop))
        return new, noop

    def bar(self, name: str, measured: float, most: float, unit: str = "") -> None:
        """Note a bar, and say it."""
        self.bars.append(Bar(name, measured, most, unit))
        say(str(self.bars[-1]))

    def note(self, name: str, runs: dict[str, Run]) -> dict[str, Run]:
        """Keep the runs of a comparison."""
        self.figures[name] = {key: asdict(each) for key, each in runs.items()}
        for key, each in runs.items():
            say(f"  {name}: {key:<28} {each.seconds:8.3f} s  {each.cpu:8.3f} s CPU  {each.memory:6.0f} MB")
        return runs

    def point(self, curve: str, n: int, seconds: float) -> None:
        """Keep a point of the picture."""
        self.curves.setdefault(curve, {})[n] = seconds


def apart(module: str, *arguments: str) -> bytes:
    """Run a module of this package in a process of its own, for a child starts with the peak memory of its parent."""
    command = [sys.executable, "-m", f"tests.benchmarks.{module}", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    ).stdout


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def load_yaml(folder: Path) -> Case:
    """Return PyYAML merely loading the files."""
    return Case((sys.executable, str(HERE / "load_yaml.py"), str(folder / "interactions")), folder, ENV)


def plans(bench: Bench) -> None:
    """Measure cold and no-op plans against merely loading, and how both grow."""
    n, large = bench.small, bench.large
    small = _plans(bench, n, bench.rounds)
    bench.bar(f"cold plan of {n:,}, over PyYAML loading", ratio(small[NEW].rounds, small[YAML].rounds), 1.0)
    flow, _ = bench.workload("flow", n)
    cases = {NEW: Case(PLAN, flow, ENV), YAML: load_yaml(flow)}
    in_flow = bench.note(f"{n:,} files, flow style", alternately(cases, bench.rounds))
    over = ratio(in_flow[NEW].rounds, in_flow[YAML].rounds)
    bench.bar(f"cold plan of {n:,} in flow style, over PyYAML loading", over, 1.0)
    big = _plans(bench, large, bench.rounds)
    bench.bar(f"no-op plan of {large:,}, over PyYAML loading", ratio(big[NOOP].rounds, big[YAML].rounds), 1.0)
    memory = max(big[NOOP].memory, together(Case(PLAN, bench.workload("block", large)[1], ENV)))
    bench.figures["no-op plan, all its processes together, MB"] = round(memory)
    bench.bar(f"no-op plan of {large:,}, peak memory of all its processes", memory, 500, " MB")
    for kind in (NEW, NOOP):
        growth = big[kind].seconds / small[kind].seconds / (large / n)
        bench.bar(f"growth of {kind} from {n:,} to {large:,}, over linear", growth, 1.15)
        by_cpu = bench.figures.setdefault("growth in CPU time, over linear", {})
        by_cpu[kind] = round(big[kind].cpu / small[kind].cpu / (large / n), 2)
        say(f"  the same in CPU time: {by_cpu[kind]}")
    for files in (n // 100, n // 10):
        _plans(bench, files, 3)


def _plans(bench: Bench, files: int, rounds: int) -> dict[str, Run]:
    new, noop = bench.workload("block", files)
    cases = {NEW: Case(PLAN, new, ENV), YAML: load_yaml(new), NOOP: Case(PLAN, noop, ENV)}
    runs = bench.note(f"{files:,} files", alternately(cases, rounds))
    for kind, each in runs.items():
        bench.point(kind, files, each.seconds)
    return runs


def applies(bench: Bench) -> None:
    """Measure applies against bare httpx posting the very same bodies to the same fixed server."""
    new, _ = bench.workload("block", bench.small)
    for latency, most in ((0.0, 2.0), (0.1, 1.1)):
        with _server(latency) as port:
            sides = _sending(new, port, bench.rounds)
        told = "100 ms a call" if latency else "an instant server"
        bench.figures[f"apply, {told}"] = sides
        for side, figures in sides.items():
            calls = f"{figures['calls']} calls, {figures['parallelism']} at a time"
            say(f"  apply, {told}: {side:<6} {figures['seconds']:8.3f} s for {calls}")
        over = ratio(sides["us"]["rounds"], sides["httpx"]["rounds"])
        bench.bar(f"apply of {bench.small:,}, {told}, over bare httpx posting the same bodies", over, most)


@contextmanager
def _server(latency: float) -> Iterator[int]:
    command = [sys.executable, str(HERE / "server.py"), str(latency)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield int(server.stdout.readline())
        finally:
            server.kill()


def _sending(folder: Path, port: int, rounds: int) -> dict[str, dict[str, Any]]:
    sent: dict[str, list[dict[str, Any]]] = {"us": [], "httpx": []}
    for _ in range(rounds):
        for side, each in sent.items():
            place = Path(tempfile.mkdtemp(dir=folder.parent))
            (place / "interactions").symlink_to(folder / "interactions")
            keep(empty_state(f"http://127.0.0.1:{port}"), place)
            each.append(json.loads(apart("sending", side, str(place), str(port))))
    seconds = {side: [one["seconds"] for one in each] for side, each in sent.items()}
    return {
        side: {**each[0], "seconds": statistics.median(seconds[side]), "rounds": seconds[side]}
        for side, each in sent.items()
    }


def shared(bench: Bench) -> None:
    """Measure whole applies whose state is in a bucket, or on a branch, against those whose state is in a file."""
    new, _ = bench.workload("block", bench.small)
    seconds: dict[str, list[float]] = {"a file": [], **{kind: [] for kind in _SHARED}}
    with _server(0.1) as port, Cloud(lambda _asked: Lie(wait=0.03)) as cloud:
        for _ in range(bench.rounds):
            for kind, each in seconds.items():
                place = Path(tempfile.mkdtemp(dir=new.parent))
                (place / "interactions").symlink_to(new / "interactions")
                keep(empty_state(f"http://127.0.0.1:{port}"), place)
                url = {"RECONCILER_BASE_URL": f"http://127.0.0.1:{port}"}
                each.append(_applied(place, {**url, **_place(kind, place, cloud)}))
    bench.figures["apply, where the state is"] = seconds
    for kind, each in seconds.items():
        say(f"  apply of {bench.small:,}, 100 ms a call, the state in {kind}: {statistics.median(each):8.3f} s")
    for kind, most in _SHARED.items():
        over = ratio(seconds[kind], seconds["a file"])
        bench.bar(f"apply of {bench.small:,}, 100 ms a call, with {kind}, over a file", over, most)


def _place(kind: str, folder: Path, cloud: Cloud) -> dict[str, str]:
    """Bring the state of a folder to where it is to be, and return the environment that leads there."""
    if kind == "a bucket of 30 ms an operation":
        cloud.objects = {"state.json": ((folder / "reconciler.state.json").read_bytes(), 1)}
        return {**cloud.s3, "RECONCILER_STATE": f"s3://{BUCKET}/state.json"}
    if kind == "a branch on disk":
        clone(folder, bare(folder / "remote.git").as_uri())
        migrate = [sys.executable, "-m", "reconciler", "state", "migrate", "reconciler.state.json", "git:state"]
        subprocess.run(migrate, cwd=folder, env=ENV, check=True, capture_output=True)
        return {"RECONCILER_STATE": "git:state"}
    return {}


def _applied(folder: Path, env: Mapping[str, str]) -> float:
    """Return how long an apply takes, as a user waits for it."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "reconciler", "apply", "--auto-approve"]
    wanted = {**ENV, "RECONCILER_PARALLELISM": str(WIDTH), **env}
    subprocess.run(command, cwd=folder, env=wanted, check=True, capture_output=True)
    return time.perf_counter() - began


def writes(bench: Bench) -> None:
    """Count the bytes written by an apply of k changes on a state of n."""
    _, noop = bench.workload("block", bench.small)
    told = []
    for changes in (bench.small // 100, bench.small // 10):
        wrote = json.loads(apart("writing", str(noop), str(changes)))
        told.append({"changes": changes, **wrote})
        say(f"  apply of {changes:,} on {bench.small:,}: {wrote['bytes']:,} bytes, the two states {wrote['states']:,}")
        rest = (wrote["bytes"] - wrote["states"]) / changes
        bench.bar(f"apply of {changes:,} on {bench.small:,}: bytes a change, besides two states", rest, 300, " B")
    bench.figures["bytes written"] = told


def start(bench: Bench) -> None:
    """Measure start-up, beside Python's own and terraform's."""
    _, three = bench.workload("block", 3)
    cases = {
        "plan of three": Case(PLAN, three, ENV),
        "import yaml, build a TypeAdapter": Case((sys.executable, "-c", FLOOR), three, ENV),
        "python -c pass": Case((sys.executable, "-c", "pass"), three, ENV),
    }
    if shutil.which("terraform"):
        cases["terraform plan of three"] = Case(TERRAFORM, _terraform(bench, 3, applied=True), os.environ)
    runs = bench.note("start-up", alternately(cases, 4 * bench.rounds))
    bench.bar(
        "start-up: plan of three unchanged, over importing yaml and building one TypeAdapter",
        ratio(runs["plan of three"].rounds, runs["import yaml, build a TypeAdapter"].rounds),
        1.7,
    )


def _terraform(bench: Bench, resources: int, *, applied: bool) -> Path:
    folder = bench.folder / f"terraform-{resources}"
    folder.mkdir()
    text = "".join(f'resource "terraform_data" "case_{n}" {{\n  input = "{n}"\n}}\n' for n in range(resources))
    (folder / "main.tf").write_text(text, encoding="utf-8")
    commands = [["init"], *([["apply", "-auto-approve"]] if applied else [])]
    for command in commands:
        subprocess.run(["terraform", *command, "-input=false"], cwd=folder, check=True, capture_output=True)
    return folder


def peers(bench: Bench) -> None:
    """Measure peers that do other work: octoDNS with as many records, terraform with as many resources."""
    if importlib.util.find_spec("octodns"):
        script = str(HERE / "plan_octodns.py")
        for records in (bench.small // 100, bench.small // 10, bench.small):
            folder = bench.folder / f"octodns-{records}"
            subprocess.run([sys.executable, script, "write", folder, str(records)], check=True)
            cases = {
                f"octoDNS, {told}": Case((sys.executable, script, kind, str(folder), str(records)), folder, ENV)
                for kind, told in (("new", "all new"), ("noop", "no-op"))
            }
            for name, each in bench.note(f"{records:,} records", alternately(cases, 3)).items():
                bench.point(name, records, each.seconds)
    if shutil.which("terraform"):
        for resources in (bench.small // 100, bench.small // 10):
            case = Case(TERRAFORM, _terraform(bench, resources, applied=False), os.environ)
            name = "terraform, all new"
            runs = bench.note(f"{resources:,} resources", alternately({name: case}, 3))
            bench.point(name, resources, runs[name].seconds)


def main() -> int:
    """Measure, print, write; the exit code is 0 even where a bar isn't met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["plans", "applies", "shared", "writes", "start", "peers"])
    options = parser.parse_args()
    scale = 100 if options.quick else 1
    with tempfile.TemporaryDirectory(prefix="reconciler-bench-") as folder:
        bench = Bench(Path(folder), options.rounds, 10_000 // scale, 100_000 // scale)
        for part in (start, plans, applies, shared, writes, peers):
            if options.only in {None, part.__name__}:
                part(bench)
        bench.figures["stages"] = json.loads(apart("stages", *map(str, bench.workload("block", bench.small))))
        for stage, seconds in bench.figures["stages"].items():
            say(f"  {bench.small:,} files: {stage:<36} {seconds:8.3f} s CPU")
    say("")
    for bar in bench.bars:
        say(str(bar))
    if not (options.quick or options.only):
        write(bench)
    return 0


def write(bench: Bench) -> None:
    """Write what the docs show."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude", "*"]
    found = {
        "reconciler": __version__,
        "revision": subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip(),
        "python": platform.python_version(),
        "system": platform.system(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(bench.load, 1),
        "rounds": bench.rounds,
        "bars": [{**asdict(bar), "met": bar.met} for bar in bench.bars],
        "figures": bench.figures,
        "curves": {name: sorted(points.items()) for name, points in bench.curves.items()},
    }
    docs = ROOT / "docs"
    (docs / "performance.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    curves = {name: sorted(points.items()) for name, points in bench.curves.items()}
    (docs / "performance.svg").write_text(svg(curves), encoding="utf-8")
    page.update()
    say(f"\nWritten: docs/performance.json, .svg and .md (revision {found['revision']})")


if __name__ == "__main__":
    raise SystemExit(main())
