"""The configuration: flag > environment > file > default, each key checked, every mistake named with its place.

Shell: reads reconciler.yaml and the environment. Credentials come from the environment only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from reconciler.config.urls import REGIONS, base_url_of, checked_url, is_loopback, token_url_of
from reconciler.errors import ConfigError

FILE_NAME: Final = "reconciler.yaml"
PREFIX: Final = "RECONCILER_"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_OTHER_VARIABLES: Final = frozenset(
    {"ENV", "CLIENT_ID", "CLIENT_SECRET", "ACCESS_TOKEN", "JOB_URL", "COMMIT", "LIVE", "SANDBOX_FAULTS"}
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting, checked. `folder` is what names and places are shown relative to."""

    folder: Path
    interactions: Path
    state: Path
    environment: str | None = None
    region: str | None = None
    base_url: str | None = None
    token_url: str | None = None
    account: str | None = None
    sensitive: frozenset[str] = frozenset({"clid", "interactionproperty"})
    linkeddata_types: frozenset[str] = frozenset()
    max_release_percent: int = 30
    max_releases: int | None = None
    max_dispatches: int | None = None
    release_attempts: int = 3
    on_unknown: str = "resend"
    resend_within: timedelta = timedelta(hours=24)
    parallelism: int = 4
    timeout: float = 30.0
    request_bytes: int = 100_000
    warnings: tuple[str, ...] = field(default=())


class _Wrong(ValueError):
    """A value that its key can't take; says what it can."""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Wrong("must be a text that is not empty")
    return value


def _choice(*choices: str) -> Any:
    def check(value: Any) -> str:
        if value not in choices:
            raise _Wrong(f"must be one of {', '.join(choices)}")
        return str(value)

    return check


def _whole(low: int, high: int) -> Any:
    def check(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}", value):
            value = int(value)
        if type(value) is not int or not low <= value <= high:
            raise _Wrong(f"must be a whole number from {low} to {high}")
        return value

    return check


def _seconds(value: Any) -> float:
    try:
        seconds = float(value) if type(value) in {int, float, str} else -1.0
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 3600:  # noqa: PLR2004  # an hour
        raise _Wrong("must be a number of seconds from above 0 to 3600")
    return seconds


def _duration(value: Any) -> timedelta:
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", value) if isinstance(value, str) else None
    if not match:
        raise _Wrong("must be a duration such as 90s, 30m, 24h or 7d")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _list(value: Any) -> frozenset[str]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise _Wrong("must be a list of texts (in a variable: separated by commas)")
    return frozenset(value)


_CHECKS: Final[Mapping[str, Any]] = {
    "region": _choice(*REGIONS),
    "base_url": _text,
    "token_url": _text,
    "account": _text,
    "interactions": _text,
    "state": _text,
    "sensitive": _list,
    "linkeddata_types": _list,
    "max_release_percent": _whole(0, 100),
    "max_releases": _whole(0, 10_000_000),
    "max_dispatches": _whole(0, 10_000_000),
    "release_attempts": _whole(0, 1_000),
    "on_unknown": _choice("resend", "hold"),
    "resend_within": _duration,
    "parallelism": _whole(1, 64),
    "timeout": _seconds,
    "request_bytes": _whole(1_000, 10_000_000),
}
_URLS: Final = frozenset({"base_url", "token_url"})
KEYS: Final = tuple(_CHECKS)


@dataclass(frozen=True, slots=True)
class _Value:
    """A checked value and where it came from; `source` starts its error messages. A higher `rank` is stronger."""

    value: Any
    source: str
    in_file: bool
    rank: int = 0


def configure(
    folder: Path,
    environ: Mapping[str, str],
    *,
    file: Path | None = None,
    environment: str | None = None,
    flags: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings; `flags` are those given on the command line, by key.

    Paths are relative to the file's folder, where there is a file, else to `folder`. Raises ConfigError.
    """
    path = file if file is not None else folder / FILE_NAME
    raw = _read_file(path, required=file is not None)
    base = path.parent if raw is not None else folder
    name = environment or environ.get(PREFIX + "ENV") or None
    layers = _layers(raw or {}, path, environ, name, flags or {})
    values = {key: replace(value, rank=rank) for rank, layer in enumerate(layers) for key, value in layer.items()}
    settings = {key: value.value for key, value in values.items()}
    _check_urls(values)
    default_state = f"reconciler.{name}.state.json" if name else "reconciler.state.json"
    paths = {
        "interactions": settings.pop("interactions", "interactions"),
        "state": settings.pop("state", default_state),
    }
    return Settings(
        folder=base,
        environment=name,
        warnings=tuple(_unknown_variables(environ)),
        interactions=_path(paths["interactions"], base, folder, values.get("interactions")),
        state=_path(paths["state"], base, folder, values.get("state")),
        **{**settings, **_urls(values)},
    )


def _path(text: str, base: Path, folder: Path, value: _Value | None) -> Path:
    """Return a path of the file relative to the file, one of a flag or variable relative to the working folder."""
    return (base if value is None or value.in_file else folder) / Path(text).expanduser()


def _layers(
    raw: dict[str, Any], path: Path, environ: Mapping[str, str], name: str | None, flags: Mapping[str, str]
) -> list[dict[str, _Value]]:
    """Return the layers from the weakest to the strongest."""
    variables = {key: environ[PREFIX + key.upper()] for key in KEYS if environ.get(PREFIX + key.upper())}
    environments = raw.pop("environments", None) or {}
    layers = [
        _checked(raw, f"{path}: ", in_file=True),
        _checked(_picked(environments, path, name), f"{path}: environments.{name}.", in_file=True),
        _checked(variables, PREFIX, in_file=False),
        _checked(dict(flags), "--", in_file=False),
    ]
    return [{key: replace(value, rank=rank) for key, value in layer.items()} for rank, layer in enumerate(layers)]


def _checked(raw: Mapping[str, Any], source: str, *, in_file: bool) -> dict[str, _Value]:
    values = {}
    for key, value in raw.items():
        shown = source + (key.upper() if source == PREFIX else key)
        if key not in _CHECKS:
            close = get_close_matches(key, KEYS, 1)
            hint = f"Did you mean {close[0]}?" if close else f"Known keys: {', '.join(KEYS)}, environments."
            raise ConfigError(f"{shown}: there is no such key", hint=hint)
        if value is None:
            continue
        try:
            values[key] = _Value(_CHECKS[key](value), shown, in_file)
        except _Wrong as wrong:
            raise ConfigError(f"{shown}: {wrong}") from None
    return values


def _picked(environments: Any, path: Path, name: str | None) -> dict[str, Any]:
    if not isinstance(environments, dict) or not all(isinstance(part, dict) for part in environments.values()):
        raise ConfigError(f"{path}: environments: must be a map of maps")
    for other, part in environments.items():
        _checked(part, f"{path}: environments.{other}.", in_file=True)
    if name is None:
        return {}
    if not _NAME.fullmatch(name):
        raise ConfigError(f"environment {name!r}: a name has letters, digits, - and _ only")
    if name not in environments and environments:
        raise ConfigError(f"environment {name!r} is not in {path}", hint=f"It has: {', '.join(environments)}.")
    return dict(environments.get(name, {}))


def _read_file(path: Path, *, required: bool) -> dict[str, Any] | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if required:
            raise ConfigError(f"{path}: there is no such file") from None
        return None
    except OSError as error:
        raise ConfigError(f"{path}: it can't be read: {error.strerror}") from error
    from reconciler.declarations import loader  # noqa: PLC0415  # the parsers are needed only where there is a file

    return loader.configuration(data, str(path))


def _check_urls(values: Mapping[str, _Value]) -> None:
    for key in _URLS & values.keys():
        checked_url(values[key].value, values[key].source, from_file=values[key].in_file)


def _urls(values: Mapping[str, _Value]) -> dict[str, str | None]:
    """Return both URLs: as given, else as the region or a loopback base URL imply.

    A base URL overrules a region that is set in a weaker layer; side by side, which one is meant can't be told.
    """
    region, base, token = (values.get(key) for key in ("region", "base_url", "token_url"))
    if base and region and base.value.rstrip("/") != base_url_of(region.value):
        if base.rank <= region.rank:
            raise ConfigError(
                f"{region.source} says {region.value}, but {base.source} says {base.value}",
                hint="Remove one of them: it can't be told which is meant.",
            )
        region = None
    base_url = base.value.rstrip("/") if base else base_url_of(region.value) if region else None
    token_url = token.value if token else token_url_of(region.value) if region else None
    if token_url is None and base_url and is_loopback(base_url):
        token_url = f"{base_url}/Auth/connect/token"
    return {"base_url": base_url, "token_url": token_url}


def _unknown_variables(environ: Mapping[str, str]) -> list[str]:
    known = {key.upper() for key in KEYS} | _OTHER_VARIABLES
    known |= {f"{name}_FILE" for name in ("CLIENT_ID", "CLIENT_SECRET", "ACCESS_TOKEN")}
    warnings = []
    for variable in sorted(environ):
        if variable.startswith(PREFIX) and variable.removeprefix(PREFIX) not in known:
            close = get_close_matches(variable.removeprefix(PREFIX), known, 1)
            warnings.append(f"{variable} is not a variable of reconciler" + (f"; {PREFIX}{close[0]}?" if close else ""))
    return warnings


def secret(environ: Mapping[str, str], name: str) -> str | None:
    """Return `RECONCILER_<NAME>`, or what the file `RECONCILER_<NAME>_FILE` holds; None where neither is set."""
    variable = PREFIX + name
    value, file = environ.get(variable), environ.get(variable + "_FILE")
    if value and file:
        raise ConfigError(f"{variable} and {variable}_FILE are both set", hint="Set one of them.")
    if file:
        try:
            value = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{variable}_FILE can't be read: {type(error).__name__}") from error
        if not value:
            raise ConfigError(f"{variable}_FILE is empty")
    if value and not (value.isascii() and value.isprintable()):
        raise ConfigError(f"{variable} holds characters that no credential has", hint="Look for a stray line break.")
    return value or None
