"""Draw the pictures of docs/scale.md: figures of tests/benchmarks/scale.py, as SVG for a light or a dark page."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10
from pathlib import Path
from typing import Any, NamedTuple

WIDTH, HEIGHT = 680, 330
LEFT, RIGHT, TOP, BOTTOM = 64, 140, 34, 60
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
"""The colours of Okabe and Ito, as those of `lab plot`; each is legible on white and on black."""

STYLE = """
text { font: 13px sans-serif; fill: #1c2733 }
.background { fill: white }
.grid { stroke: #d9d9d9; fill: none }
.line { fill: none; stroke-width: 2.5 }
@media (prefers-color-scheme: dark) {
text { fill: #dde4ec }
.background { fill: #16191d }
.grid { stroke: #3a424c }
}"""


WAITERS, RANGES = "processes that wait", "ranges that are held"
"""What the numbers below the pictures count."""


class Line(NamedTuple):
    """One line of a picture: its name, and its points."""

    name: str
    points: Sequence[tuple[float, float]]


def draw(found: dict[str, Any], folder: Path) -> None:
    """Write the pictures of these figures into the folder."""
    writers = [row for row in found["waiters"] if row["kind"] == "write"]
    readers = [row for row in found["waiters"] if row["kind"] == "read"]
    pictures = {
        "scale-requests": (
            "Processor time of a request by the processes that wait, us",
            by_lock(writers, "request_us"),
        ),
        "scale-readers": ("The unlock that wakes all readers, us", by_lock(readers, "unlock_us")),
        "scale-list": ("Reading /proc/locks while writers wait, ms", by_lock(writers, "list_ms")),
        "scale-ranges": (
            "Lock and unlock of a byte beside ranges that are held, us",
            [
                Line(f"{lock}, {whose}", [(row["held"], row["pair_us"]) for row in rows])
                for (lock, whose), rows in grouped(found["ranges"], "lock", "whose").items()
            ],
        ),
    }
    for name, (title, lines) in pictures.items():
        across = RANGES if name == "scale-ranges" else WAITERS
        (folder / f"{name}.svg").write_text(picture(title, across, lines))


def by_lock(rows: Sequence[dict[str, Any]], figure: str) -> list[Line]:
    return [
        Line(lock, [(row["waiters"], row[figure]) for row in own]) for (lock,), own in grouped(rows, "lock").items()
    ]


def grouped(rows: Sequence[dict[str, Any]], *names: str) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    found: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(row[name] for name in names), []).append(row)
    return found


def picture(title: str, counted: str, lines: Sequence[Line]) -> str:
    """Return a picture with both axes logarithmic: a straight line that rises by one square a square is O(n).

    Below the lower axis stands what is `counted`.
    """
    xs = [x for line in lines for x, _ in line.points]
    ys = [max(y, 1e-3) for line in lines for _, y in line.points]
    across, up = Axis(xs, LEFT, WIDTH - RIGHT), Axis(ys, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">',
        f"<style>{STYLE}\n</style>",
        f'<rect class="background" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text x="{LEFT}" y="20">{title}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 16}" text-anchor="middle">{counted}</text>',
    ]
    for value in across.ticks:
        x = across.at(value)
        parts.append(f'<path class="grid" d="M{x:.0f} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{x:.0f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{value:,.0f}</text>')
    for value in up.ticks:
        y = up.at(value)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.0f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.0f}" text-anchor="end">{value:,g}</text>')
    named_at = sorted((up.at(max(line.points[-1][1], 1e-3)), number) for number, line in enumerate(lines))
    places, lowest = dict[int, float](), 0.0
    for y, number in named_at:
        places[number] = lowest = max(y, lowest + 16)
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        points = [(across.at(x), up.at(max(y, 1e-3))) for x, y in line.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="line" stroke="{colour}" points="{path}"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>' for x, y in points]
        name_at = points[-1][0] + 16  # with a dot of its own: lines may lie on each other
        parts.append(f'<circle cx="{name_at:.0f}" cy="{places[number]:.0f}" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{name_at + 8:.0f}" y="{places[number] + 4:.0f}">{line.name}</text>')
    return "\n".join([*parts, "</svg>", ""])


class Axis:
    """A logarithmic axis between two places of the picture, from a power of ten to another."""

    def __init__(self, values: Sequence[float], first: float, last: float) -> None:
        self._low, high = floor(log10(min(values))), ceil(log10(max(values)))
        self._decades = max(1, high - self._low)
        self._first, self._last = first, last

    @property
    def ticks(self) -> list[float]:
        return [10.0 ** (self._low + number) for number in range(self._decades + 1)]

    def at(self, value: float) -> float:
        return self._first + (log10(value) - self._low) / self._decades * (self._last - self._first)
