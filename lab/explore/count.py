"""How many schedules there are: in how many orders the workers' steps can go."""

from __future__ import annotations

from math import comb, log10
from random import Random

from .world import World

PROBES = 50
"""Random walks from which the number of schedules is estimated (Knuth, 1975)."""


def about(count: int) -> str:
    """An estimated number of schedules in words."""
    return f"about {count:,}" if count < 10**6 else f"about 10^{int(count.bit_length() * log10(2)):,}"


def how_many(world: World) -> int:
    """The number of schedules, estimated: a worker alone shows how many steps it takes, not how many it could."""
    if not world.locked:
        return interleavings([len(nodes) - 1 for nodes in world.alone])
    random = Random("how many")  # noqa: S311 - repeatable draws, not secrets
    return sum(_probe(world, random) for _ in range(PROBES)) // PROBES


def interleavings(steps: list[int]) -> int:
    """In how many orders workers with so many steps can go, where nobody ever waits."""
    count, total = 1, 0
    for mine in steps:
        total += mine
        count *= comb(total, mine)
    return count


def _probe(world: World, random: Random) -> int:
    """The product of the choices along one random walk: on average the number of schedules."""
    product = 1
    choices = world.choices()
    while choices and len(world.path) < world.longest:
        product *= len(choices)
        world.do(random.choice(choices))
        choices = world.choices()
    world.back_to(0)
    return product
