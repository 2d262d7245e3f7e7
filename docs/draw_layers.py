"""Draw docs/layers.svg: the packages of lab/, with their layers, and which imports which.

    python -m docs.draw_layers

Of the imports those are drawn that no longer way through other packages already says (the transitive reduction).
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.sax.saxutils import escape

from docs.import_graph import Graph, circles, layers, package_graph

DRAWING = Path(__file__).with_name("layers.svg")
WIDTH, ROW, BOX, HEIGHT, TOP, ASIDE = 760, 66, 120, 36, 12, 50

STYLE = """
text { font: 14px sans-serif; text-anchor: middle; fill: #1c2733 }
.layer { font-size: 10px; fill: #6b7785 }
rect { fill: #eef4fb; stroke: #49688c }
path { fill: none; stroke: #8a9bb0 }
.background { fill: white; stroke: none }
"""


def without_circles(graph: Graph) -> Graph:
    """Return the graph. Raises ValueError, which names the packages, where some import each other in a circle."""
    for circle in circles(graph):
        among = [f"{name} imports {', '.join(sorted(graph[name] & {*circle}))}" for name in circle]
        raise ValueError(f"packages import each other in a circle: {'; '.join(among)}; remove one of these imports")
    return graph


def reduced(graph: Graph) -> Graph:
    """Return the graph without the edges that a longer path implies."""

    def reached(name: str) -> set[str]:
        return set().union(*({other} | reached(other) for other in graph[name]))

    return {
        name: {each for each in others if not any(each in reached(other) for other in others - {each})}
        for name, others in graph.items()
    }


def ranks(graph: Graph) -> dict[str, int]:
    """Return how far above the lowest package each is: one more than the highest that it imports."""

    def rank(name: str) -> int:
        return 1 + max((rank(other) for other in graph[name]), default=-1)

    return {name: rank(name) for name in graph}


def drawing() -> str:
    """Return the drawing as SVG, the highest package on top. Raises ValueError where packages import in a circle."""
    graph = without_circles(package_graph())
    rank = ranks(graph)
    rows = [[name for name in graph if rank[name] == each] for each in range(max(rank.values()), -1, -1)]
    layer = {name: number for number, names in enumerate(layers()) for name in names}
    places = {}
    for row, names in enumerate(rows):
        gap = (WIDTH - 2 * ASIDE) / len(names)
        # Every second row is moved aside, so that a line does not run through the boxes of the row between.
        aside = 2 * ASIDE * (row % 2)
        for at, name in enumerate(names):
            places[name] = (gap * (at + 0.5) + aside, TOP + row * ROW)
    height = TOP + len(rows) * ROW
    lines, boxes = [], []
    for name, others in reduced(graph).items():
        x, y = places[name]
        for other in sorted(others):
            to_x, to_y = places[other]
            bend = (to_y - y - HEIGHT) / 2
            lines.append(
                f'<path marker-end="url(#arrow)" d="M{x:.0f} {y + HEIGHT} C{x:.0f} {y + HEIGHT + bend:.0f} '
                f'{to_x:.0f} {to_y - bend:.0f} {to_x:.0f} {to_y - 3}"/>'
            )
        boxes += [
            f'<rect x="{x - BOX / 2:.0f}" y="{y}" width="{BOX}" height="{HEIGHT}" rx="6"/>',
            f'<text x="{x:.0f}" y="{y + 17}">{escape(name)}</text>',
            f'<text class="layer" x="{x:.0f}" y="{y + 30}">layer {layer[name]}</text>',
        ]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-label="The packages of the lab in their layers; each arrow is an import">'
    )
    arrow = (
        '<marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8"/></marker>'
    )
    background = f'<rect class="background" width="{WIDTH}" height="{height}"/>'
    return "\n".join([head, f"<style>{STYLE}</style>", arrow, background, *lines, *boxes, "</svg>", ""])


if __name__ == "__main__":
    try:
        DRAWING.write_text(drawing())
    except ValueError as error:
        sys.exit(str(error))
