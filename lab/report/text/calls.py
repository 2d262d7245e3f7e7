"""Write why a program of calls is not linearizable: what was called and when, and what each order would have given."""

from __future__ import annotations

from lab.records import Programs
from lab.report.format import Column, Table, plural, wrapped


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
