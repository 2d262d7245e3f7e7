"""How to choose a lock, in sentences: which of those that were compared do what one may need."""

from __future__ import annotations

from collections.abc import Iterator

from lab.results import LockCell, LocksCompared

from .words import duration

NEEDS = (
    ("Threads, or several opens of the file in one process", ("threads", "opens")),
    ("Code that knows nothing of the lock opens and closes the file", ("close",)),
    ("A holder may be killed", ("kill",)),
    ("A holder may fork, and the child come near the lock", ("fork", "exit", "unlock")),
    ("Readers beside each other", ("readers",)),
    ("Parts of one file locked apart", ("ranges",)),
    ("Two locks at once in no fixed order", ("deadlock",)),
)
"""What one may need, and the properties that must be "yes" for it."""

NAMED = 3
"""The cheapest locks that are named."""


def advice(run: LocksCompared) -> Iterator[str]:
    """A sentence a need; only locks that keep processes out count, and one of those that were not found out."""
    cells = {(cell.lock, cell.property): cell for cell in run.cells}
    locks = [name for name, known in cells if known == "processes" and cells[name, known].value == "yes"]
    if not locks:
        yield "None of these keeps another process out."
        return
    unknown = [name for name, known in cells if known == "processes" and cells[name, known].value == "?"]
    if unknown:
        yield f"Of {', '.join(unknown)} nothing is known; what follows is about the others."
    for need, properties in NEEDS:
        fit = [lock for lock in locks if all(cells[lock, each].value == "yes" for each in properties)]
        yield f"{need}: {_these(fit, locks)}."
    fit = [lock for lock in locks if cells[lock, "order"].value == "fifo"]
    yield f"First come, first served: {_these(fit, locks)}. Who polls has no order, and looks late."
    yield f"Cheapest: {_cheapest(locks, cells, 'pair')} alone; {_cheapest(locks, cells, 'hand-over')} handed over."


def _these(fit: list[str], locks: list[str]) -> str:
    """Those that fit, or those that do not where these are fewer."""
    unfit = [lock for lock in locks if lock not in fit]
    if not unfit:
        return "all of these"
    if not fit:
        return "none of these"
    return f"all but {', '.join(unfit)}" if len(unfit) < len(fit) else ", ".join(fit)


def _cheapest(locks: list[str], cells: dict[tuple[str, str], LockCell], name: str) -> str:
    costs = sorted((cost, lock) for lock in locks if (cost := cells[lock, name].median_ns) is not None)
    return ", ".join(f"{lock} {duration(cost)}" for cost, lock in costs[:NAMED]) or "not found out"
