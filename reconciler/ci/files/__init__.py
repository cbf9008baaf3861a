"""The files that a repository copies, and how they are made its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

GITHUB: Final = ("reconciler-plan.yml", "reconciler-apply.yml")
FORKS: Final = "reconciler-forks.yml"
_ENVIRONMENT: Final = re.compile(r"^(\s*environment: reconciler)|^(name: reconciler \w+)$", re.MULTILINE)
_GROUP: Final = re.compile(r"(?<=group: )(\"?)(reconciler-\w+)")


@dataclass(frozen=True, slots=True)
class Place:
    """What a file is made for: the default branch, the environment, the configuration's folder, and the action.

    `uses` is `OWNER/reconciler@COMMIT`, as a workflow names it.
    """

    branch: str
    environment: str | None
    folder: str
    uses: str


def pipeline_files(platform: str, place: Place, *, forks: bool) -> Mapping[str, str]:
    """Return the files of a pipeline by path; each environment has its own. `forks`: those of strangers are planned."""
    if platform == "gitlab":
        return {".gitlab-ci.yml": _of_gitlab(place)}
    names = [*GITHUB, *([FORKS] if forks else [])]
    suffix = f"-{place.environment}" if place.environment else ""
    return {f".github/workflows/{name.removesuffix('.yml')}{suffix}.yml": _own(shipped(name), place) for name in names}


def shipped(name: str) -> str:
    """Return a file as it is shipped."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _own(text: str, place: Place) -> str:
    repository, _, commit = place.uses.partition("@")
    text = text.replace("OWNER/reconciler", repository).replace("@COMMIT", f"@{commit}")
    text = text.replace("branches: [main]", f"branches: [{_quoted(place.branch)}]")
    variables = {"RECONCILER_ENV": place.environment, "RECONCILER_FOLDER": place.folder if place.folder != "." else ""}
    if given := [f"{name}: {_quoted(value)}" for name, value in variables.items() if value]:
        text = text.replace("permissions: {}\n", f"permissions: {{}}\nenv: {{ {', '.join(given)} }}\n", 1)
    if place.environment:
        text = _ENVIRONMENT.sub(
            lambda found: f"{found[1]}-{place.environment}" if found[1] else f"{found[2]} {place.environment}", text
        )
        text = _GROUP.sub(lambda found: f"{found[1]}{found[2]}-{place.environment}", text)
    return text


def _of_gitlab(place: Place) -> str:
    repository, _, commit = place.uses.partition("@")
    text = shipped("gitlab-ci.yml").replace("OWNER/reconciler", repository).replace("@COMMIT", f"@{commit}")
    inputs = {"environment": place.environment, "folder": place.folder if place.folder != "." else None}
    if place.environment:
        inputs["group"] = f"reconciler-state-{place.environment}"
    lines = "".join(f"      {name}: {_quoted(value)}\n" for name, value in inputs.items() if value)
    return text.replace("    inputs:\n", f"    inputs:\n{lines}")


def _quoted(value: str) -> str:
    return value if re.fullmatch(r"[A-Za-z][\w./-]*", value) else f'"{value}"'
