"""Schedules by lot, where there are too many: a random walk, and PCT, which favours rare orders of few steps."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from .tally import Tally
from .world import World

DEPTH = 3
"""How many ordering constraints a failure may need for PCT's guarantee (Burckhardt et al., ASPLOS 2010)."""


def random_walk(world: World, tally: Tally, random: Random) -> None:
    """At each step one of those who could go on, each as likely as the others."""
    _repeat(world, tally, lambda: _walk(world, random))


def pct(world: World, tally: Tally, random: Random) -> None:
    """Probabilistic concurrency testing with depth 3: who can go on with the highest priority does.

    Priorities are drawn once a schedule, and at two steps, drawn too, the one who goes on falls to the end of the
    queue. Of n workers and k steps each schedule finds a failure of this depth with probability 1 / (n k^2) or more.
    """
    steps = [8]

    def one() -> bool:
        done = _by_priority(world, random, steps[0])
        steps[0] = max(steps[0], len(world.path))
        return done

    _repeat(world, tally, one)


def _repeat(world: World, tally: Tally, one: Callable[[], bool]) -> None:
    while True:
        stop = tally.add(world) if one() else tally.give_up()
        world.back_to(0)
        if stop:
            return


def _walk(world: World, random: Random) -> bool:
    choices = world.choices()
    while choices:
        if len(world.path) >= world.longest:
            return False
        world.do(choices[int(random.random() * len(choices))])
        choices = world.choices()
    return True


def _by_priority(world: World, random: Random, steps: int) -> bool:
    order = list(range(len(world.at)))
    random.shuffle(order)
    changes = {random.randrange(steps) for _ in range(DEPTH - 1)}
    choices = world.choices()
    while choices:
        if len(world.path) >= world.longest:
            return False
        worker = next(each for each in order if each in choices)
        if len(world.path) in changes:
            order.remove(worker)
            order.append(worker)
            worker = next(each for each in order if each in choices)
        world.do(worker)
        choices = world.choices()
    return True
