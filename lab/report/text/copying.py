"""Write a benchmark of copying as a table with conclusions; `bench` writes a benchmark of locks."""

from __future__ import annotations

from collections.abc import Iterator

from lab.errors import ExitCode
from lab.records import Bench, Copying
from lab.report.format import DEFAULT_FORMAT, duration, table, wrapped

from . import bench
from .bench import steadiness

BASELINE = "call"
REFERENCE = "mapped"


def text_of(run: Bench, style: str) -> str:
    """Return the whole report of a benchmark; a format that is not for people gets only the table."""
    if run.locks:
        return bench.text_of(run, style)
    if style != DEFAULT_FORMAT:
        return _table(run, style)
    return "\n\n".join([_heading(run), _table(run, style), "\n".join(wrapped(line) for line in _conclusions(run))])


def complaints(run: Bench) -> list[str]:
    """Return a line for each backing that could not be measured."""
    if run.locks:
        return list(bench.complaints(run))
    return [f"{row.backing}: not measured: {row.reason}" for row in run.copying if row.reason]


def exit_code(run: Bench) -> ExitCode:
    """Return UNABLE where a backing could not be measured; of locks the code that `bench.exit_code` returns."""
    if run.locks:
        return bench.exit_code(run)
    return ExitCode.UNABLE if any(row.reason for row in run.copying) else ExitCode.AS_EXPECTED


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


def _table(run: Bench, style: str) -> str:
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
