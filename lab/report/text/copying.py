"""Write a benchmark of copying as a table with conclusions; `bench` writes a benchmark of locks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from lab.records import Bench, Copying
from lab.report.format import PLAIN, Style, duration, plural, table, wrapped

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
    if not style.is_for_people:
        return _table(run, style)
    return "\n\n".join([_heading(run), _table(run, style), "\n".join(wrapped(line) for line in _conclusions(run))])


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
    return (
        f"copying out of a backing (load) and into it (store): time a call, and how many times that of {REFERENCE}\n"
        f"{where.filesystem}, {where.kernel}, {where.cpu}, {where.python}; "
        f"medians of {run.options.repeats} repeats"
    )


HEAD = ("backing", "access", "x")
"""The headers; a size stands between the last two, and both are repeated for each size."""


def _table(run: Bench, style: Style = PLAIN) -> str:
    head = [*HEAD[:2], *(title for count in run.options.sizes for title in (size(count), HEAD[2]))]
    figures = {(row.backing, row.access, row.bytes): row for row in run.copying if row.bytes}
    pairs = dict.fromkeys((backing, access) for backing, access, _ in figures)
    rows = []
    for backing, access in pairs:
        cells = [backing, access]
        for count in run.options.sizes:
            reference = figures.get((REFERENCE, access, count))
            cells += _cells(figures.get((backing, access, count)), reference)
        rows.append(cells)
    return table(head, rows, style)


def _cells(row: Copying | None, reference: Copying | None) -> list[str]:
    """Return the time, and the ratio to the reference; "-" where one is missing, as in a document made elsewhere."""
    if row is None:
        return ["-", "-"]
    if reference is None or not reference.median_ns:
        return [duration(row.median_ns), "-"]
    times = row.median_ns / reference.median_ns
    return [duration(row.median_ns), f"{times:,.0f}" if times >= 100 else f"{times:.1f}"]


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
