"""What the configuration says about declarations. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DeclarationRules:
    """What the configuration says about declarations.

    `sensitive` holds types (or `type:key`) whose values aren't shown, `linkeddata_types` further allowed types,
    `request_bytes` the size of the largest Invocation.
    """

    sensitive: frozenset[str]
    linkeddata_types: frozenset[str]
    request_bytes: int
