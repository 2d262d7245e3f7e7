"""Write a benchmark of copying as a table with conclusions; `bench` writes a benchmark of locks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from lab.records import Bench, Copying
from lab.report.format import DATA_FORMATS, PLAIN, Column, Style, Table, duration, plural, wrapped

BASELINE = "call"
REFERENCE = "mapped"
UNSTEADY = 0.10
"""From this spread on, as a share of its median, a figure is called unsteady."""


def steadiness(spreads: Mapping[str, float], noun: str) -> Iterator[str]:
    """Yield a sentence where the spread of some is too large, with what to do; each is given by its name."""
    unsteady = {name: spread for name, spread in spreads.items() if spread >= UNSTEADY}
    if unsteady:
        worst = max(unsteady, key=lambda name: unsteady[name])
        yield (
            f"Unsteady: {len(unsteady)} of {plural(len(spreads), noun)} spread by 10 % of the median or more, most "
            f"{worst} ({100 * unsteady[worst]:.0f} %). Measure on a quieter machine, or longer: --seconds, --repeats."
        )


def text_of(run: Bench, style: Style = PLAIN) -> str:
    """Return the whole report; a format that is not for people gets only the table."""
    if style.format in DATA_FORMATS:
        return figures(run).render(style)
    table = by_size(run).render(style)
    if not style.is_for_people:
        return table
    return "\n\n".join([_heading(run), table, "\n".join(wrapped(line) for line in _conclusions(run))])


def complaints(run: Bench) -> list[str]:
    """Return a line for each backing that could not be measured."""
    return [f"{row.backing}: not measured: {row.reason}" for row in run.copying if row.reason]


def size(count: int) -> str:
    """Return a number of bytes in the largest unit that divides it: 64 B, 4 KiB, 1 MiB."""
    for unit, shift in (("MiB", 20), ("KiB", 10)):
        if count >= 1 << shift and not count % (1 << shift):
            return f"{count >> shift:,} {unit}"
    return f"{count:,} B"


def _heading(run: Bench) -> str:
    where = run.environment
    return wrapped(
        "copying out of a backing (load) and into it (store): time a call, and how many times that of "
        f"{REFERENCE}; {where.filesystem}, {where.kernel}, {where.cpu}, {where.python}; "
        f"medians of {run.options.repeats} repeats"
    )


HEAD = ("backing", "access", "x")
"""The headers for people; a size stands between the last two, and both are repeated for each size."""


def figures(run: Bench) -> Table[Copying]:
    """Return the table for programs: one row for each figure."""
    references = {(row.access, row.bytes): row for row in run.copying if row.backing == REFERENCE}
    columns: list[Column[Copying]] = [
        Column("", data={
            "backing": lambda row: row.backing,
            "access": lambda row: row.access,
            "size_bytes": lambda row: row.bytes,
            "median_ns": lambda row: row.median_ns,
            "low_ns": lambda row: row.interval_95[0],
            "high_ns": lambda row: row.interval_95[1],
            f"times_{REFERENCE}": lambda row: _times(row, references.get((row.access, row.bytes))),
            "repeats": lambda row: len(row.samples_ns),
        }),
    ]  # fmt: skip
    return Table(columns, [row for row in run.copying if row.bytes])


def by_size(run: Bench) -> Table[tuple[str, str]]:
    """Return the table for people: a row for each backing and access, two columns for each size."""
    rows: Rows = {(row.backing, row.access, row.bytes): row for row in run.copying if row.bytes}
    columns: list[Column[tuple[str, str]]] = [
        Column(HEAD[0], lambda pair: pair[0], left=True, key=True),
        Column(HEAD[1], lambda pair: pair[1], left=True, key=True),
    ]
    for count in run.options.sizes:
        columns += [
            Column(size(count), partial(_time_of, rows, count)),
            Column(HEAD[2], partial(_times_of, rows, count)),
        ]
    return Table(columns, list(dict.fromkeys((backing, access) for backing, access, _ in rows)))


Rows = Mapping[tuple[str, str, int], Copying]


def _time_of(rows: Rows, count: int, pair: tuple[str, str]) -> str:
    """Return the time; "-" where it is missing, as in a document made elsewhere."""
    row = rows.get((*pair, count))
    return duration(row.median_ns) if row else "-"


def _times_of(rows: Rows, count: int, pair: tuple[str, str]) -> str:
    """Return the ratio to the reference; "-" where one of them is missing."""
    row = rows.get((*pair, count))
    times = _times(row, rows.get((REFERENCE, pair[1], count))) if row else None
    return "-" if times is None else f"{times:,.0f}" if times >= 100 else f"{times:.1f}"


def _times(row: Copying, reference: Copying | None) -> float | None:
    return row.median_ns / reference.median_ns if reference and reference.median_ns else None


def _conclusions(run: Bench) -> Iterator[str]:
    calls = [row.median_ns for row in run.copying if row.backing == BASELINE]
    if calls:
        price = duration(max(calls))
        yield f"A Python call that copies nothing costs {price}: that much of each figure is not the copy."
    if any(row.backing == "remapped" and row.bytes for row in run.copying):
        yield "remapped opens, maps, writes back and closes the file around each, as it does inside each lock."
    measured = [row for row in run.copying if row.bytes]
    yield from steadiness({f"{row.backing} {row.access} {size(row.bytes)}": _spread(row) for row in measured}, "figure")


def _spread(row: Copying) -> float:
    """Return the 95 % interval of the median, as a share of the median."""
    low, high = row.interval_95
    return (high - low) / row.median_ns if row.median_ns else 0.0
