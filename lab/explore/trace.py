"""A schedule, step by step: what each worker did, what it met, and how it came to its turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from lab.model.holds import END
from lab.results import Step

from .bounded import steps_aside
from .names import Value, named, value_of
from .operation import LOAD, LOCK, STORE, UNLOCK
from .world import End, World

Turn = Literal["same", "preempted", "free"]
WORDS: dict[int, Literal["load", "store", "lock", "unlock"]] = {
    LOAD: "load", STORE: "store", LOCK: "lock", UNLOCK: "unlock",
}  # fmt: skip


def trace(world: World, schedule: bytes) -> tuple[list[Step], End]:
    """The steps of the schedule and how it ends; the world stands at its beginning before and after."""
    steps = []
    last = -1
    for worker in schedule:
        steps.append(_step(world, worker, _turn(world, last, worker)))
        last = worker
    end = world.end()
    world.back_to(0)
    return steps, end


def _turn(world: World, last: int, worker: int) -> Turn:
    if worker == last:
        return "same"
    could_go_on = last >= 0 and last in world.choices() and not steps_aside(world.at[last])
    return "preempted" if could_go_on else "free"


def _step(world: World, worker: int, turn: Turn) -> Step:
    node = world.at[worker]
    operation = node.operation
    if operation is None:
        raise AssertionError("a schedule names only workers that have a step left")
    refused = operation.kind == LOCK and world.waits_for(worker) is not None
    met = bytes(world.content[operation.start : operation.end]) if operation.kind == LOAD else b""
    world.do(worker)
    name, kind = named(world.shape.memory, operation.start, operation.end)
    values: dict[int, Callable[[], Value]] = {
        LOAD: lambda: value_of(kind, met),
        STORE: lambda: value_of(kind, node.data),
        LOCK: lambda: "EDEADLK" if refused else ("exclusive" if operation.write else "shared"),
        UNLOCK: lambda: None,
    }
    value = values[operation.kind]()
    length = 0 if operation.end == END else operation.end - operation.start
    return Step(worker, node.round, WORDS[operation.kind], name, value, turn, operation.start, length)
