"""A world whose workers make calls: a monitor follows them, and a schedule that no order explains is damaged.

A call begins with its first step and ends with its last one. A longer call would allow more orders, so what breaks in
some schedule of real calls breaks in one of these. The monitor's number is part of the state: two ways to the same
bytes are two states where they leave different orders possible.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

from lab.histories.automaton import Automaton
from lab.histories.call import Call
from lab.histories.monitor import Contradiction, Monitor, contradictions
from lab.scenario import Damage
from lab.scenario.operations import Program, specification_of

from .worker import Shape
from .world import End, World, end_of

NOT_LINEARIZABLE = "not linearizable"
MOST_ORDERS = 1_000
"""The most orders that are looked at to say why none explains a history."""


@lru_cache(maxsize=16)
def monitor_of(kind: Any, workers: int) -> Monitor:
    """Return the monitor that all programs of a class by so many workers share."""
    return Monitor(automaton_of(kind), workers)


@lru_cache(maxsize=16)
def automaton_of(kind: Any) -> Automaton:
    """Return what the calls of a class give one at a time, for all its programs."""
    return Automaton(specification_of(kind))


class CallsWorld(World):
    """The world of one program."""

    def __init__(self, shape: Shape, longest: int) -> None:
        kind: Any = type(shape.scenario)
        self.program: Program = kind.program
        self.monitor = monitor_of(kind.specified_by or kind, shape.workers)
        self.possible = self.monitor.first
        self._begun = [0] * shape.workers
        self._before: list[tuple[int, int]] = []
        super().__init__(shape, longest)

    def whole(self) -> Hashable:
        """Return the bytes, and the orders that are possible."""
        return super().whole(), self.possible

    def do(self, worker: int) -> Any:
        """Let a worker do its step; with it a call may begin, and one may end."""
        node = self.at[worker]
        possible = self.possible
        self._before.append((possible, self._begun[worker]))
        if self._begun[worker] <= node.round:
            self._begun[worker] = node.round + 1
            possible = self.monitor.called(possible, worker, self.program[worker][node.round])
        met = super().do(worker)
        results = self.at[worker].results
        if len(results) > node.round:
            possible = self.monitor.returned(possible, worker, results[node.round])
        self.possible = possible
        return met

    def undo(self) -> None:
        """Undo the last step."""
        worker = self.path[-1]
        super().undo()
        self.possible, self._begun[worker] = self._before.pop()

    def end(self) -> End:
        """Return what is broken: that no order explains the results, or what breaks any other scenario."""
        found = super().end()
        if self.possible != Monitor.NO_ORDER:
            return found
        calls = sum(map(len, self.program))
        return end_of([Damage(NOT_LINEARIZABLE, 1, calls), *found.damage], ())


def calls_in(world: CallsWorld, schedule: bytes) -> list[Call]:
    """Return the calls of a schedule by their beginnings; they start and end with their first and last steps, from 1.

    A call that did not come back is left out. The world is at its beginning before and after.
    """
    first: dict[tuple[int, int], int] = {}
    made = []
    for number, worker in enumerate(schedule, 1):
        at = world.at[worker].round
        first.setdefault((worker, at), number)
        world.do(worker)
        results = world.at[worker].results
        if len(results) > at:
            call = world.program[worker][at]
            made.append(call._replace(result=results[at], start=first[worker, at], end=number))
    world.back_to(0)
    return sorted(made, key=lambda each: each.start)


def orders_against(world: CallsWorld, calls: Sequence[Call]) -> list[Contradiction]:
    """Return the orders of these calls, each cut where it contradicts a result; the longest first."""
    found = islice(contradictions(world.monitor.automaton, calls), MOST_ORDERS)
    return sorted(found, key=lambda each: -len(each.order))
