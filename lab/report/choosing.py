"""How to choose a lock, in sentences: which of those that were compared do what one may need."""

from __future__ import annotations

from collections.abc import Iterator

from lab.results import LocksCompared

from .words import duration

NEEDS = (
    ("Threads, or several opens of the file in one process", ("threads", "opens")),
    ("Code that knows nothing of the lock opens and closes the file", ("close",)),
    ("A holder may be killed", ("kill",)),
    ("A holder may stand still for long (SIGSTOP, a suspended machine)", ("pause",)),
    ("A holder may fork, and the child come near the lock", ("fork", "exit", "child", "unlock")),
    ("Readers beside each other", ("readers",)),
    ("Parts of one file locked apart", ("ranges",)),
    ("Two locks at once in no fixed order", ("deadlock",)),
)
"""What one may need, and the properties that must be "yes" for it."""

STRONG = 0.02
"""A lock whose waiters look every millisecond shows as much in the seconds of a cell, on a busy machine too."""

NAMED = 3
"""The cheapest locks that are named."""


def advice(run: LocksCompared) -> Iterator[str]:
    """A sentence a need; only locks that keep processes out count, and one of those of which nothing is known.

    Named as cheap are only those whose races would have noticed false grants of the rate `STRONG`.
    """
    cells = Cells(run)
    locks = [name for name in cells.locks if cells.value(name, "processes") == "yes"]
    if not locks:
        yield "None of these keeps another process out."
        return
    unknown = [name for name in cells.locks if cells.value(name, "processes") == "?"]
    if unknown:
        yield f"Of {', '.join(unknown)} nothing is known; what follows is about the others."
    for need, properties in NEEDS:
        fit = [lock for lock in locks if all(cells.value(lock, each) == "yes" for each in properties)]
        yield f"{need}: {_these(fit, locks)}."
    fit = [lock for lock in locks if cells.value(lock, "order") == "fifo"]
    yield f"First come, first served: {_these(fit, locks)}. Who polls has no order, and looks late."
    strong = [lock for lock in locks if cells.is_shown(lock)]
    if weak := [lock for lock in locks if lock not in strong]:
        yield f"Not shown to exclude well enough to be called cheap: {', '.join(weak)}."
    yield f"Cheapest: {_cheapest(strong, cells, 'pair')} alone; {_cheapest(strong, cells, 'hand-over')} handed over."


class Cells:
    """The cells of a comparison by lock and property; a document of an older lab has fewer."""

    def __init__(self, run: LocksCompared) -> None:
        self._cells = {(cell.lock, cell.property): cell for cell in run.cells}
        self.locks = list(dict.fromkeys(lock for lock, _ in self._cells))

    def value(self, lock: str, name: str) -> str:
        """What was seen; empty where nothing was."""
        cell = self._cells.get((lock, name))
        return cell.value if cell else ""

    def cost(self, lock: str, name: str) -> float | None:
        """In ns, where it was measured."""
        cell = self._cells.get((lock, name))
        return cell.median_ns if cell else None

    def is_shown(self, lock: str) -> bool:
        """True where races showed enough of its exclusion, and neither a death nor a pause let somebody in."""
        limit = self._cells[lock, "processes"].detection_limit
        return (
            limit is not None
            and limit <= STRONG
            and self.value(lock, "kill") != "both"
            and self.value(lock, "pause") == "yes"
        )


def _these(fit: list[str], locks: list[str]) -> str:
    """Those that fit, or those that do not where these are fewer."""
    unfit = [lock for lock in locks if lock not in fit]
    if not unfit:
        return "all of these"
    if not fit:
        return "none of these"
    return f"all but {', '.join(unfit)}" if len(unfit) < len(fit) else ", ".join(fit)


def _cheapest(locks: list[str], cells: Cells, name: str) -> str:
    costs = sorted((cost, lock) for lock in locks if (cost := cells.cost(lock, name)) is not None)
    return ", ".join(f"{lock} {duration(cost)}" for cost, lock in costs[:NAMED]) or "none of these"
