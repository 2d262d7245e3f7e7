"""Every state that the schedules of a world reach, and what each worker's step leads to: for a person to walk through.

A state is what `exhaustive.States` calls one: the bytes, the lock, and where each worker is in its tree. How far every
worker has come is part of it, so all ways to a state have the same number of steps, and no way comes back to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lab.results import Step

from .exhaustive import States, Ways
from .trace import step_now, wait_now
from .world import End, World


class Move(NamedTuple):
    """What a worker is about to do: `to` is the state that this leads to, None where it waits for the `blocker`.

    `stored` are the bytes that its step puts where its `start` is; empty where it stores nothing.
    """

    step: Step
    to: int | None
    blocker: int | None = None
    stored: bytes = b""


@dataclass(frozen=True, slots=True)
class State:
    """What each worker is about to do (None once it has finished), and how it ended where nobody can go on."""

    moves: Sequence[Move | None]
    end: End | None


@dataclass(frozen=True, slots=True)
class Graph:
    """States in the order of their steps, from the beginning on; `ways` are the schedules from each to an end."""

    states: Sequence[State]
    ways: Sequence[Ways]

    def after(self, schedule: bytes) -> int:
        """The state that a schedule leads to."""
        at = 0
        for worker in schedule:
            move = self.states[at].moves[worker]
            if move is None or move.to is None:
                raise ValueError(f"worker {worker} cannot go on there")
            at = move.to
        return at


class TooManyStatesError(Exception):
    """The graph has more states than wanted, or schedules without an end."""


def graph_of(world: World, most: int) -> Graph:
    """All states; the world is at its beginning before and after. Raises TooManyStatesError beyond `most`."""
    numbers: dict[int, int] = {}
    paths: list[bytes] = []
    keys = States()

    def number() -> int:
        """Of the state in which the world is; a new one is left for later, with a way to it."""
        key = keys.key(world)
        if key not in numbers:
            numbers[key] = len(paths)
            paths.append(bytes(world.path))
        return numbers[key]

    number()
    states = []
    for path in paths:
        world.follow(path)
        states.append(_state(world, number))
        world.back_to(0)
        if len(paths) > most:
            raise TooManyStatesError(f"more than {most:,} states")
    return Graph(states, _ways(states))


def _state(world: World, number: Callable[[], int]) -> State:
    choices = world.choices()
    moves = [
        _go(world, worker, number) if worker in choices else _stay(world, worker) for worker in range(len(world.at))
    ]
    return State(moves, None if choices else world.end())


def _go(world: World, worker: int, number: Callable[[], int]) -> Move:
    node = world.at[worker]
    step = step_now(world, worker)
    to = number()
    world.undo()
    return Move(step, to, None, node.data if step.operation == "store" else b"")


def _stay(world: World, worker: int) -> Move | None:
    return None if world.at[worker].ended else Move(wait_now(world, worker), None, world.waits_for(worker))


def _ways(states: Sequence[State]) -> list[Ways]:
    """From the ends backwards: a schedule goes on by each of the moves."""
    ways = [Ways(0, 0)] * len(states)
    for number in reversed(range(len(states))):
        state = states[number]
        if state.end:
            ways[number] = Ways(1, int(bool(state.end.damage)))
            continue
        following = [ways[move.to] for move in state.moves if move and move.to is not None]
        ways[number] = Ways(sum(each.all for each in following), sum(each.broken for each in following))
    return ways
