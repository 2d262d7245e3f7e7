"""Count what a search has covered so far, when it must stop, and how many schedules there are."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field, fields, replace
from math import comb, log10
from random import Random

from lab.errors import CannotRunError, ScenarioError, UsageError
from lab.scenario.base import exception_text

from .node import Node
from .world import End, World


@dataclass(frozen=True, slots=True)
class Found:
    """A schedule that breaks: the worker of each step, and the damage at its end."""

    schedule: bytes
    end: End


@dataclass(slots=True)
class Tally:
    """The counts of one search. `too_long` schedules were given up, so nothing is exhausted then.

    `deadline` is in seconds of time.monotonic. `first_only` stops at the first schedule that breaks, and `kinds` says
    which damage counts (any, where it is empty). Up to `keep` schedules are kept to be shown. `report` gets the counts
    now and then, and may end the search.
    """

    deadline: float
    first_only: bool = False
    kinds: frozenset[str] = frozenset()
    keep: int = 0
    schedules: int = 0
    broken: int = 0
    too_long: int = 0
    out_of_time: bool = False
    found: Found | None = None
    kept: list[bytes] = field(default_factory=list)
    report: Callable[[Tally], bool] | None = None

    def copy(self) -> Tally:
        """Return a copy of what was counted so far."""
        return replace(self, **{each.name: copy(getattr(self, each.name)) for each in fields(self)})

    def join(self, other: Tally) -> None:
        """Count what another search has found too; the failure is its own, where it has one."""
        self.schedules += other.schedules
        self.broken += other.broken
        self.kept = [*self.kept, *other.kept][: self.keep]
        self.found = self.found or other.found

    def go_back_to(self, before: Tally) -> None:
        """Count again from there on, for a search that begins anew."""
        for each in fields(self):
            setattr(self, each.name, getattr(before, each.name))

    def add(self, world: World) -> bool:
        """Count the schedule that has just come to its end; return True when the search must stop."""
        self.schedules += 1
        if len(self.kept) < self.keep:
            self.kept.append(bytes(world.path))
        end = world.end()
        if end.damage and (not self.kinds or self.kinds & end.kinds):
            self.broken += 1
            if self.found is None:
                self.found = Found(bytes(world.path), end)
                if self.first_only:
                    return True
        return self.late()

    def give_up(self) -> bool:
        """Count a schedule that grew too long; return True when the search must stop."""
        self.too_long += 1
        return self.late()

    def late(self) -> bool:
        """Return True once the time is over."""
        stopped = self.report is not None and self.report(self)
        if stopped or time.monotonic() > self.deadline:
            self.out_of_time = True
        return self.out_of_time

    @property
    def over(self) -> bool:
        """Return True once the search must stop."""
        return self.out_of_time or bool(self.first_only and self.found)

    @property
    def complete(self) -> bool:
        """Return True while nothing was left out; a search that has come to its end is exhaustive then."""
        return not self.over and not self.too_long


PROBES = 50
"""The number of random walks from which the number of schedules is estimated (Knuth, 1975)."""


def about(count: int) -> str:
    """Return an estimated number of schedules in words."""
    return f"about {count:,}" if count < 10**6 else f"about 10^{int(count.bit_length() * log10(2)):,}"


def how_many(world: World) -> int:
    """Estimate the number of schedules: a worker alone shows how many steps it takes, not how many it could."""
    if not world.locked:
        return interleavings([len(nodes) - 1 for nodes in world.alone])
    random = Random("how many")  # noqa: S311 - repeatable draws, not secrets
    return sum(_probe(world, random) for _ in range(PROBES)) // PROBES


def interleavings(steps: list[int]) -> int:
    """Return in how many orders workers with so many steps can go, where none ever waits."""
    count, total = 1, 0
    for mine in steps:
        total += mine
        count *= comb(total, mine)
    return count


def _probe(world: World, random: Random) -> int:
    """Return the product of the choices along one random walk: on average the number of schedules."""
    product = 1
    choices = world.choices()
    while choices and len(world.path) < world.longest:
        product *= len(choices)
        world.do(random.choice(choices))
        choices = world.choices()
    world.back_to(0)
    return product


MOST_STEPS = 20_000
"""The most steps of all workers together: a longer schedule is not worth running thousands of times."""


def check_steps(world: World) -> None:
    """Run each worker alone, before anything is claimed of them together.

    Raises ScenarioError where one raises, CannotRunError where one takes no step, UsageError where all take too many.
    """
    counts = [len(nodes) - 1 for nodes in world.alone]
    name = world.shape.found.name
    for worker, nodes in enumerate(world.alone):
        failed = nodes[-1].failed
        if isinstance(failed, ScenarioError):  # it says what to do
            raise ScenarioError(f"scenario {name}: {failed}") from failed
        if failed:
            raise ScenarioError(f"scenario {name}: worker {worker} alone raised {exception_text(failed)}; fix the file")
        if not counts[worker]:
            raise CannotRunError(
                f"scenario {name}: worker {worker} took no step through w.memory or a lock, so nothing was explored; "
                "let it load and store through w.memory and w.bytes"
            )
    if sum(counts) > MOST_STEPS and not any(map(_spins, world.alone)):
        raise UsageError(
            f"scenario {name}: {world.shape.size} take more than {MOST_STEPS:,} steps a schedule and have more than "
            f"{about(interleavings(counts))} schedules, too many for any search; lower --workers or --rounds"
        )


def _spins(nodes: list[Node]) -> bool:
    """Return True for a worker that, alone, loops in one round for ever: it waits for another one."""
    return not nodes[-1].ended and nodes[-1].round == nodes[len(nodes) // 2].round
