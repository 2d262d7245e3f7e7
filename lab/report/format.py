"""Format figures, sentences and tables for readers, within the width of the output.

Times have two or three digits; those that are to be compared always have three. A table is defined once, by its
columns: for people it fits the width, for programs it has plain values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from textwrap import indent as indented
from typing import Generic, NamedTuple, TypeVar

from lab.analysis.statistics import one_in, plural, rate
from lab.errors import unknown
from lab.output import screen_width

__all__ = ["duration", "kib", "one_in", "plural", "rate", "side_by_side", "wrapped"]

MOST_WIDTH, LEAST_WIDTH = 100, 40
"""Sentences are folded at the width of the terminal, but neither wider nor narrower than this: both are hard to read.
"""

KEPT = "\0"
"""This character stands for a space at which no line is folded."""

TOGETHER = re.compile(r" %|(?<=\d) x \d|(?<=\d) (?:ns|us|ms|s|B|KiB|MiB)\b|`[^`\n]{1,40}`")
"""A figure and its unit, 2 x 3, and a short command, stay on one line."""

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

    width = width or min(table_width(), MOST_WIDTH)
    further = " " * (len(first) if indent is None else indent)
    fold = TextWrapper(width, first, further, break_long_words=False, break_on_hyphens=False)
    return fold.fill(TOGETHER.sub(lambda found: found[0].replace(" ", KEPT), text)).replace(KEPT, " ") or first.rstrip()


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
MARKDOWN = "github"
DATA_FORMATS = {"csv": ",", "tsv": "\t"}
"""Formats for programs, with their separators: a row of names, then plain values."""


class Style(NamedTuple):
    """How a report is shown: the format of its tables, with all columns or only the important ones, with costs.

    Costs are further tables in the report of a race.
    """

    format: str = DEFAULT_FORMAT
    wide: bool = False
    cost: bool = False

    @property
    def is_for_people(self) -> bool:
        """Return True where the whole report is shown; other formats have its table alone."""
        return self.format == DEFAULT_FORMAT


PLAIN = Style()


def check_format(name: str) -> None:
    """Raise UsageError, with the nearest name, for a format that neither tabulate nor the lab has.

    The default format is not looked up: tabulate imports threading and random, which would slow down every fork.
    """
    if name == DEFAULT_FORMAT:
        return
    from tabulate import tabulate_formats

    known = list(dict.fromkeys([*tabulate_formats, *DATA_FORMATS]))
    if name not in known:
        raise unknown("format", name, known)


Row = TypeVar("Row")
Value = str | int | float | None
"""A plain value; None is an empty cell."""


def table_width() -> int:
    """Return the columns of the output that a table may use: all of the terminal's, unless that is very narrow."""
    return max(LEAST_WIDTH, screen_width())


GAP = 2
"""So many columns of the output lie between two of a table."""


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """One column of a table.

    `text` makes its cell for people. `data` has the columns that it is for programs, none or several: the name, with
    its unit, and what makes the plain value. A column without a title is for programs alone. A `wide` one is shown
    where there is room, or where the user asks for all. `fold` allows cells of several lines, down to so many columns
    of the output. A table that is still too wide is shown in parts, which all begin with the `key` columns.
    """

    title: str
    text: Callable[[Row], str] = str
    data: Mapping[str, Callable[[Row], Value]] = field(default_factory=dict)
    wide: bool = False
    left: bool = False
    key: bool = False
    fold: int = 0


@dataclass(frozen=True, slots=True)
class Table(Generic[Row]):
    """A table: its columns, and the records that its rows show.

    Each column is at least `padding` wider than its header, and people see each line behind an `indent`.
    """

    columns: Sequence[Column[Row]]
    rows: Sequence[Row]
    padding: int = 0
    indent: int = 0

    def render(self, style: Style = PLAIN) -> str:
        """Return the table; for people within the width of the output, where its words allow it."""
        if style.format in DATA_FORMATS:
            return _separated([list(self.names()), *self.values()], DATA_FORMATS[style.format])
        shown = self.shown(style)
        if not style.is_for_people:
            cells = [[column.text(row) for column in shown] for row in self.rows]
            return grid([column.title for column in shown], cells, _aligned(shown), style.format)
        return indented("\n\n".join(self._part(part) for part in self._parts(shown)), " " * self.indent)

    def names(self) -> list[str]:
        """Return the names of the columns for programs."""
        return [name for column in self.columns for name in column.data]

    def values(self) -> list[list[Value]]:
        """Return the rows for programs: plain numbers and texts, None where there is no value."""
        makers = [make for column in self.columns for make in column.data.values()]
        return [[_rounded(make(row)) for make in makers] for row in self.rows]

    def shown(self, style: Style = PLAIN) -> list[Column[Row]]:
        """Return the columns that people see: the important ones, and of the wide ones as many as there is room for."""
        titled = [column for column in self.columns if column.title or column.key]
        if style.wide:
            return titled
        chosen = [column for column in titled if not column.wide]
        if not style.is_for_people:
            return chosen
        for column in (each for each in titled if each.wide):
            more = [each for each in titled if each in chosen or each is column]
            if _total([self._natural(each) for each in more]) > self._room():
                break
            chosen = more
        return chosen

    def _room(self) -> int:
        """Return the columns of the output that the table has."""
        return table_width() - self.indent

    def _natural(self, column: Column[Row]) -> int:
        """Return how wide a column is that is not folded."""
        return max(_longest(column.title) + self.padding, *(_longest(column.text(row)) for row in self.rows), 0)

    def _least(self, column: Column[Row]) -> int:
        """Return how narrow a column can be: no narrower than its longest part that is not cut."""
        if not column.fold:
            return self._natural(column)
        words = (part.strip() for row in self.rows for part in PART.findall(column.text(row)))
        return min(self._natural(column), max(column.fold, _longest(column.title) + self.padding, *map(len, words)))

    def _parts(self, shown: Sequence[Column[Row]]) -> list[list[Column[Row]]]:
        """Deal out the columns to as many tables as are needed; each begins with the key columns."""
        if _total([self._least(each) for each in shown]) <= self._room():
            return [list(shown)]
        keys = [column for column in shown if column.key]
        short = _total([self._natural(each) for each in keys]) <= self._room() // 2
        begun = [self._natural(each) if short else self._least(each) for each in keys]
        parts, part, widths = [], keys, begun
        for column in (each for each in shown if not each.key):
            if part != keys and _total([*widths, self._least(column)]) > self._room():
                parts.append(part)
                part, widths = keys, begun
            part, widths = [*part, column], [*widths, self._least(column)]
        return [*parts, part]

    def _part(self, columns: Sequence[Column[Row]]) -> str:
        """Return one table, folded where that makes it fit."""
        widths, least = [self._natural(each) for each in columns], [self._least(each) for each in columns]
        while _total(widths) > self._room() and widths != least:
            widest = max((at for at in range(len(widths)) if widths[at] > least[at]), key=lambda at: widths[at])
            widths[widest] -= 1
        cells = [
            [folded(column.text(row), width) for column, width in zip(columns, widths, strict=True)]
            for row in self.rows
        ]
        return grid([column.title for column in columns], cells, _aligned(columns), padding=self.padding)


def _rounded(value: Value) -> Value:
    """Return a number without the digits that only the arithmetic has added: 0.3 for 0.30000000000000004."""
    return float(f"{value:.12g}") if isinstance(value, float) else value


PART = re.compile(r"[^\s:/_.-]*(?:[:/_.-]+|\s+|$)")
"""A name may be cut behind each of these: my_module:my_lock."""


def folded(text: str, width: int) -> str:
    """Return a cell in lines of at most this width; a word that is longer is cut behind a sign in it."""
    if all(len(word) <= width for word in text.split()):
        return wrapped(text, width=width)
    lines = [""]
    for part in PART.findall(text):
        if lines[-1] and len(lines[-1]) + len(part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _longest(text: str) -> int:
    return max(map(len, text.split("\n")))


def _aligned(columns: Sequence[Column[Row]]) -> list[str]:
    return ["left" if column.left else "right" for column in columns]


NAMES = frozenset({"scenario", "lock", "backing", "access", "verdict"})


def table(head: Sequence[str], rows: list[list[str]], style: Style, *, left: Collection[str] = NAMES) -> str:
    """Return a table: columns with titles in `left` are aligned left, figures right.

    Figures are text already and are not parsed again.
    """
    if style.format in DATA_FORMATS:
        return _separated([head, *rows], DATA_FORMATS[style.format])
    align = ["left" if title in left else "right" for title in head]
    return grid(head, rows, align, style.format)


def grid(
    head: Sequence[str], rows: list[list[str]], align: Sequence[str], style: str = DEFAULT_FORMAT, padding: int = 0
) -> str:
    """Return a table with each column aligned as given, and at least so much wider than its header."""
    import tabulate  # slow to import, and not for a process that forks

    tabulate.MIN_PADDING = padding
    aligned = align if rows else None
    return tabulate.tabulate(rows, headers=list(head), tablefmt=style, disable_numparse=True, colalign=aligned)


def _separated(rows: Sequence[Sequence[Value]], separator: str) -> str:
    """Return separated values as in RFC 4180: a cell that holds the separator is quoted."""
    import csv
    from io import StringIO

    lines = StringIO()
    csv.writer(lines, delimiter=separator, lineterminator="\n").writerows(rows)
    return lines.getvalue().rstrip("\n")
