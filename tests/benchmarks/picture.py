"""Cost against n as an SVG, both axes logarithmic; written by hand, for it needs no more than lines and words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

Points = Sequence[tuple[int, float]]

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 760, 440, 70, 20, 200, 50
_COLOURS: Final = ("#1f77b4", "#2ca02c", "#7f7f7f", "#d62728", "#ff7f0e", "#9467bd", "#8c564b")


def svg(curves: Mapping[str, Points]) -> str:
    """Return the picture; a curve's points are (n, seconds)."""
    every = [point for points in curves.values() for point in points]
    return "\n".join([*_lines(curves, _Scale([n for n, _ in every], [s for _, s in every])), ""])


class _Scale:
    """From n and seconds to places in the picture."""

    def __init__(self, ns: Sequence[float], seconds: Sequence[float]) -> None:
        self.ns = range(math.floor(math.log10(min(ns))), math.ceil(math.log10(max(ns))) + 1)
        self.seconds = range(math.floor(math.log10(min(seconds))), math.ceil(math.log10(max(seconds))) + 1)

    def x(self, n: float) -> float:
        span = self.ns[-1] - self.ns[0]
        return round(_LEFT + (math.log10(n) - self.ns[0]) / span * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, seconds: float) -> float:
        span = self.seconds[-1] - self.seconds[0]
        return round(_HEIGHT - _BOTTOM - (math.log10(seconds) - self.seconds[0]) / span * (_HEIGHT - _TOP - _BOTTOM), 1)


def _lines(curves: Mapping[str, Points], scale: _Scale) -> Iterator[str]:
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>'
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    for power in scale.ns:
        x = scale.x(10.0**power)
        yield f'<line x1="{x}" y1="{_TOP}" x2="{x}" y2="{bottom}" stroke="#ddd"/>'
        yield f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{10**power:,}</text>'
    for power in scale.seconds:
        y = scale.y(10.0**power)
        yield f'<line x1="{_LEFT}" y1="{y}" x2="{right}" y2="{y}" stroke="#ddd"/>'
        yield f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{10.0**power:g} s</text>'
    middle, words = (_LEFT + right) / 2, "interactions (files, records, resources)"
    yield f'<text x="{middle}" y="{_HEIGHT - 10}" text-anchor="middle">{words}</text>'
    ends: list[float] = []
    for (name, points), colour in zip(curves.items(), _COLOURS, strict=False):
        places = [(scale.x(n), scale.y(seconds)) for n, seconds in points]
        line = " ".join(f"{x},{y}" for x, y in places)
        yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield from (f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places)
        at = places[-1][1]
        while any(abs(at - other) < 14 for other in ends):
            at += 14
        ends.append(at)
        yield f'<text x="{right + 8}" y="{at + 4}" fill="{colour}">{name}</text>'
    yield "</svg>"
