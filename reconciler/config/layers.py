"""The settings of a run: flag > environment > file > default. Every mistake is named with its place, all in one run.

Shell: reads reconciler.yaml. Each source is checked whole by the one model, so that a mistake is found where it
stands, overruled or not. (pydantic-settings merges first and checks then: its errors name no source, and a wrong
value that is overruled passes. It takes `1_000` for a number, wants lists as JSON, and 35 ms to import.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from reconciler.config.settings import KEYS, TEXT, Configuration, ConfigurationFile, is_environment, keys_at, takes
from reconciler.config.urls import base_url_of, token_url_of
from reconciler.endless import read_bytes
from reconciler.errors import Complaint, ConfigError, Problem
from reconciler.escape import readable
from reconciler.loopback import is_loopback
from reconciler.state.stores.places import is_shared
from reconciler.yamlfile.document import Document
from reconciler.yamlfile.document import Path as At
from reconciler.yamlfile.reader import parse
from reconciler.yamlfile.scalars import describe, resolve

FILE_NAME: Final = "reconciler.yaml"
PREFIX: Final = "RECONCILER_"
_SECRETS: Final = ("CLIENT_ID", "CLIENT_SECRET", "ACCESS_TOKEN")
_OTHER_VARIABLES: Final = (
    *(name + form for name in _SECRETS for form in ("", "_FILE")),
    *("ENV", "JOB_URL", "COMMIT", "LIVE", "SANDBOX_FAULTS", "GIT_TOKEN", "GIT_USER", "FOLDER"),
)
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run goes by: the value of every key, and what follows from where it was set.

    `folder` is what names and places are shown relative to. The state is in a file, or, as text, in a place that
    several runners share.
    """

    keys: Configuration
    folder: Path
    interactions: Path
    state: Path | str
    environment: str | None
    base_url: str | None
    token_url: str | None
    warnings: tuple[str, ...]


class _Layer(NamedTuple):
    """What one source sets, where it sets each key, and what its paths are relative to."""

    values: Configuration
    place: Callable[[str], str]
    folder: Path


class _Source(NamedTuple):
    """What a source holds, the strongest layer last; or what is wrong with it."""

    layers: Sequence[_Layer] = ()
    problems: Sequence[Problem] = ()


def configure(
    folder: Path,
    environ: Mapping[str, str],
    *,
    file: Path | None = None,
    environment: str | None = None,
    flags: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings; `flags` are those given on the command line, by key. Raises ConfigError.

    Paths are relative to the file's folder, where there is a file, else to `folder`.
    """
    name = environment or environ.get(PREFIX + "ENV") or None
    if name and not is_environment(name):
        raise ConfigError(f"environment {readable(name)!r}: a name has letters, digits, - and _ only")
    path = file or folder / FILE_NAME
    document = _document(path, required=file is not None)
    base = path.parent if document else folder
    variables = {key: text for key in KEYS if (text := environ.get(PREFIX + key.upper()))}
    sources = [
        *([_of_file(document, path, name)] if document else []),
        _of_texts(variables, lambda key: PREFIX + key.upper(), folder),
        _of_texts(flags or {}, lambda key: f"--{key}", folder),
    ]
    if problems := sorted(problem for source in sources for problem in source.problems):
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise ConfigError(f"{count} in the configuration; nothing was sent.", problems=tuple(problems))
    layers = [_Layer(_defaults(name), str, base), *(layer for source in sources for layer in source.layers)]
    return _settings(layers, name, tuple(_unknown_variables(environ)))


def _settings(layers: Sequence[_Layer], name: str | None, warnings: tuple[str, ...]) -> Settings:
    """Return what the layers say, the last being the strongest."""
    set_by = {key: layer for layer in layers for key in layer.values.model_fields_set}
    keys = Configuration.model_construct(**{key: getattr(set_by[key].values, key) for key in KEYS if key in set_by})
    base_url, token_url = _urls(keys, layers, set_by)
    interactions = set_by["interactions"].folder / _path("interactions", keys.interactions)
    state = keys.state if is_shared(keys.state) else set_by["state"].folder / _path("state", keys.state)
    return Settings(
        keys,
        layers[0].folder,
        interactions,
        state,
        environment=name,
        base_url=base_url,
        token_url=token_url,
        warnings=warnings,
    )


def _path(key: str, text: str) -> Path:
    """Return the path that a text names: as bytes it is UTF-8, whatever the locale says."""
    path = Path(os.fsdecode(text.encode()))
    try:
        return path.expanduser()
    except RuntimeError:
        wrong = f"{key} {path}: the folder that ~ stands for isn't known"
        raise ConfigError(wrong, hint="Write the folder out, or ./~ for one of that name.") from None


def state_file(name: str | None) -> str:
    """Return what a state's file is called, unless it is said otherwise: each environment has its own."""
    usual = Configuration().state
    return usual.replace(".", f".{name}.", 1) if name else usual


def _defaults(name: str | None) -> Configuration:
    """Return what is relative to the file, and what has the environment's name, unless it is set."""
    usual = Configuration()
    return Configuration(interactions=usual.interactions, state=state_file(name))


def _urls(keys: Configuration, layers: Sequence[_Layer], set_by: Mapping[str, _Layer]) -> tuple[str | None, str | None]:
    """Return both URLs: as given, else as the region or a loopback base URL imply.

    A base URL overrules a region that is set in a weaker layer; side by side, which one is meant can't be told.
    """
    region, base_url, token_url = keys.region, keys.base_url and keys.base_url.rstrip("/"), keys.token_url
    if base_url and region and base_url != base_url_of(region):
        by_region, by_url = set_by["region"], set_by["base_url"]
        if layers.index(by_url) <= layers.index(by_region):
            raise ConfigError(
                f"{by_region.place('region')} says {region}, but {by_url.place('base_url')} says {keys.base_url}",
                hint="Remove one of them: it can't be told which is meant.",
            )
        region = None
    if token_url is None and base_url and not region and is_loopback(base_url):
        token_url = f"{base_url}/Auth/connect/token"
    return base_url or (region and base_url_of(region)), token_url or (region and token_url_of(region))


# -- the sources -------------------------------------------------------------------------------------------------


def _document(path: Path, *, required: bool) -> Document | None:
    """Return what the file holds; None where there is no file that had to be there."""
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        if required:
            raise ConfigError(f"{path}: there is no such file") from None
        return None
    except OSError as error:
        raise ConfigError(f"{path}: it can't be read: {error.strerror}") from error
    parsed = parse(data, str(path))
    if parsed.problems:
        raise ConfigError(f"{path} can't be read", problems=tuple(sorted(parsed.problems)))
    if len(parsed.documents) > 1:
        raise ConfigError(f"{path} holds more than one document")
    (document,) = parsed.documents or parse(b"{}", str(path)).documents
    return document


def _of_file(document: Document, path: Path, name: str | None) -> _Source:
    """Return what the file sets, and what its part for the environment sets."""
    try:
        file = ConfigurationFile.model_validate({} if document.value is None else document.value)
    except ValidationError as error:
        return _Source(problems=[_problem(document, path, detail) for detail in error.errors()])
    if name and file.environments and name not in file.environments:
        close = get_close_matches(name, file.environments, 1)
        hint = f"Did you mean {close[0]}? " if close else ""
        hint += f"It has: {', '.join(file.environments)}. To set up another one"
        raise ConfigError(f"environment {name!r} is not in {path}", hint=hint, command=("init",))

    def layer(values: Configuration, *at: str) -> _Layer:
        return _Layer(values, lambda key: "{}:{}:{}".format(*_place(document, path, (*at, key))), path.parent)

    part = file.environments.get(name or "") or Configuration()
    return _Source([layer(file), layer(part, "environments", name or "")])


def _place(document: Document, path: Path, at: At, *, key: bool = False) -> tuple[str, int, int]:
    mark = document.mark(at, key=key)
    return str(path), mark.line + 1, mark.column + 1


def _problem(document: Document, path: Path, detail: ErrorDetails) -> Problem:
    is_key = detail["type"] == "extra_forbidden" or "[key]" in detail["loc"]
    at = (*(part for part in detail["loc"] if part != "[key]"), *detail.get("ctx", {}).get("at", ()))
    return Problem(*_place(document, path, at, key=is_key), *_complaint(detail))


def _of_texts(texts: Mapping[str, str], place: Callable[[str], str], folder: Path) -> _Source:
    """Return what variables or flags set: as bytes, both are UTF-8, whatever the locale says."""
    texts = {key: os.fsencode(text).decode(errors="surrogateescape") for key, text in texts.items()}
    try:
        return _Source([_Layer(Configuration.model_validate(texts, context=TEXT), place, folder)])
    except ValidationError as error:
        details = error.errors()
        return _Source(
            problems=[Problem(place(str(detail["loc"][0])), 0, 0, *_complaint(detail)) for detail in details]
        )


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    known = (*(key.upper() for key in KEYS), *_OTHER_VARIABLES)
    warnings = []
    for variable in sorted(environ):
        name = variable.removeprefix(PREFIX)
        if name != variable and name not in known:
            close = get_close_matches(name, known, 1)
            warnings.append(f"{variable} is not a variable of reconciler" + (f"; {PREFIX}{close[0]}?" if close else ""))
    return warnings


# -- what is wrong, in our words ---------------------------------------------------------------------------------


def _complaint(detail: ErrorDetails) -> Complaint:
    """Return code, message and hint. The value isn't shown: it may be a secret that got there by mistake."""
    kind, at, value = detail["type"], detail["loc"], detail["input"]
    name = ".".join(str(part) for part in at if part != "[key]") or "the file"
    if kind == "extra_forbidden":
        known = keys_at(*at[:-1])
        close = get_close_matches(str(at[-1])[:_SHOWN], known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known keys: {', '.join(known)}"
        return "unknown-key", f"{name}: there is no such key", hint
    if kind in {"url", "rule"}:
        return "url" if kind == "url" else "wrong-value", f"{name}: {detail['ctx']['why']}", detail["ctx"]["hint"]
    if kind == "missing":
        return "missing-field", f"{'.'.join(map(str, at[:-1]))} has no '{at[-1]}'", ""
    if "[key]" in at or kind == "string_unicode":
        said = " holds bytes that are not UTF-8" if "[key]" not in at else ": a name has letters, digits, - and _ only"
        return "wrong-value", f"{name}{said}", ""
    expected = "a map of keys to values" if kind == "model_type" else takes(*_key(at))
    if not kind.endswith(("_type", "_from_float")):
        return "wrong-value", f"{name} must be {expected}", ""
    return "wrong-type", f"{name} must be {expected}, this is {describe(value)}", _type_hint(expected, value)


def _key(at: At) -> At:
    """Return where the key is that a place is about, or an item of its list."""
    return at[: max(number for number, part in enumerate(at, 1) if isinstance(part, str))]


def _type_hint(expected: str, value: object) -> str:
    if "number" in expected and isinstance(value, str) and not isinstance(resolve(value or "x"), str):
        return "write it without quotes"
    return "write it as a list: `[a, b]`" if expected == "a list of texts" and isinstance(value, str) else ""
