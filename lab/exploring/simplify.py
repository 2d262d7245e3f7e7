"""Shorten a schedule that breaks: to the fewest preemptions, workers and rounds that do the same damage.

It also finds out whether a reason is the right one. A reason is a cut: steps of one worker with others' steps among
them. It is right if the damage is gone once the worker does these steps without a break, be that where it began them
or where it ended them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from lab.records import Step
from lab.scenario.operations import Operations

from .calls import CallsWorld
from .search import Bounded, preemptions
from .tally import Found, Tally
from .trace import WAITS
from .worker import Shape, shape_of
from .world import World

PATIENCE_S = 3.0
"""The time, in seconds, for all attempts to shorten a schedule, where the caller gives none."""

MOST = 3
"""The most preemptions with which a shorter schedule is looked for."""


@dataclass(frozen=True, slots=True)
class Shortest:
    """The schedule to show, the world in which it runs, its preemptions, and how many schedules were run to find it."""

    world: World
    found: Found
    preemptions: int
    schedules: int


def shortest(
    world: World, found: Found, kinds: frozenset[str] = frozenset(), patience_s: float = PATIENCE_S
) -> Shortest:
    """Find the same kind of damage with as few preemptions as possible, then in the smallest shape that has it.

    What was found is returned after `patience_s` at the latest.
    """
    wanted = kinds or frozenset([found.end.damage[0].kind])
    best = Shortest(world, found, preemptions(world, found.schedule), 0)
    deadline = time.monotonic() + patience_s
    best = fewer_preemptions(best, wanted, deadline)
    for workers, rounds in smaller(world.shape):
        if time.monotonic() > deadline:
            break
        shape = shape_of(world.shape.found, world.shape.lock, workers, rounds, world.shape.line)
        tried = _search(world_of(shape), min(MOST, max(best.preemptions, 1)), wanted, deadline)
        best = replace(best, schedules=best.schedules + tried[1])
        if tried[0]:
            small, first, bound = tried[0]
            return Shortest(small, first, bound, best.schedules)
    return best


def fewer_preemptions(best: Shortest, wanted: frozenset[str], deadline: float) -> Shortest:
    """Return a schedule of the same shape with as few preemptions as were found by the deadline."""
    if best.preemptions <= 1:
        return best
    result, schedules = _search(best.world, min(MOST, best.preemptions), wanted, deadline)
    if result:
        world, found, count = result
        return Shortest(world, found, count, schedules)
    return replace(best, schedules=schedules)


def _search(
    world: World, most: int, wanted: frozenset[str], deadline: float
) -> tuple[tuple[World, Found, int] | None, int]:
    tally = Tally(deadline, first_only=True, kinds=wanted)
    search = Bounded(world, tally)
    search.run(most)
    if tally.found:
        return (world, tally.found, search.level), tally.schedules
    return None, tally.schedules


def smaller(shape: Shape) -> list[tuple[int, int]]:
    """Return workers and rounds that are fewer, the fewest first; no race has less than two workers."""
    pairs = [(w, r) for w in range(2, shape.workers + 1) for r in range(1, shape.rounds + 1)]
    fewer = [pair for pair in pairs if pair != (shape.workers, shape.rounds)]
    return sorted(fewer, key=lambda pair: (pair[0] * pair[1], pair[0]))


STEPS = 20_000
"""The number of steps of one worker alone beyond which a run counts as one without an end."""


def world_of(shape: Shape) -> World:
    """Return the world of a shape; too long schedules are given up.

    A schedule is too long with more than four times the steps that its workers take alone.
    """
    calls = issubclass(shape.found.kind, Operations)
    world = CallsWorld(shape, STEPS) if calls else World(shape, STEPS)
    total = sum(len(nodes) - 1 for nodes in world.alone)
    world.longest = 4 * total + 200 if all(nodes[-1].ended for nodes in world.alone) else 2_000
    return world


class Cut(NamedTuple):
    """Steps of one worker that others came between: the place of the first, and how many more there are of its own."""

    place: int
    more: int


def cut_between(steps: Sequence[Step], first: int, last: int) -> Cut:
    """Return the cut from one step of a worker to a later one."""
    return Cut(first, sum(steps[at].worker == steps[first].worker for at in range(first + 1, last + 1)))


def cuts_of(steps: Sequence[Step]) -> Iterator[Cut]:
    """Return every cut of a schedule, those of the fewest steps first."""
    taken = [step for step in steps if step.value != WAITS]
    own = [[at for at, step in enumerate(taken) if step.worker == worker] for worker in {s.worker for s in taken}]
    for more in range(1, max(map(len, own), default=0)):
        for places in own:
            for first, last in zip(places, places[more:], strict=False):
                if last - first > more:
                    yield Cut(first, more)


class Repair:
    """A search for the cuts that cause the end of one schedule; the world is at its beginning before and after."""

    def __init__(self, world: World, schedule: bytes) -> None:
        self._world = world
        self._schedule = schedule

    def fixes(self, cut: Cut) -> bool:
        """Return True where the schedule without this cut ends without damage."""
        schedule, (place, more) = self._schedule, cut
        worker = schedule[place]
        mine = [at for at in range(place + 1, len(schedule)) if schedule[at] == worker][:more]
        end = mine[-1] + 1 if len(mine) == more else len(schedule)
        others = bytes(each for each in schedule[place:end] if each != worker)
        early = self._ends_well(schedule[: place + 1], worker, more, others + schedule[end:])
        return early or self._ends_well(schedule[:place] + others, worker, more + 1, schedule[end:])

    def _ends_well(self, before: bytes, worker: int, count: int, after: bytes) -> bool:
        """Run a schedule to its end and return whether it ends without damage.

        It has some steps in this order, then so many of one worker, then the others', and all that can to the end. A
        worker that cannot go on is left out. Returns False where the worker itself cannot.
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
