"""Put the pictures of a document on one sheet: choose them, and add their headings, legends and small print."""

from __future__ import annotations

import warnings
from io import BytesIO
from typing import Any

from matplotlib.figure import Figure, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from lab.records import Bench, Document, LockCost, Run
from lab.report.format import plural

from .bytes import bytes_by_writer
from .holds import holds, waits
from .scaling import scaling
from .style import WIDTH, Panel, Picture, drawing, words

Drawable = Bench | Run
"""The documents that have something to draw."""

UNDATED: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
"""By kind of file, the metadata that are left out because they would make two files of the same run differ."""

_HEADING_WIDTH = 66
"""A heading has so many characters, so that it ends before the legend."""
_HEAD, _FOOT = 0.6, 0.4
"""The inches for a heading and for the small print."""


def pictures(document: Drawable, *, every: bool = True) -> dict[str, Picture]:
    """Return what can be drawn of a document, by name: of `every` case, or only of those with the most workers."""
    found: dict[str, Picture | None] = {}
    if isinstance(document, Bench):
        found["scaling"] = scaling(document)
        found["waits"] = waits(document, every=every)
    found["holds"] = holds(document, every=every)
    if isinstance(document, Run):
        found["bytes"] = bytes_by_writer(document, every=every)
    return {name: picture for name, picture in found.items() if picture}


def left_out(document: Document) -> list[str]:
    """Return a line for each case that is in no picture, with the reason."""
    costs: list[LockCost] = document.locks if isinstance(document, Bench) else []
    return [f"{cost.name}: left out: {cost.reason}" for cost in costs if cost.reason]


def draw(document: Drawable, chosen: list[Picture], kind: str) -> bytes:
    """Draw the pictures one below the other, as a file of this kind: the same bytes for the same document."""
    content = BytesIO()
    with drawing(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from")  # shown as boxes in names
        sheet(document, chosen).savefig(content, format=kind, metadata=UNDATED[kind])
    return content.getvalue()


def sheet(document: Drawable, chosen: list[Picture]) -> Figure:
    """Return the figure: a part for each picture, and the small print below."""
    heights = [*map(_height, chosen), _FOOT]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    for part, picture in zip(parts, chosen, strict=False):
        _fill(part, picture)
    parts[-1].text(0.01, 0.5, small_print(document), fontsize=9, color="#555555", va="center", parse_math=False)
    return figure


def small_print(document: Drawable) -> str:
    """Return where and when it was measured."""
    where = document.environment
    parts = [where.kernel, where.machine, where.cpu, plural(where.cpus_allowed, "CPU"), where.filesystems, where.python]
    parts += [f"lab {where.lab} ({where.recorder})", document.started.partition("T")[0]]
    return words(" | ".join(parts), 170)


def _height(picture: Picture) -> float:
    panels = sum(max(panel.height for panel in row) for row in _rows(picture))
    return _HEAD * (1 + _heading(picture).count("\n")) + panels


def _heading(picture: Picture) -> str:
    return words(picture.heading, _HEADING_WIDTH)


def _rows(picture: Picture) -> list[list[Panel]]:
    panels, columns = picture.panels, picture.columns
    return [panels[at : at + columns] for at in range(0, len(panels), columns)]


def _fill(part: SubFigure, picture: Picture) -> None:
    rows = _rows(picture)
    part.suptitle(_heading(picture), x=0.01, ha="left", fontsize=14, fontweight="bold")
    heights = [max(panel.height for panel in row) for row in rows]
    grid = part.subplots(
        len(rows), picture.columns, squeeze=False, sharey=picture.shared, gridspec_kw={"height_ratios": heights}
    ).flatten()
    for axes, panel in zip(grid, picture.panels, strict=False):
        panel.draw(axes)
        axes.set_title(panel.title, loc="left")
    for axes in grid[len(picture.panels) :]:
        axes.remove()
    _legend(part)


def _legend(part: SubFigure) -> None:
    """Draw one legend for all panels: what has the same name looks the same in each."""
    named = {}
    for axes in part.axes:
        named.update({label: handle for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)})
    if named:
        part.legend(list(named.values()), list(named), loc="outside right upper", frameon=False, handlelength=4)
