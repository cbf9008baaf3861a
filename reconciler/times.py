"""Times as they are written: UTC, ISO 8601, whole seconds, a trailing Z."""

from __future__ import annotations

from datetime import UTC, datetime


def stamp(when: datetime) -> str:
    """Return `2026-11-23T03:00:00Z` for an aware time."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
