"""Define what all pictures have in common: colours, marks, sizes of text, and how times and names are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from textwrap import wrap
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from lab.host.environment import anonymous_text
from lab.report.format import unit_of

Line = str | tuple[int, tuple[int, ...]]
"""The type of matplotlib's names for a line's style."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#7F7F7F")
"""The colours of Okabe and Ito, which colour-blind readers can distinguish (https://jfly.uni-koeln.de/color/).

Grey replaces their yellow, which is hard to see on white.
"""
MARKS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "*")
LINES: tuple[Line, ...] = ("-", "--", ":", "-.", (0, (8, 2)), (0, (4, 1, 1, 1, 1, 1)))
GRID = "#D9D9D9"
WIDTH = 12.0
"""The width of every picture, in inches; the text has 11 points and more, so that it can be read on a slide."""

_SETTINGS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 12,
    "axes.titlesize": 12,
    "axes.labelsize": 12,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "legend.fontsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "lines.linewidth": 2,
    "lines.markersize": 7,
    "text.parse_math": False,
    "svg.hashsalt": "lab",
    "savefig.dpi": 150,
}
_FOLDERS = re.compile(r"(?<!\S)[~.]*/(?=[^\s/])(?:[^/,:]+/)*")


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes: its title, its height in inches, and the function that draws on it."""

    title: str
    height: float
    draw: Callable[[Axes], None]


@dataclass(frozen=True, slots=True)
class Picture:
    """Panels under one heading, in so many columns; `shared` panels have the same time axis, to be compared."""

    heading: str
    panels: list[Panel]
    columns: int = 1
    shared: bool = False


class Look(NamedTuple):
    """The look that distinguishes one line from the others: its colour and mark, and the line's style.

    The marks of variants are hollow. Earlier locks are wider, so that they stay visible below others of the same
    course.
    """

    color: str
    marker: str
    linestyle: Line
    linewidth: float
    markersize: float
    markerfacecolor: str


@contextmanager
def drawing() -> Iterator[None]:
    """Apply the settings of all pictures, whatever the user's own are (matplotlibrc); restore those afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def looks(series: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Look]:
    """Return a look for each lock and variant: locks differ in colour and mark, variants in the line's style."""
    found = list(dict.fromkeys(series))
    locks = list(dict.fromkeys(lock for lock, _ in found))
    variants = list(dict.fromkeys(variant for _, variant in found))
    return {each: _look(locks.index(each[0]), variants.index(each[1]), len(locks)) for each in found}


def _look(lock: int, variant: int, locks: int) -> Look:
    above = 1 - lock / max(1, locks - 1)
    colour = COLOURS[lock % len(COLOURS)]
    return Look(
        color=colour,
        marker=MARKS[lock % len(MARKS)],
        linestyle=LINES[variant % len(LINES)],
        linewidth=1.5 + 1.5 * above,
        markersize=6 + 3 * above,
        markerfacecolor="white" if variant else colour,
    )


def words(text: str, width: int) -> str:
    """Fold a name or a title at so many characters, without folders and unprintable characters."""
    short = _FOLDERS.sub("", anonymous_text(text))
    plain = "".join(each if each.isprintable() else "?" for each in short)
    return "\n".join(wrap(plain, width)) or "?"


def time_ticks(ns: float, _place: object = None) -> str:
    """Write a time on an axis: 500 ns, 2 us, 10 ms."""
    scale, unit = unit_of(ns)
    return f"{ns / scale:g} {unit}"


def count_ticks(count: float, _place: object = None) -> str:
    """Write a number on an axis, with its thousands: 200,000."""
    return f"{count:,.0f}" if count >= 1 or not count else f"{count:g}"


TIME = FuncFormatter(time_ticks)
COUNT = FuncFormatter(count_ticks)
