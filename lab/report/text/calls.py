"""Write what became of calls: why a program of them is not linearizable, and how those of a race were judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lab.records import Programs, RefutedOrder, Run
from lab.report.format import Column, Table, plural, table_width, wrapped

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
    """Return why no order explains the calls of a program."""
    calls = [Made(f"worker {each.worker}", each.call, each.result) for each in programs.calls]
    return refuted(calls, programs.orders, programs.more_orders)


class Made(NamedTuple):
    """A call: who made it, what it was, and its result as text, empty where none is known."""

    who: str
    call: str
    result: str


MOST_COLUMNS = 4
"""Of so many workers each has a column."""


def refuted(made: Sequence[Made], orders: Sequence[RefutedOrder], more: int) -> str:
    """Return the orders of calls that time allows, a row each, up to the call that would give another result.

    There is a column for each worker, with the place of its calls in the order, where they are few and fit; else one.
    """
    who = sorted({each.who for each in made}, key=lambda each: (len(each), each))
    table = _orders([(each, [each]) for each in who], made, orders) if len(who) <= MOST_COLUMNS else ""
    if not table or "\n\n" in table or max(map(len, table.splitlines())) > table_width():
        table = _orders([("calls in their order", who)], made, orders)
    told = "No order explains it. Up to the call that would have given another result, the orders are:"
    rest = [f"{plural(more, 'more order')} would give other results too."] if more else []
    return "\n".join([wrapped(told), "", table, *rest])


def _orders(columns: Sequence[tuple[str, Sequence[str]]], made: Sequence[Made], orders: Sequence[RefutedOrder]) -> str:
    """Return the table of the orders; each column has a title and those whose calls it has."""

    def cell(order: RefutedOrder, who: Sequence[str]) -> str:
        calls = [(place, made[number]) for place, number in enumerate(order.calls, 1)]
        name = len(who) > 1
        return ", ".join(f"{place} {f'{each.who} ' * name}{each.call}" for place, each in calls if each.who in who)

    shown: list[Column[RefutedOrder]] = [
        Column(title, lambda order, who=who: cell(order, who), left=True, fold=10)  # type: ignore[misc]
        for title, who in columns
    ]
    if any(order.start for order in orders):
        shown.insert(0, Column("starts with", lambda order: order.start or "any state", left=True, fold=10))
    shown += [
        Column("would give", lambda order: order.would_give or "cannot return", left=True, fold=10),
        Column("gave", lambda order: made[order.calls[-1]].result or "not known", left=True, fold=10),
    ]
    return Table(shown, orders, padding=1).render()


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
