"""What the last applies did, as text and as JSON.

Pure: returns strings.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from reconciler.escape import visible
from reconciler.render.formats import FORMAT_VERSION, HistoryJson, RunJson
from reconciler.render.machine import target_object, to_json
from reconciler.state.model import Kind, Run, State

_DONE: Final = {
    Kind.RELEASE: "released",
    Kind.DISPATCH: "dispatched",
    Kind.BURN: "burnt",
    Kind.TOLERANT: "released in case of being open",
    "forget": "forgotten",
    "record": "recorded",
}


def history_text(runs: Sequence[Run], width: int = 80) -> str:
    """Return a paragraph for each run, in their order."""
    if not runs:
        return "No apply is remembered.\n"
    return "\n\n".join("\n".join(_lines(run, width)) for run in runs) + "\n"


def _lines(run: Run, width: int) -> Iterator[str]:
    yield f"serial {run.serial} · {visible(run.at)} · {visible(run.command)} · exit {run.exit}"
    counts = [f"{run.counts[name]} {word}" for name, word in _DONE.items() if name in run.counts]
    counts += [f"{number} {visible(name)}" for name, number in run.counts.items() if name not in _DONE]
    yield from textwrap.wrap(", ".join(counts) or "nothing", width, initial_indent="  ", subsequent_indent="  ")
    by = f"  by {visible(run.by)}"
    yield by if len(by) <= width else by[: width - 1] + "…"
    if run.commit:
        yield f"  commit {visible(run.commit[:12])}{', with uncommitted changes' if run.dirty else ''}"


def history_json(state: State, runs: Sequence[Run]) -> str:
    """Return what `history --format json` prints."""
    document: HistoryJson = {
        "format_version": FORMAT_VERSION,
        "lineage": state.lineage,
        "serial": state.serial,
        "target": target_object(state.target),
        "runs": [_run(run) for run in runs],
    }
    return to_json(document)


def _run(run: Run) -> RunJson:
    return {
        "serial": run.serial,
        "at": run.at,
        "by": run.by,
        "command": run.command,
        "commit": run.commit,
        "dirty": run.dirty,
        "counts": dict(run.counts),
        "exit": run.exit,
    }
