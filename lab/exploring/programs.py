"""Explore a structure with operations: every small program of calls, by rising size, up to the first that breaks."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from lab.errors import UsageError
from lab.histories.call import call_text, value_text
from lab.records import CallMade, ExploreOptions, Programs, RefutedOrder
from lab.scenario import Found
from lab.scenario.operations import programs, with_program

from .calls import CallsWorld, calls_in, orders_against
from .search import preemptions
from .simplify import Shortest, fewer_preemptions, world_of
from .strategy import Coverage, Plan, cover, search_by
from .tally import check_steps
from .worker import shape_of

MOST_ORDERS = 6
"""The most orders that are shown of those that contradict a result."""


def asked_of(found: Found, options: ExploreOptions) -> Explored:
    """Return what is to be explored. Raises UsageError where no number of workers fits."""
    kind: Any = found.kind
    most = options.operations or kind.calls
    callers = [each for each in options.callers if each <= most]
    if not callers:
        raise UsageError(f"{min(options.callers):,} workers need so many --operations at least, not {most:,}")
    return Explored(most, callers)


@dataclass(slots=True)
class Explored:
    """What was covered so far of the programs of up to so many `operations` by so many `callers`.

    `count` programs were explored to their end, `complete` is the size up to which all were; `exhausted` is True while
    all schedules of each were covered. `best` is the failure of the first that broke, with as few preemptions as were
    found.
    """

    operations: int
    callers: list[int]
    count: int = 0
    complete: int = 0
    exhausted: bool = True
    schedules: int = 0
    broken: int = 0
    interleavings: int = 0
    states: int = 0
    ends: int = 0
    best: Shortest | None = None

    def add(self, coverage: Coverage, ends: int) -> None:
        """Count a program."""
        self.exhausted = self.exhausted and coverage.exhausted
        self.schedules += coverage.schedules
        self.broken += coverage.broken
        self.interleavings += coverage.ways.all if coverage.ways else coverage.schedules
        self.states += coverage.states or 0
        self.ends += ends

    def covered(self) -> str:
        """Return it in words."""
        by = f"by {' or '.join(map(str, self.callers))} worker{'s' * (self.callers != [1])}"
        if self.states and self.complete == self.operations:
            by += f" (their schedules lead through {self.states:,} states, each of which was reached)"
        if self.complete == self.operations:
            return f"all {self.count:,} programs of up to {self.complete} operations {by}"
        whole = f", among them all of up to {self.complete} operations" * bool(self.complete)
        return f"{self.count:,} programs of up to {self.complete + 1} operations {by}{whole}"

    def record(self) -> Programs:
        """Return it for the results, with why no order explains the failure."""
        made = Programs(operations=self.operations, workers=self.callers, count=self.count, complete=self.complete)
        if self.best is None or not isinstance(self.best.world, CallsWorld):
            return made
        calls = calls_in(self.best.world, self.best.found.schedule)
        orders = orders_against(self.best.world, calls)
        shown = [
            RefutedOrder([calls.index(each) for each in order.order], value_text(order.would_give))
            for order in orders[:MOST_ORDERS]
        ]
        return replace(
            made,
            calls=[
                CallMade(int(each.process), call_text(each), value_text(each.result), each.start, each.last)
                for each in calls
            ],
            orders=shown,
            more_orders=len(orders) - len(shown),
        )


def explore_programs(
    found: Found, lock: str, options: ExploreOptions, kinds: frozenset[str], patience_s: float, done: Explored
) -> None:
    """Explore the programs in time; `done` is kept up to date. Raises as `lab.exploring.run.explore` does."""
    kind: Any = found.kind
    started = time.monotonic()
    search = "auto" if options.search == "states" else options.search
    limit_s = options.time_limit_s
    plan = Plan(search, options.preemptions, options.seed, started, limit_s, keep=0, jobs=1, kinds=kinds)
    for size in range(min(done.callers), done.operations + 1):
        for program in programs(kind, size, done.callers):
            mine = replace(found, kind=with_program(kind, program))
            shape = shape_of(mine, lock, len(program), max(map(len, program)), options.line_bytes)
            world = world_of(replace(shape, limit_s=limit_s))
            check_steps(world)
            coverage = Coverage()
            try:
                if search == "auto":  # a program is small: its states cost less than its schedules
                    search_by("states", 1.0, world, plan, coverage)
                else:
                    cover(world, plan, coverage)
            finally:
                done.add(coverage, world.ends)
            if coverage.found:
                first = Shortest(world, coverage.found, preemptions(world, coverage.found.schedule), 0)
                wanted = kinds or frozenset([coverage.found.end.damage[0].kind])
                done.best = fewer_preemptions(first, wanted, time.monotonic() + patience_s)
            if coverage.found or not coverage.is_enough(options.preemptions):
                return
            done.count += 1
        done.complete = size
