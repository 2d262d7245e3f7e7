"""Report a schedule step by step: what each worker did, what it met, and how it got its turn."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import Structure
from errno import errorcode
from typing import Any, Literal

from lab.records import Step

from .node import Node
from .operation import LOAD, LOCK, PAUSE, STORE, FileCall, Operation, Value, value_of
from .world import End, World

WAITS, GIVES_UP = "waits", "gives up"
"""The value of a lock that is never granted, and of a request that releases a shared lock to wait (flock(2))."""

Turn = Literal["same", "preempted", "free"]


def trace(world: World, schedule: bytes) -> tuple[list[Step], End]:
    """Return the steps of the schedule and how it ends; the world is at its beginning before and after.

    Where workers wait for ever, the locks that they wait for follow, with the value "waits".
    """
    steps: list[Step] = []
    last = -1
    for worker in schedule:
        steps.append(step_now(world, worker, turn_of(world, last, worker)))
        last = worker
    end = world.end()
    if not end.by_invariant:
        steps += [wait_now(world, worker) for worker, node in enumerate(world.at) if not node.ended]
    world.back_to(0)
    return steps, end


def wait_now(world: World, worker: int) -> Step:
    """Return the lock that a worker waits for."""
    node = world.at[worker]
    if node.operation is None:
        raise AssertionError("who has not ended has something left to do")
    name, word = node.operation.named(world.shape.memory).name, "pause" if node.operation.kind == PAUSE else "lock"
    return Step(worker, node.round, word, name, WAITS, "free", *node.operation.where)  # type: ignore[arg-type]


def turn_of(world: World, last: int, worker: int) -> Turn:
    """Return how this worker comes to its turn after the last one; -1 is none."""
    if worker == last:
        return "same"
    return "preempted" if last >= 0 and world.could_go_on(last) else "free"


def step_now(world: World, worker: int, turn: Turn = "same") -> Step:
    """Let a worker do its step, and return the step."""
    node = world.at[worker]
    operation = node.operation
    if operation is None:
        raise AssertionError("a schedule names only workers that have a step left")
    refused = operation.kind == LOCK and world.waits_for(worker) is not None
    gives_up = world.gives_up(worker)
    met = world.do(worker)
    return step_of(world.shape.memory, worker, node, met, turn, refused=refused, gives_up=gives_up)


def step_of(
    memory: type[Structure],
    worker: int,
    node: Node,
    met: Any,
    turn: Turn,
    *,
    refused: bool = False,
    gives_up: bool = False,
) -> Step:
    """Return the step that this node's worker has done, where it met these bytes, or its lock was granted or not."""
    operation = node.operation
    if operation is None:
        raise AssertionError("who has ended does no step")
    name, kind = operation.named(memory)
    values: dict[int, Callable[[], Value]] = {
        LOAD: lambda: value_of(kind, met),
        STORE: lambda: value_of(kind, node.data),
        LOCK: lambda: _lock_value(operation, refused=refused, gives_up=gives_up),
    }
    value = _call_value(operation, met) if isinstance(operation, FileCall) else values.get(operation.kind, _nothing)()
    word: Any = operation.word
    return Step(worker, node.round, word, name, value, turn, *operation.where)


def _nothing() -> Value:
    return None


def _call_value(operation: FileCall, met: bytes | int) -> Value:
    """Return what a call has read or written, or the error that it met."""
    if isinstance(met, bytes):
        return text_of(met)
    if met < 0:
        return errorcode[-met]
    return text_of(operation.call.data) if operation.word == "write" else None


def text_of(data: bytes) -> str:
    """Return what a file holds as people read it: in quotes, or as hexadecimal digits where it is no text."""
    text = data.decode("ascii", "replace")
    return f"'{text}'" if text.isprintable() and "\ufffd" not in text else data.hex()


def _lock_value(operation: Operation, *, refused: bool, gives_up: bool) -> str:
    if gives_up:
        return GIVES_UP
    if refused:
        return "EDEADLK"
    return "exclusive" if operation.write else "shared"
