"""The documented formats, as tables of the docs: each is made from the one place where it is described."""

from __future__ import annotations

from reconciler.config.settings import ConfigurationFile, takes


def configuration_table() -> str:
    """Return the table of docs/configuration.md: each key, what it takes, its default, what it means."""
    rows = ["| key | takes | default | |", "|---|---|---|---|"]
    for key, schema in ConfigurationFile.model_json_schema()["properties"].items():
        default = schema["default"]
        usual = ", ".join(f"`{part}`" for part in (default if isinstance(default, list) else [default]) if part)
        rows.append(f"| `{key}` | {takes(key)} | {usual} | {schema['description']} |")
    return "\n".join(rows) + "\n"
