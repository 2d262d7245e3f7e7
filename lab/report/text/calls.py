"""Write what became of calls: why a program of them is not linearizable, and how those of a race were judged."""

from __future__ import annotations

from collections.abc import Iterator

from lab.records import Programs, Run
from lab.report.format import Column, Table, plural, wrapped

from .failures import where


def called(programs: Programs) -> str:
    """Return the calls by their beginnings, a column for each worker, with the steps from the first to the last."""
    workers = sorted({each.worker for each in programs.calls})
    columns: list[Column[list[str]]] = [Column("steps", lambda row: row[0], key=True)]
    for at, worker in enumerate(workers, 1):
        columns.append(Column(f"worker {worker} calls", lambda row, at=at: row[at], left=True, fold=10))  # type: ignore[misc]
    rows = [
        [
            f"{each.first_step}-{each.last_step}",
            *(f"{each.call} -> {each.result}" if each.worker == worker else "" for worker in workers),
        ]
        for each in programs.calls
    ]
    return Table(columns, rows, padding=2).render()


def no_order(programs: Programs) -> str:
    """Return each order that the times allow, up to the first call that gave another result than it would have."""
    lines = ["no order explains it"]
    for order in programs.orders:
        calls = [programs.calls[number] for number in order.calls]
        told = ", ".join(f"worker {each.worker} {each.call}" for each in calls)
        lines.append(wrapped(f"{told} would give {order.would_give}, gave {calls[-1].result};", "  ", indent=4))
    if programs.more_orders:
        lines.append(f"  {plural(programs.more_orders, 'more order')} would give other results too.")
    else:
        lines[-1] = lines[-1][:-1] + "."
    return "\n".join(lines)


def raced(run: Run) -> Iterator[str]:
    """Yield how many calls of operations met another, and how their histories were judged."""
    for case in run.cases:
        made = case.calls
        if not made or case.fault:
            continue
        order = "their ends" if case.lock == "none" else "the grants"
        judged = {
            f"in {made.by_lock:,} the order of {order} explains all results": made.by_lock,
            f"in {made.by_search:,} a search looked for an order": made.by_search,
            f"{made.undecided:,} could not be judged": made.undecided,
        }
        told = ", ".join(text for text, holds in judged.items() if holds)
        met = f"{made.overlapping:,} of {plural(made.calls, 'call')} ran beside another"
        yield f"{where(case)}: {met}; of the histories {told}."
