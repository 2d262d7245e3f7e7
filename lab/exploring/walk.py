"""Walk the states of a simulated world in C, where that was compiled (`_walk.c`, `_world.c`).

The compiled search has numbers for all that a state is made of, and asks here for what it meets for the first time: the
node after a result, what a lock does, whether the invariant holds, and what is broken at an end. So it meets the same
states in the same order as the search in Python, and counts the same. Several threads (`_layers.c`, `_parts.c`) meet
them in another order, and count the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lab.compiled import load_compiled
from lab.model.record_locks import MAX_DEADLK_ITERATIONS

from .node import Node
from .operation import LOAD, LOCK, STORE, UNLOCK, Operation
from .tally import Tally
from .world import World

_built = load_compiled("lab.exploring._walk", "states")
compiled: Callable[..., tuple[int, bytes, bytes, bool] | None] | None = _built.states if _built else None
"""The compiled search, where there is one."""


def can_walk(world: World) -> bool:
    """Return True for a world that is walked in C: at its beginning, and without calls, whose steps Python performs."""
    return compiled is not None and type(world) is World and world.shape.directory is None and not world.path


class Walk:
    """The side of a compiled search that knows the world; `found` are its states, all schedules, and those that break.

    No schedules are counted where a state leads back to itself. The world is at its beginning before and after.
    """

    def __init__(self, world: World, tally: Tally) -> None:
        self._world = world
        self._tally = tally
        self._nodes: list[dict[int, Node]] = [{node.number: node} for node in world.at]
        self._operations: list[Operation] = []
        self._numbers: dict[tuple[int, int], int] = {}

    def run(self, jobs: int = 1) -> tuple[int, tuple[int, int] | None] | None:
        """Search, and return the number of states, and of the schedules through them: all, and those that break.

        With several `jobs` so many threads search together. None where the search has to begin anew, and what the tally
        has counted does not count: a worker was seen to spin, or threads cannot do this, as where workers try again.
        """
        world = self._world
        assert compiled is not None  # noqa: S101 - `can_walk`
        start = bytes(world.content), world.state, world.news
        try:
            found = compiled(
                self, len(world.at), start[0], start[2], world.longest, world.locked, world.locks.detects,
                world.has_invariant, world.in_between, world.spins, MAX_DEADLK_ITERATIONS + 1, world.alike, jobs,
            )  # fmt: skip
        finally:
            world.set_state([each.root for each in world.behaviours], *start)
        if found is None:
            return None
        count, every, broken, circles = found
        return count, None if circles else (int.from_bytes(every, "little"), int.from_bytes(broken, "little"))

    def node(self, worker: int, number: int) -> tuple[int, bool, bool, bool, int, int, int]:
        """Return a node: its kind, whether it has ended, tells, and is between rounds; its operation, start and end."""
        node = self._nodes[worker][number]
        operation = node.operation
        between = node.between_rounds
        if operation is None:
            return -1, node.ended, False, between, 0, 0, 0
        kind = operation.kind
        place = (operation.start, operation.end) if kind in (LOAD, STORE) else (0, 0)
        return kind, node.ended, operation.tells, between, self._number(worker, operation), *place

    def _number(self, worker: int, operation: Operation) -> int:
        """Return the number of a worker's lock or unlock."""
        if operation.kind not in (LOCK, UNLOCK):
            return 0
        key = worker, id(operation)
        if key not in self._numbers:
            self._numbers[key] = len(self._operations)
            self._operations.append(operation)
        return self._numbers[key]

    def learn(self, worker: int, number: int, met: Any) -> tuple[int, bytes, bool]:
        """Return the node after this one for this result, what its step stores, and whether any worker spins."""
        node = self._nodes[worker][number]
        following = node.next.get(met) or self._world.learn(worker, node, met)
        self._nodes[worker][following.number] = following
        return following.number, node.data, self._world.spins

    def lock_step(self, state: int, number: int, worker: int) -> tuple[int, int]:
        """Return the blocker of a request, -1 where there is none or it unlocks, and the state of the lock then."""
        operation, locks = self._operations[number], self._world.locks
        if operation.kind == UNLOCK:
            return -1, locks.release(state, worker, operation)
        blocker, after = locks.request(state, worker, operation)
        return -1 if blocker is None else blocker, after

    def drop(self, state: int, _: int, worker: int) -> tuple[int, int]:
        """Return the state of the lock once the worker is gone."""
        return -1, self._world.locks.drop(state, worker)

    def part(self, state: int, _: int, worker: int) -> tuple[int, int]:
        """Return the number of what the worker has of the lock."""
        return -1, self._world.locks.part(state, worker)

    def is_free(self, state: int, _: int, __: int) -> tuple[int, int]:
        """Return whether no worker holds anything."""
        return int(self._world.locks.is_free(state)), state

    def broken(self, at: tuple[int, ...], content: bytes, state: int, news: int) -> tuple[bool]:
        """Return whether the invariant finds something broken in this state."""
        self._go_to(at, content, state, news)
        return (bool(self._world.broken()),)

    def ended(self, path: bytes, where: tuple[Any, ...], cut: int) -> tuple[bool, bool]:
        """Count this end, or the schedule that was cut; return whether it breaks, and whether the search must stop."""
        tally, world = self._tally, self._world
        self._go_to(*where)
        world.path[:] = path
        before = tally.broken
        if cut:
            tally.give_up()
        else:
            tally.add(world)
        return tally.broken > before, tally.over

    def late(self) -> bool:
        """Return True once the search must stop."""
        return self._tally.late() or self._tally.over

    def _go_to(self, at: tuple[int, ...], content: bytes, state: int, news: int) -> None:
        nodes = [self._nodes[worker][number] for worker, number in enumerate(at)]
        self._world.set_state(nodes, content, state, news)
