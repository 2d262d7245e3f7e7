"""From the first schedule that breaks to the shortest that tells the same: fewest preemptions, workers, rounds."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from .bounded import Bounded, preemptions
from .tally import Found, Tally
from .worker import Shape, shape_of
from .world import World

PATIENCE_S = 3.0
"""For all that is tried to come to a shorter one."""

MOST = 3
"""Preemptions up to which a shorter schedule is looked for."""


@dataclass(frozen=True, slots=True)
class Shortest:
    """The schedule to show, the world in which it runs, its preemptions, and how many were run to come to it."""

    world: World
    found: Found
    preemptions: int
    schedules: int


def shortest(world: World, found: Found, kinds: frozenset[str] = frozenset()) -> Shortest:
    """The same kind of damage with as few preemptions as can be found, then in the smallest shape that has it."""
    wanted = kinds or frozenset([found.end.damage[0].kind])
    best = Shortest(world, found, preemptions(world, found.schedule), 0)
    deadline = time.monotonic() + PATIENCE_S
    best = _fewer_preemptions(best, wanted, deadline)
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


def _fewer_preemptions(best: Shortest, wanted: frozenset[str], deadline: float) -> Shortest:
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
    """Workers and rounds that are fewer, the fewest first; no race has less than two workers."""
    pairs = [(w, r) for w in range(2, shape.workers + 1) for r in range(1, shape.rounds + 1)]
    fewer = [pair for pair in pairs if pair != (shape.workers, shape.rounds)]
    return sorted(fewer, key=lambda pair: (pair[0] * pair[1], pair[0]))


STEPS = 20_000
"""Of one worker alone, beyond which a run counts as one without an end."""


def world_of(shape: Shape) -> World:
    """The world of a shape; schedules of more than four times the steps that its workers take alone are given up."""
    world = World(shape, STEPS)
    total = sum(len(nodes) - 1 for nodes in world.alone)
    world.longest = 4 * total + 200 if all(nodes[-1].ended for nodes in world.alone) else 2_000
    return world
