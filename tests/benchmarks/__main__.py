"""`make bench`: us and every peer that is installed, in the same run; the bars, met or not.

We are measured as users have us: the built wheel, installed, with compiled modules. Ratios are of CPU time: those of
wall time, which stand beside, depend on whether the second core is free.
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
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from reconciler import __version__
from tests.benchmarks import page
from tests.benchmarks.measure import Case, Run, alternately, busy_core, ratios, together
from tests.benchmarks.picture import svg
from tests.benchmarks.sending import WIDTH
from tests.benchmarks.workload import empty_state, keep
from tests.command import clean_environment
from tests.state.stores.cloud import BUCKET, Cloud, Lie
from tests.state.stores.repositories import bare, clone

ROOT: Final = Path(__file__).parents[2]
HERE: Final = Path(__file__).parent
NOWHERE: Final = "http://127.0.0.1:9"
NEW, NOOP, FEW, YAML = "plan, all new", "plan, no-op", "plan, 100 changed", "PyYAML loading"
BUSY: Final = "with a busy second core: "
FLOOR: Final = "import yaml; from pydantic import TypeAdapter; TypeAdapter(dict[str, int])"
"""The least that reading YAML and checking it with pydantic can start in."""
_SHARED: Final = {"a bucket of 30 ms an operation": 1.15, "a branch on disk": 1.3}
"""Where else a state may be, and the most that an apply may take there over one with its state in a file."""
TERRAFORM: Final = ("terraform", "plan", "-input=false")
ENV: Final = {
    **clean_environment(),
    "RECONCILER_BASE_URL": NOWHERE,
    "RECONCILER_ACCESS_TOKEN": "fixed",
}


@dataclass(frozen=True)
class Bar:
    """A line of the table: what was measured, and the most that it may be. `unit` is empty for a ratio.

    `told` is what else is to be known of it, such as its spread.
    """

    name: str
    measured: float
    most: float
    unit: str = ""
    told: str = ""

    @property
    def met(self) -> bool:
        """Whether it is."""
        return self.measured <= self.most

    def __str__(self) -> str:
        verdict = "met" if self.met else "NOT MET"
        told = f"  {self.told}" if self.told else ""
        return (
            f"{self.name:<76} {self.measured:>8.2f}{self.unit:<3} (at most {self.most:g}{self.unit})  {verdict}{told}"
        )


class Bench:
    """The workloads in a folder, and what was measured with them."""

    def __init__(self, folder: Path, rounds: int, small: int, large: int) -> None:
        self.folder, self.rounds, self.small, self.large = folder, rounds, small, large
        self.load = os.getloadavg()[0]
        self.bars: list[Bar] = []
        self.figures: dict[str, Any] = {}
        self.curves: dict[str, dict[int, float]] = {}
        self.python = installed(folder / "installed")
        self.plan = (self.python, "-m", "reconciler", "plan")

    def workload(self, style: str, files: int) -> tuple[Path, Path]:
        """Return two folders with the same declarations: one in which none is open, one in which all are, sealed."""
        new, noop = (self.folder / f"{style}-{files}-{kind}" for kind in ("new", "open"))
        if not new.exists():
            say(f"making {files:,} files in {style} style")
            apart("workload", style, str(files), "1", NOWHERE, str(new), str(noop))
            seal = (self.python, "-m", "reconciler", "apply", "--auto-approve")
            subprocess.run(seal, cwd=noop, env=ENV, check=True, capture_output=True)
        return new, noop

    def changed(self, noop: Path, number: int) -> Path:
        """Return a folder like this one, in which so many files say something else."""
        folder = self.folder / f"{noop.name}-{number}"
        subprocess.run(["cp", "-R", "-L", noop, folder], check=True)
        files = sorted((folder / "interactions").rglob("*.yaml"))
        for file in files[:: max(1, len(files) // number)][:number]:
            file.write_text(file.read_text(encoding="utf-8").replace("Routing", "Night"), encoding="utf-8")
        return folder

    def bar(self, name: str, measured: float, most: float, unit: str = "", told: str = "") -> None:
        """Note a bar, and say it."""
        self.bars.append(Bar(name, measured, most, unit, told))
        say(str(self.bars[-1]))

    def over(self, name: str, run: Run, other: Run, most: float) -> None:
        """Note a bar on the ratio of CPU times, with its spread and that of wall times."""
        cpu, wall = ratios(run.cpu_rounds, other.cpu_rounds), statistics.median(ratios(run.rounds, other.rounds))
        self.bar(name, statistics.median(cpu), most, told=f"{cpu[0]:.2f} to {cpu[-1]:.2f}; wall {wall:.2f}")

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
        command,
        cwd=ROOT,
        env={**ENV, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    ).stdout


def installed(folder: Path) -> str:
    """Return a Python in which the wheel is installed, as users have it; its dependencies are this one's."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = str(folder / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", python]
    subprocess.run([*pip, "install", "--no-deps", str(ROOT)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def load_yaml(folder: Path) -> Case:
    """Return PyYAML merely loading the files."""
    return Case((sys.executable, str(HERE / "load_yaml.py"), str(folder / "interactions")), folder, ENV)


def plans(bench: Bench) -> None:
    """Measure cold and no-op plans, and one of few changes, against merely loading, and how cold ones grow."""
    n, large = bench.small, bench.large
    for files in (n // 100, n // 10):
        _plans(bench, files, 3)
    small, big = (_plans(bench, files, bench.rounds) for files in (n, large))
    for files, runs in ((n, small), (large, big)):
        bench.over(f"cold plan of {files:,}, over PyYAML loading", runs[NEW], runs[YAML], 1.0)
    flow, _ = bench.workload("flow", n)
    cases = {NEW: Case(bench.plan, flow, ENV), YAML: load_yaml(flow)}
    in_flow = bench.note(f"{n:,} files, flow style", alternately(cases, bench.rounds))
    bench.over(f"cold plan of {n:,} in flow style, over PyYAML loading", in_flow[NEW], in_flow[YAML], 1.0)
    bench.over(f"no-op plan of {large:,}, over PyYAML loading", big[NOOP], big[YAML], 0.2)
    bench.over(f"plan of 100 changed files of {large:,}, over PyYAML loading", big[FEW], big[YAML], 0.25)
    for kind, most in ((NEW, 260), (NOOP, 220)):
        folder = bench.workload("block", large)[kind == NOOP]
        memory = together(Case(bench.plan, folder, ENV))
        bench.bar(f"{kind} of {large:,}, peak memory of all its processes", memory, most, " MB")
    growth = big[NEW].cpu / small[NEW].cpu / (large / n)
    bench.bar(f"growth of {NEW} from {n:,} to {large:,} in CPU time, over linear", growth, 1.15)


def _plans(bench: Bench, files: int, rounds: int) -> dict[str, Run]:
    new, noop = bench.workload("block", files)
    cases = {NEW: Case(bench.plan, new, ENV), YAML: load_yaml(new), NOOP: Case(bench.plan, noop, ENV)}
    if files == bench.large:
        cases[FEW] = Case(bench.plan, bench.changed(noop, 100), ENV)
    runs = bench.note(f"{files:,} files", alternately(cases, rounds))
    for kind, each in runs.items():
        bench.point(kind, files, each.seconds)
    if files == bench.small:
        with busy_core():
            bench.note(f"{BUSY}{files:,} files", alternately(cases, rounds))
    return runs


def million(bench: Bench) -> None:
    """Measure a plan of a hundred interactions in each of many files, all new."""
    files, large = bench.small, bench.large
    new, base = (bench.folder / f"hundreds-{number}" for number in (files, files // 10))
    for folder, number in ((new, files), (base, files // 10)):
        apart("workload", "block", str(number), "100", NOWHERE, str(folder))
    ten, one = (alternately({NEW: Case(bench.plan, folder, ENV)}, 1)[NEW] for folder in (new, base))
    bench.note(f"{100 * files:,} interactions in {files:,} files", {NEW: ten})
    bench.bar(
        f"{NEW} of {100 * files:,} in {files:,} files, peak memory of its largest process", ten.memory, 2048, " MB"
    )
    bench.bar(f"growth of that from {large:,}, in CPU time, over linear", ten.cpu / one.cpu / 10, 1.1)


def applies(bench: Bench) -> None:
    """Measure applies against bare httpx posting the very same bodies to the same fixed server, and a large one."""
    new, _ = bench.workload("block", bench.small)
    for latency in (0.0, 0.1):
        with _server(latency) as port:
            sides = _sending(new, port, bench.rounds)
        told = "100 ms a call" if latency else "an instant server"
        bench.figures[f"apply, {told}"] = sides
        for side, figures in sides.items():
            calls = f"{figures['calls']} calls, {figures['parallelism']} at a time"
            say(f"  apply, {told}: {side:<6} {figures['seconds']:8.3f} s, {figures['cpu']:.3f} s CPU, for {calls}")
        ours, theirs = sides["us"], sides["httpx"]
        wall = ratios(ours["rounds"], theirs["rounds"])
        spread = f"{wall[0]:.2f} to {wall[-1]:.2f}"
        if latency:
            name = f"apply of {bench.small:,}, {told}, over bare httpx posting the same bodies"
            bench.bar(name, statistics.median(wall), 1.1, told=spread)
        else:
            each = (ours["cpu"] - theirs["cpu"]) / bench.small * 1e6
            share = f"httpx {theirs['cpu'] / bench.small * 1e6:.1f} µs; wall over httpx's {spread}"
            bench.bar(f"apply of {bench.small:,}, {told}: CPU an interaction, besides httpx's", each, 15, " µs", share)
    _large_apply(bench)


def _large_apply(bench: Bench) -> None:
    """Measure a whole apply of many, as a user waits for it: its memory, and the time from the first call on."""
    new, _ = bench.workload("block", bench.large)
    with _server(0.1) as port:
        place = _place(new, port)
        events = place / "events.jsonl"
        command = (bench.python, "-m", "reconciler", "apply", "--auto-approve", "--events", str(events))
        (run,) = alternately({"apply": Case(command, place, {**ENV, **_at(port)})}, 1).values()
    lines = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    times = [datetime.fromisoformat(line["time"]) for line in lines if line["event"] in {"sent", "answered"}]
    bench.note(f"{bench.large:,} files, 100 ms a call", {"apply": run})
    sending = (times[-1] - times[0]).total_seconds()
    bench.bar(f"apply of {bench.large:,}, 100 ms a call: from the first call to the last answer", sending, 6, " s")
    bench.bar(f"apply of {bench.large:,}: peak memory of its largest process", run.memory, 400, " MB")


def _place(new: Path, port: int) -> Path:
    """Return a folder with these declarations, and a state in which none is open."""
    place = Path(tempfile.mkdtemp(dir=new.parent))
    (place / "interactions").symlink_to(new / "interactions")
    keep(empty_state(_at(port)["RECONCILER_BASE_URL"]), place)
    return place


def _at(port: int) -> dict[str, str]:
    return {"RECONCILER_BASE_URL": f"http://127.0.0.1:{port}"}


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
            each.append(json.loads(apart("sending", side, str(_place(folder, port)), str(port))))
    seconds = {side: [one["seconds"] for one in each] for side, each in sent.items()}
    return {
        side: {
            **each[0],
            "seconds": statistics.median(seconds[side]),
            "cpu": statistics.median(one["cpu"] for one in each),
            "rounds": seconds[side],
        }
        for side, each in sent.items()
    }


def shared(bench: Bench) -> None:
    """Measure whole applies whose state is in a bucket, or on a branch, against those whose state is in a file."""
    new, _ = bench.workload("block", bench.small)
    seconds: dict[str, list[float]] = {"a file": [], **{kind: [] for kind in _SHARED}}
    with _server(0.1) as port, Cloud(lambda _asked: Lie(wait=0.03)) as cloud:
        for _ in range(bench.rounds):
            for kind, each in seconds.items():
                place = _place(new, port)
                each.append(_applied(bench.python, place, {**_at(port), **_brought(kind, place, cloud)}))
    bench.figures["apply, where the state is"] = seconds
    for kind, each in seconds.items():
        say(f"  apply of {bench.small:,}, 100 ms a call, the state in {kind}: {statistics.median(each):8.3f} s")
    for kind, most in _SHARED.items():
        wall = ratios(seconds[kind], seconds["a file"])
        name = f"apply of {bench.small:,}, 100 ms a call, with {kind}, over a file"
        bench.bar(name, statistics.median(wall), most, told=f"{wall[0]:.2f} to {wall[-1]:.2f}")


def _brought(kind: str, folder: Path, cloud: Cloud) -> dict[str, str]:
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


def _applied(python: str, folder: Path, env: Mapping[str, str]) -> float:
    """Return how long an apply takes, as a user waits for it."""
    began = time.perf_counter()
    command = [python, "-m", "reconciler", "apply", "--auto-approve"]
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
        "plan of three": Case(bench.plan, three, ENV),
        "import yaml, build a TypeAdapter": Case((bench.python, "-c", FLOOR), three, ENV),
        "python -c pass": Case((bench.python, "-c", "pass"), three, ENV),
    }
    if shutil.which("terraform"):
        cases["terraform plan of three"] = Case(TERRAFORM, _terraform(bench, 3, applied=True), os.environ)
    runs = bench.note("start-up", alternately(cases, 4 * bench.rounds))
    name = "start-up: plan of three unchanged, over importing yaml and building one TypeAdapter"
    bench.over(name, runs["plan of three"], runs["import yaml, build a TypeAdapter"], 1.7)


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


PARTS: Final = (start, plans, million, applies, shared, writes, peers)


def main() -> int:
    """Measure, print, write; the exit code is 0 even where a bar isn't met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=[part.__name__ for part in PARTS])
    options = parser.parse_args()
    scale = 100 if options.quick else 1
    with tempfile.TemporaryDirectory(prefix="reconciler-bench-") as folder:
        bench = Bench(Path(folder), options.rounds, 10_000 // scale, 100_000 // scale)
        for part in PARTS:
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
