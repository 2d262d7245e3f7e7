"""Would the schedule have held, had nobody come in between? Asked of the composed world, by running it so.

A reason is a cut: steps of one worker with others' steps among them. It is the right one if the damage is gone once
the worker does these steps without a break, be that where it began them or where it ended them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from lab.results import Step

from .trace import WAITS
from .world import World


class Cut(NamedTuple):
    """Steps of one worker that others came between: the place of the first, and how many more there are of its own."""

    place: int
    more: int


def cut_between(steps: Sequence[Step], first: int, last: int) -> Cut:
    """The cut from one step of a worker to a later one."""
    return Cut(first, sum(steps[at].worker == steps[first].worker for at in range(first + 1, last + 1)))


def cuts_of(steps: Sequence[Step]) -> Iterator[Cut]:
    """Every cut of a schedule, those of the fewest steps first."""
    taken = [step for step in steps if step.value != WAITS]
    own = [[at for at, step in enumerate(taken) if step.worker == worker] for worker in {s.worker for s in taken}]
    for more in range(1, max(map(len, own), default=0)):
        for places in own:
            for first, last in zip(places, places[more:], strict=False):
                if last - first > more:
                    yield Cut(first, more)


class Repair:
    """Which cuts are to blame for the end of one schedule; the world is at its beginning before and after."""

    def __init__(self, world: World, schedule: bytes) -> None:
        self._world = world
        self._schedule = schedule

    def mends(self, cut: Cut) -> bool:
        """True where the schedule without this cut ends without damage."""
        schedule, (place, more) = self._schedule, cut
        worker = schedule[place]
        mine = [at for at in range(place + 1, len(schedule)) if schedule[at] == worker][:more]
        end = mine[-1] + 1 if len(mine) == more else len(schedule)
        others = bytes(each for each in schedule[place:end] if each != worker)
        early = self._ends_well(schedule[: place + 1], worker, more, others + schedule[end:])
        return early or self._ends_well(schedule[:place] + others, worker, more + 1, schedule[end:])

    def _ends_well(self, before: bytes, worker: int, count: int, after: bytes) -> bool:
        """Some steps in this order, then so many of one worker, then the others', and whoever can to the end.

        Who cannot go on is left out. False where the worker itself cannot.
        """
        world = self._world
        self._follow(before)
        done = 0
        while done < count and worker in world.choices():
            world.do(worker)
            done += 1
        unbroken = done == count or world.at[worker].ended
        if unbroken:
            self._follow(after)
            while (choices := world.choices()) and len(world.path) < world.longest:
                last = world.path[-1]
                world.do(last if last in choices else choices[0])
        well = unbroken and not world.choices() and not world.end().damage
        world.back_to(0)
        return well

    def _follow(self, order: bytes) -> None:
        for worker in order:
            if worker in self._world.choices():
                self._world.do(worker)
