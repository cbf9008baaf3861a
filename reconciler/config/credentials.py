"""Credentials, which come from the environment only. Shell: reads the files that `…_FILE` variables name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from reconciler.config.layers import PREFIX
from reconciler.endless import read_bytes
from reconciler.errors import ConfigError


def secret(environ: Mapping[str, str], name: str) -> str | None:
    """Return `RECONCILER_<NAME>`, or what the file `RECONCILER_<NAME>_FILE` holds; None where neither is set."""
    variable = PREFIX + name
    value, file = environ.get(variable), environ.get(variable + "_FILE")
    if value and file:
        raise ConfigError(f"{variable} and {variable}_FILE are both set", hint="Set one of them.")
    if file:
        try:
            value = read_bytes(Path(file)).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{variable}_FILE can't be read: {type(error).__name__}") from error
        if not value:
            raise ConfigError(f"{variable}_FILE is empty")
    if value and not (value.isascii() and value.isprintable()):
        raise ConfigError(f"{variable} holds characters that no credential has", hint="Look for a stray line break.")
    return value or None
