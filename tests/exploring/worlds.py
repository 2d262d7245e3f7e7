"""What the tests of the explorer share: scenarios made of one function, their worlds, tallies that keep every end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ctypes import Structure, c_uint8, c_uint64
from dataclasses import dataclass, field
from math import inf
from typing import Any

from lab.exploring.node import Node
from lab.exploring.tally import Tally
from lab.exploring.worker import Shape, shape_of
from lab.exploring.world import World
from lab.scenario import Damage, Found, Outcome, Scenario, find_scenarios

LONGEST = 2000

Work = Callable[[Any, Any], None]
"""A round, given the scenario and the worker."""


def scenario_of(work: Work, *fields: tuple[str, Any], **members: Any) -> Found:
    """A scenario with this round over these fields, by default one 8-byte `value`; its check finds nothing."""
    memory = type("Memory", (Structure,), {"_fields_": list(fields) or [("value", c_uint64)]})
    kind = type("Made", (Scenario,), {"Memory": memory, "work": work, "check": no_damage, **members})
    return Found("made", kind, "")


def no_damage(scenario: Scenario, memory: Any, outcome: Outcome) -> list[Damage]:
    return []


def cells(count: int) -> tuple[str, Any]:
    """A field of single bytes, `cells`."""
    return "cells", c_uint8 * count


def shape(found: Found | str, lock: str = "none", workers: int = 2, rounds: int = 1, line: int = 64) -> Shape:
    """The shape of a scenario, a built-in one by its name."""
    if isinstance(found, str):
        found = find_scenarios([found])[0]
    return shape_of(found, lock, workers, rounds, line)


def world(
    found: Found | str,
    lock: str = "none",
    workers: int = 2,
    rounds: int = 1,
    *,
    line: int = 64,
    longest: int = LONGEST,
) -> World:
    """The world of a scenario, before the first step."""
    return World(shape(found, lock, workers, rounds, line), longest)


def each_waits(_: object, w: Any) -> None:
    """A round in which two workers that meet each other wait for ever: a state that leads back to itself."""
    memory = w.memory
    memory.cells[w.index] = 1
    if not memory.cells[1 - w.index]:
        memory.cells[2] = 1
    while not memory.cells[2]:
        w.pause()


@dataclass(frozen=True)
class Ending:
    """How one schedule ended, in terms that no order of learning changes."""

    content: bytes
    kinds: frozenset[str]
    reports: tuple[tuple[tuple[str, str], ...], ...]
    ways: tuple[str, ...]


def ending(world: World) -> Ending:
    """The bytes, the kinds of damage, what each worker reported and how it ended."""
    return Ending(
        bytes(world.content), world.end().kinds, tuple(node.seen for node in world.at), tuple(map(way, world.at))
    )


def way(node: Node) -> str:
    """How a worker ended, or what it waits for."""
    if not node.ended:
        return repr(node.operation)
    return repr(node.failed) if node.failed else "finished"


@dataclass
class Endings(Tally):
    """A tally without a clock that keeps how each schedule ended, and each schedule; it stops beyond `most`."""

    deadline: float = inf
    most: float = inf
    paths: list[bytes] = field(default_factory=list)
    broken_paths: list[bytes] = field(default_factory=list)
    met: set[Ending] = field(default_factory=set)

    def add(self, world: World) -> bool:
        self.paths.append(bytes(world.path))
        self.met.add(ending(world))
        if world.end().damage:
            self.broken_paths.append(self.paths[-1])
        return Tally.add(self, world) or self.schedules > self.most


def follow(world: World, schedule: bytes | list[int]) -> World:
    """The world after these steps, each of which must be possible."""
    for worker in schedule:
        assert worker in world.choices()
        world.do(worker)
    return world


def to_the_end(world: World, turns: Iterator[int] | None = None) -> World:
    """The world once nobody can go on; the turns pick among the choices, by default the first."""
    while choices := world.choices():
        world.do(choices[next(turns) % len(choices) if turns else 0])
    return world
