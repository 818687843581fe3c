"""Draws build/bench.json: what a run costs against the size of the library, as docs/cost.svg."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 640, 360, 60, 310, 20
_LINES = {
    ("library-sync", "first"): ("first run", "#c2410c", ""),
    ("library-sync", "1 %"): ("1 % changed", "#7c3aed", ""),
    ("library-sync", "no-op"): ("nothing changed", "#0f766e", ""),
    ("limit", "first"): ("first run, bare limit", "#c2410c", "4 4"),
    ("limit", "no-op"): ("nothing changed, bare limit", "#0f766e", "4 4"),
}
_SHARE = 0.68
"""Of the width is for the lines; their names stand beside them."""


def _svg(rows: list[dict[str, float | str]]) -> Iterator[str]:
    sizes = sorted({float(row["titles"]) for row in rows})
    ends = math.log10(sizes[0]), math.log10(sizes[-1])
    costs = [math.log10(float(row["cpu"])) for row in rows]
    low, high = math.floor(min(costs)), math.ceil(max(costs))

    def x(titles: float) -> float:
        part = (math.log10(titles) - ends[0]) / max(ends[1] - ends[0], 1)
        return _LEFT + part * (_WIDTH * _SHARE - _LEFT)

    def y(seconds: float) -> float:
        part = (math.log10(seconds) - low) / (high - low)
        return _BOTTOM - part * (_BOTTOM - _TOP)

    head = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    yield f'<svg {head} font-family="sans-serif" font-size="12" fill="#777">'
    yield "<title>CPU seconds of a run against the number of titles</title>"
    for power in range(low, high + 1):
        level = y(10.0**power)
        yield f'<path d="M{_LEFT} {level:.0f}H{_WIDTH * _SHARE:.0f}" stroke="#8884"/>'
        place = f'x="{_LEFT - 8}" y="{level + 4:.0f}" text-anchor="end"'
        yield f"<text {place}>{10.0**power:g} s</text>"
    for size in sizes:
        place = f'x="{x(size):.0f}" y="{_BOTTOM + 20}"'
        yield f'<text {place} text-anchor="middle">{size:,.0f}</text>'
    yield f'<text x="{_LEFT}" y="{_HEIGHT - 8}">titles; CPU seconds of the whole process</text>'
    for at, ((program, run), (name, colour, dashes)) in enumerate(_LINES.items()):
        line = [row for row in rows if (row["program"], row["run"]) == (program, run)]
        found = sorted((float(row["titles"]), float(row["cpu"])) for row in line)
        points = " ".join(f"{x(size):.1f},{y(cpu):.1f}" for size, cpu in found)
        style = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"'
        yield f'<polyline points="{points}" {style}/>'
        place = f'x="{_WIDTH * _SHARE + 12:.0f}" y="{_TOP + 30 + at * 22}"'
        mark = "- - " if dashes else "\u2014 "
        yield f'<text {place} fill="{colour}">{mark}{name}</text>'
    yield "</svg>"


def main() -> None:
    """Draw what the bench has measured last."""
    rows = json.loads((_ROOT / "build/bench.json").read_text(encoding="utf-8"))
    (_ROOT / "docs/cost.svg").write_text("\n".join([*_svg(rows), ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
