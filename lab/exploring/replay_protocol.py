"""Plan each worker's steps and turns in a replay, and pass messages between the parent and the workers."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from typing import Any, NamedTuple

from lab.scenario.base import exception_text

from .operation import LOAD, LOCK, Operation
from .worker import Shape
from .world import World

GO, BLOCK, START, DONE, DIVERGED = b"g", b"b", b"s", b"d", b"x"
HUB = -1
SLOT = 1 << 16
TOLD = 20
SHOWN = 400
"""The bytes of shared memory for a worker's report, and the most reports and the most characters of each."""


@dataclass(frozen=True, slots=True)
class Pipes:
    """The ends of the pipes through which the workers and the parent pass the turn; the parent's are the last."""

    reading: list[int]
    writing: list[int]

    @classmethod
    def make(cls, workers: int) -> Pipes:
        """Make one pipe for each worker and one for the parent."""
        pairs = [os.pipe() for _ in range(workers + 1)]
        return cls([pair[0] for pair in pairs], [pair[1] for pair in pairs])

    def close(self) -> None:
        """Close all of them in this process."""
        for end in self.reading + self.writing:
            os.close(end)


def digest(reports: Sequence[tuple[str, str]]) -> str:
    """Return a digest that is equal for equal reports."""
    return blake2b(json.dumps([list(each) for each in reports]).encode(), digest_size=16).hexdigest()


SILENT: dict[str, Any] = {"divergence": "", "digest": digest([]), "seen": [], "raised": ""}
"""The report of a worker that has nothing to say."""


def read_report(slot: memoryview) -> dict[str, Any]:
    """Return what a worker left in its slot: usually nothing."""
    length = int.from_bytes(slot[:4], "little")
    return json.loads(bytes(slot[4 : 4 + length])) if length else {**SILENT}


class Expected(NamedTuple):
    """One step of the model: its number in the schedule from 1, and the bytes that a load meets."""

    number: int
    kind: int
    start: int
    end: int
    write: bool
    met: bytes
    refused: bool

    def fits(self, operation: Operation) -> bool:
        """Return True for the same operation on the same bytes."""
        return (operation.kind, operation.start, operation.end, operation.write) == self[1:5]


class Turn(NamedTuple):
    """Steps that a worker does without a break; before them `waiters` are to wait in the kernel.

    They close the ring for which the kernel refuses the first step, or give up a shared lock by asking (flock(2)).
    """

    worker: int
    steps: int
    waiters: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a schedule, and its end: bytes, reports and exceptions by worker; `stuck` do not go on.

    They wait for ever, or the schedule ends early, where the invariant does not hold. Of those that wait the `last` are
    sent into the kernel at the end; the others wait there already. `prepared` are the bytes at
    the beginning, before the workers' `start`.
    """

    shape: Shape
    schedule: bytes
    prepared: bytes
    final: bytes
    steps: tuple[tuple[Expected, ...], ...]
    turns: tuple[Turn, ...]
    reports: tuple[tuple[tuple[str, str], ...], ...]
    raised: tuple[str, ...]
    stuck: tuple[int, ...]
    last: tuple[int, ...]


def plan_of(world: World, schedule: bytes) -> Plan:
    """Return the plan of a schedule, which the world runs once, and undoes."""
    steps: list[list[Expected]] = [[] for _ in world.at]
    waiters: dict[int, tuple[int, ...]] = {}
    performed = bytearray()
    asking: list[int] = []
    for place, worker in enumerate(schedule):
        if world.gives_up(worker):
            asking.append(worker)
        else:
            expected = _expected(world, worker, place + 1)
            first = (*asking, *(_ring(world, worker) if expected.refused else ()))
            if first:
                waiters[len(performed)] = first
            asking.clear()
            steps[worker].append(expected)
            performed.append(worker)
        world.do(worker)
    stuck = tuple(i for i, node in enumerate(world.at) if not node.ended)
    waiting = () if world.broken() else stuck
    inside = {worker for first in waiters.values() for worker in first}
    made = Plan(
        shape=world.shape,
        schedule=schedule,
        prepared=world.prepared,
        final=bytes(world.content),
        steps=tuple(map(tuple, steps)),
        turns=tuple(_turns(performed, waiters)),
        reports=tuple(node.seen for node in world.at),
        raised=tuple(exception_text(node.failed) if node.failed else "" for node in world.at),
        stuck=stuck,
        last=tuple(worker for worker in waiting if worker not in inside),
    )
    world.back_to(0)
    return made


def _expected(world: World, worker: int, number: int) -> Expected:
    operation = world.at[worker].operation
    if operation is None:
        raise AssertionError("a schedule names only workers that have a step left")
    start, end = operation.start, operation.end
    met = bytes(world.content[start:end]) if operation.kind == LOAD else b""
    refused = operation.kind == LOCK and world.waits_for(worker) is not None
    return Expected(number, operation.kind, start, end, operation.write, met, refused)


def _ring(world: World, worker: int) -> tuple[int, ...]:
    """Return the workers that wait, one for the other and the last for this worker."""
    ring = []
    at = world.waits_for(worker)
    while at is not None and at != worker:
        ring.append(at)
        at = world.waits_for(at)
    return tuple(ring)


def _turns(schedule: bytes | bytearray, waiters: dict[int, tuple[int, ...]]) -> list[Turn]:
    """Divide the schedule into turns; a step before which a worker has to wait begins a turn."""
    turns: list[Turn] = []
    place = 0
    for worker, group in groupby(enumerate(schedule), key=lambda each: (each[1], sum(at <= each[0] for at in waiters))):
        count = len(list(group))
        turns.append(Turn(worker[0], count, waiters.get(place, ())))
        place += count
    return turns
