"""The race in one picture: seconds of each contender, on a logarithmic scale, as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from bench.race.contender import CHANGED, COLD
from bench.race.result import Case, Results

_STEPS = (COLD, CHANGED)
_OURS = "pixi-ship"
_LEFT, _WIDTH, _BAR, _GAP, _TOP = 210, 560, 16, 14, 30
_LEAST = 0.1  # seconds at the left end
_COLOURS = {True: "#1b6e53", False: "#9aa5b1"}


def picture(results: Results) -> str:
    """Bars by environment and step; ours have a colour of their own."""
    groups = list(_groups(results))
    most = max((wall for _, rows in groups for _, wall in rows), default=1.0)
    drawn: list[str] = []
    y = _TOP
    for title, rows in groups:
        drawn.append(f'<text x="0" y="{y + 12}" class="title">{escape(title)}</text>')
        y += _BAR + 6
        for name, wall in rows:
            drawn += _bar(name, wall, y, most)
            y += _BAR + 3
        y += _GAP
    width = _LEFT + _WIDTH + 70
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" width="{width}" '
        f'height="{y}" role="img" aria-label="Seconds of each contender">'
    )
    style = (
        "<style>text{font:12px sans-serif;fill:#222}.title{font-weight:bold}"
        "svg{background:#fff}</style>"
    )
    note = f'<text x="0" y="14">Seconds, logarithmic from {_LEAST}; shorter is better</text>'
    return "\n".join([head, style, note, *drawn, "</svg>\n"])


def _groups(results: Results) -> Iterator[tuple[str, Sequence[tuple[str, float]]]]:
    for environment in dict.fromkeys(case.environment for case in results.runs):
        for step in _STEPS:
            rows = [
                (case.contender, results.median(case, "wall") or 0.0)
                for case in results.runs
                if case == Case(environment, step, case.contender)
            ]
            if rows:
                yield f"{environment}: {step}", rows


def _bar(name: str, wall: float, y: int, most: float) -> Iterator[str]:
    length = _WIDTH * math.log(max(wall, _LEAST) / _LEAST) / math.log(most / _LEAST)
    colour = _COLOURS[name.startswith(_OURS)]
    yield f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>'
    yield f'<rect x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR}" fill="{colour}"/>'
    yield f'<text x="{_LEFT + length + 6:.1f}" y="{y + 12}">{wall:.1f}</text>'
