"""Schedules by their number of preemptions: 0, then 1, 2, 3; so that the first that breaks has the fewest.

A preemption takes the turn from a worker that could go on (Musuvathi and Qadeer, PLDI 2007, "iterative context
bounding"). Leaving one that waits for a lock, has finished, or was refused with EDEADLK costs nothing: the refused
one has to let the others by, or would be refused again for ever.
"""

from __future__ import annotations

from collections.abc import Iterator

from .tally import Tally
from .world import World


class Bounded:
    """The search by rising bound: `level` is the one that it has come to.

    `bound` is the largest that was covered in full, with `covered` schedules up to it; -1 before the first.
    `complete` says that no schedule has more preemptions than that: all have been run.
    """

    def __init__(self, world: World, tally: Tally) -> None:
        self._world = world
        self._tally = tally
        self.level = -1
        self.bound = -1
        self.covered = 0
        self.complete = False

    def run(self, most: int) -> None:
        """Raise the level until `most` is searched, nothing is left, or the tally says stop."""
        while self.level < most and not self.complete:
            self.level += 1
            left_out = self._level(self.level)
            if left_out is None:
                return
            if not self._tally.too_long:
                self.bound, self.covered = self.level, self._tally.schedules
                self.complete = not left_out

    def _level(self, bound: int) -> bool | None:
        """Run the schedules with just so many preemptions; True when others have more, None when told to stop.

        The search also comes through the schedules with fewer, which the levels before have counted.
        """
        world, tally = self._world, self._tally
        do, undo, longest = world.do, world.undo, world.longest
        if not world.choices():
            return None if not bound and tally.add(world) else False
        left_out = False
        budgets = [bound]
        waiting = [self._options(-1)]
        while waiting:
            option = next(waiting[-1], None)
            if option is None:
                waiting.pop()
                budgets.pop()
                if waiting:
                    undo()
                continue
            worker, price = option
            budget = budgets[-1] - price
            if budget < 0:
                left_out = True
                continue
            do(worker)
            options = self._options(worker)
            first = next(options, None)
            if first and len(waiting) < longest:
                waiting.append(_with(first, options))
                budgets.append(budget)
                continue
            if tally.give_up() if first else not budget and tally.add(world):
                world.back_to(0)
                return None
            undo()
        return left_out

    def _options(self, last: int) -> Iterator[tuple[int, int]]:
        """Who could go next and what that costs, the one to be tried first before the others."""
        choices = self._world.choices()
        if last not in choices:
            count = len(self._world.at)
            return iter([(each, 0) for each in sorted(choices, key=lambda each: (each - last - 1) % count)])
        others = [each for each in choices if each != last]
        if others and self._world.steps_aside(last):
            return iter([*((each, 0) for each in others), (last, 0)])
        return iter([(last, 0), *((each, 1) for each in others)])


def _with(first: tuple[int, int], rest: Iterator[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    yield first
    yield from rest


def preemptions(world: World, schedule: bytes) -> int:
    """How often the schedule takes the turn from a worker that could go on."""
    count, last = 0, -1
    for worker in schedule:
        if worker != last and last >= 0:
            count += world.could_go_on(last)
        world.do(worker)
        last = worker
    world.back_to(0)
    return count
