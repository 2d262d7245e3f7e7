"""Draw which worker stored each byte at the end of a damaged trial: a heat map with one row for each worker."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lab.analysis.lost_updates import NOBODY, Origin, origins
from lab.records import Case, Run
from lab.report.format import plural
from lab.report.page.problems import Problem, Story

from .holds import TITLE_WIDTH, lane_name
from .style import COUNT, Panel, Picture, words

CELLS = 256
"""A row has at most so many cells; in a longer stretch of a file a cell has several bytes."""
UNSTORED, UNKNOWN = -2, -1
WRONG = "#D55E00"


@dataclass(frozen=True, slots=True)
class Left:
    """The bytes that the workers left in one file, from the first to the last byte that was stored to.

    `shares` has a row for each of the `lanes`, workers or UNKNOWN, and a column for each cell: the share of the bytes
    stored there that this worker stored last, empty where there is none. `wrong` are the cells with bytes of which
    something went wrong.
    """

    title: str
    workers: int
    start: int
    cell: int
    lanes: list[int]
    shares: NDArray[np.float64]
    wrong: list[int]


def bytes_by_writer(run: Run, *, every: bool = True) -> Picture | None:
    """Draw a panel for each case whose recorded trial was damaged and whose whole file is known.

    Unless `every` is set, only the cases with the most workers are drawn. Return None where there is no such case.
    """
    found = [left for case in run.cases if (left := left_by(case))]
    most = max((left.workers for left in found), default=0)
    panels = [_panel(left) for left in found if every or left.workers == most]
    return Picture("Whose bytes lie where in the end, in damaged trials", panels) if panels else None


def left_by(case: Case) -> Left | None:
    """Return what the workers of a case's recorded trial left, where it was damaged; None where it is not known."""
    recording = case.recording
    if recording is None or not recording.damage:
        return None
    story = Story(recording, case.workers)
    found = list(origins(story.accesses, story.images[1])) if story.images else []
    if not found:
        return None
    start, end = found[0].start, found[-1].end
    cell = -(-(end - start) // CELLS)
    owners = _owners(found, [access.worker for access in story.accesses], start, end)
    lanes = sorted({*range(case.workers), *map(int, np.unique(owners))} - {UNSTORED}, key=lambda lane: (lane < 0, lane))
    damage = ", ".join(f"{each.kind} {each.count:,} of {each.of:,}" for each in recording.damage)
    return Left(
        title=f"{case.scenario}, {case.lock}, {plural(case.workers, 'worker')}: {damage}",
        workers=case.workers,
        start=start,
        cell=cell,
        lanes=lanes,
        shares=_shares(owners, lanes, cell),
        wrong=_wrong(story.problems(), start, end, cell),
    )


def _owners(found: list[Origin], writers: list[int], start: int, end: int) -> NDArray[np.int64]:
    """Return for each byte the worker that stored it last; UNKNOWN where the byte is not the one that was stored."""
    owners = np.full(end - start, UNSTORED)
    for each in found:
        known = each.agrees and each.store != NOBODY
        owners[each.start - start : each.end - start] = writers[each.store] if known else UNKNOWN
    return owners


def _shares(owners: NDArray[np.int64], lanes: list[int], cell: int) -> NDArray[np.float64]:
    cuts = np.arange(0, len(owners), cell)
    theirs = np.array([np.add.reduceat(owners == lane, cuts, dtype=np.int64) for lane in lanes], dtype=np.float64)
    stored = np.maximum(1, theirs.sum(axis=0))
    shares: NDArray[np.float64] = np.where(theirs > 0, theirs / stored, np.nan)
    return shares


def _wrong(problems: list[Problem], start: int, end: int, cell: int) -> list[int]:
    found: set[int] = set()
    for each in problems:
        first, last = max(each.start, start), min(each.end, end)
        found.update(range((first - start) // cell, -((start - last) // cell)))
    return sorted(found)


def _panel(left: Left) -> Panel:
    title = words(left.title, TITLE_WIDTH[1])
    return Panel(title, 0.95 + 0.24 * max(3, 1 + len(left.lanes)) + 0.2 * title.count("\n"), partial(_draw, left=left))


def _draw(axes: Axes, left: Left) -> None:
    rows, cells = left.shares.shape
    first, last = left.start - 0.5, left.start + cells * left.cell - 0.5
    image = axes.imshow(
        left.shares, cmap="cividis_r", vmin=0, vmax=1, aspect="auto", interpolation="nearest",
        extent=(first, last, rows - 0.5, -0.5),
    )  # fmt: skip
    names = ["unknown" if lane == UNKNOWN else lane_name(lane, left.workers) for lane in left.lanes]
    axes.set_yticks(range(rows), names)
    if left.wrong:
        _mark(axes, left, first)
        axes.set_yticks(range(-1, rows), ["went wrong", *names])
    axes.set_ylim(rows - 0.5, -1.6 if left.wrong else -0.5)
    axes.grid(visible=False)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True))
    axes.xaxis.set_major_formatter(COUNT)
    axes.set_xlabel(f"byte of the file (a cell is {plural(left.cell, 'byte')})")
    bar = axes.figure.colorbar(image, ax=axes, ticks=[0, 0.5, 1], label="share\nof a cell", pad=0.01)
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"])


def _mark(axes: Axes, left: Left, first: float) -> None:
    """Mark above the rows the cells of which something went wrong."""
    runs = [[at for _, at in run] for _, run in groupby(enumerate(left.wrong), key=lambda pair: pair[1] - pair[0])]
    spans = [(first + run[0] * left.cell, len(run) * left.cell) for run in runs]
    axes.broken_barh(spans, (-1.4, 0.7), facecolor=WRONG, edgecolor="white", linewidth=0, hatch="///")
