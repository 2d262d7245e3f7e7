"""Format figures and tables for readers.

Times have two or three digits; those that are to be compared always have three. Tables come in the formats that a user
may ask for.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import zip_longest

from lab.analysis.statistics import one_in, plural, rate
from lab.errors import unknown
from lab.output import screen_width

__all__ = ["duration", "kib", "one_in", "plural", "rate", "side_by_side", "wrapped"]

MOST_WIDTH, LEAST_WIDTH = 100, 40
"""Sentences are folded at the width of the terminal, but neither wider nor narrower than this: both are hard to read.
"""

KEPT = "\0"
"""This character stands for a space at which no line is folded."""

UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns"))


def unit_of(ns: float, share: float = 1.0) -> tuple[float, str]:
    """Return the largest unit of which a time has at least this share, in ns and by its name."""
    return next(((scale, unit) for scale, unit in UNITS if ns >= share * scale), UNITS[-1])


def duration(ns: float) -> str:
    """Return a time with its unit and two or three digits: 373 ns, 27.8 us, 7.1 ms."""
    scale, unit = unit_of(ns)
    digits = 1 if scale > 1 and ns < 100 * scale else 0
    return f"{ns / scale:.{digits}f} {unit}"


def kib(size: int | None) -> str:
    """Return a number of bytes in KiB."""
    return "-" if size is None else f"{size // 1024:,}"


def wrapped(text: str, first: str = "", *, indent: int | None = None, width: int | None = None) -> str:
    """Fold text behind `first` between words; further lines align with its beginning, or are indented.

    Without a width, text is folded for the terminal.
    """
    from textwrap import TextWrapper

    width = width or max(LEAST_WIDTH, min(screen_width(), MOST_WIDTH))

    further = " " * (len(first) if indent is None else indent)
    fold = TextWrapper(width, first, further, break_long_words=False, break_on_hyphens=False)
    return fold.fill(text.replace(" %", f"{KEPT}%")).replace(KEPT, " ") or first.rstrip()


def side_by_side(*cells: tuple[str, int]) -> str:
    """Return texts beside each other, each folded at its own width."""
    columns = [wrapped(text, width=width).splitlines() for text, width in cells]
    rows = zip_longest(*columns, fillvalue="")
    widths = [width for _, width in cells]
    return "\n".join(
        "  ".join(f"{line:{width}}" for line, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


ROUNDED = 0.9995
"""From this share of a unit on, three digits round to it."""


def fine(ns: float) -> str:
    """Return a time with three digits and its unit: 786 ns, 1.23 us, 27.1 us, 254 us."""
    return " ".join(_scaled(ns, *unit_of(ns, ROUNDED)))


def interval(low: float, high: float) -> str:
    """Return two times in the unit of the larger."""
    unit = unit_of(high, ROUNDED)
    return f"{_scaled(low, *unit)[0]} to {' '.join(_scaled(high, *unit))}"


def _scaled(ns: float, scale: float, unit: str) -> tuple[str, str]:
    value = ns / scale
    digits = 0 if scale == 1 or value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:.{digits}f}", unit


DEFAULT_FORMAT = "simple"
DATA_FORMATS = {"csv": ","}
"""Formats that tabulate leaves to its caller, with their separators."""


def check_format(name: str) -> None:
    """Raise UsageError, with the nearest name, for a format that neither tabulate nor the lab has.

    The default format is not looked up: tabulate imports threading and random, which would slow down every fork.
    """
    if name == DEFAULT_FORMAT:
        return
    from tabulate import tabulate_formats

    known = [*tabulate_formats, *DATA_FORMATS]
    if name not in known:
        raise unknown("format", name, known)


NAMES = frozenset({"scenario", "lock", "backing", "access", "verdict"})


def table(head: Sequence[str], rows: list[list[str]], style: str, *, left: Collection[str] = NAMES) -> str:
    """Return a table: columns with titles in `left` are aligned left, figures right.

    Figures are text already and are not parsed again.
    """
    if style in DATA_FORMATS:
        return _separated([head, *rows], DATA_FORMATS[style])
    align = ["left" if title in left else "right" for title in head]
    return grid(head, rows, align, style)


def grid(
    head: Sequence[str], rows: list[list[str]], align: Sequence[str], style: str = DEFAULT_FORMAT, padding: int = 0
) -> str:
    """Return a table with each column aligned as given, and at least so much wider than its header."""
    import tabulate  # slow to import, and not for a process that forks

    tabulate.MIN_PADDING = padding
    aligned = align if rows else None
    return tabulate.tabulate(rows, headers=list(head), tablefmt=style, disable_numparse=True, colalign=aligned)


def _separated(rows: Sequence[Sequence[str]], separator: str) -> str:
    """Return separated values as in RFC 4180: a cell that holds the separator, as large numbers do, is quoted."""
    import csv
    from io import StringIO

    lines = StringIO()
    csv.writer(lines, delimiter=separator, lineterminator="\n").writerows(rows)
    return lines.getvalue().rstrip("\n")
