"""A second explorer, to hold the first against: all workers at once, each in a greenlet, over one bytearray.

It runs the scenario's text anew for every schedule and knows nothing of trees: a worker stops before each load, store,
lock and unlock until the scheduler names it. Its lock table holds bytes, one by one.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import contextmanager
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple

from greenlet import getcurrent, greenlet

from lab import Deadlock
from lab.exploring.operation import LOCK, UNLOCK, Operation, SteppedBytes
from lab.exploring.worker import Shape
from lab.memory.struct_proxy import BytesProxy, struct_proxy

LONGEST_RING = 12
"""Workers in the longest ring that the kernel notices."""


class Abandoned(BaseException):
    """Ends a worker that nobody lets go on."""


class Did(NamedTuple):
    """One step that was taken: who did what to which bytes."""

    worker: int
    kind: int
    start: int
    end: int
    write: bool

    @classmethod
    def of(cls, worker: int, operation: Operation) -> Did:
        return cls(worker, operation.kind, operation.start, operation.end, operation.write)


class Run(NamedTuple):
    """One schedule: its steps, who could have gone on before each, and what was left when nobody could go on."""

    schedule: bytes
    steps: list[Did]
    choices: list[list[int]]
    content: bytes
    reports: list[list[tuple[str, str]]]
    failed: list[str]
    left: list[str]


class Bytewise:
    """Who holds which byte, and whether exclusively; owners in the order in which they came."""

    def __init__(self, size: int, lock: str) -> None:
        self.size = size  # the byte behind the last stands for all that follow
        self.whole = lock == "flock"
        self.held: dict[int, dict[int, list[bool]]] = {}
        self.lost: set[int] = set()  # who gave up a shared flock and waits for an exclusive one

    def touched(self, operation: Operation) -> range:
        return range(1) if self.whole else range(operation.start, min(operation.end, self.size + 1))

    def blocker(self, owner: int, operation: Operation) -> int | None:
        mine = self.held.get(owner, {})
        if self.whole and mine and (mine[0][0] or not operation.write):
            return None
        for other, theirs in self.held.items():
            if other not in (owner, *self.lost) and any(
                at in theirs and (operation.write or theirs[at][0]) for at in self.touched(operation)
            ):
                return other
        return None

    def take(self, owner: int, operation: Operation) -> None:
        mine = self.held.setdefault(owner, {})
        for at in self.touched(operation):
            if self.whole:
                kept = mine.setdefault(at, [])
                kept.append(operation.write)
                kept[0] = kept[0] or operation.write
                self.lost.discard(owner)
            else:
                mine[at] = [operation.write]

    def gives_up(self, owner: int, operation: Operation) -> bool:
        """True where to ask costs the owner its shared flock."""
        return (
            self.whole and owner in self.held and owner not in self.lost and self.blocker(owner, operation) is not None
        )

    def give_back(self, owner: int, operation: Operation) -> None:
        mine = self.held.get(owner, {})
        for at in self.touched(operation):
            if self.whole and len(mine[at]) > 1:
                mine[at].pop()
            else:
                mine.pop(at, None)
        if not mine:
            self.held.pop(owner, None)


class JointWorker:
    """`lab.Worker` in a greenlet that is kept from schedule to schedule and fed one after the other."""

    def __init__(self, joint: Joint, index: int) -> None:
        shape = joint.shape
        self.index, self.workers, self.rounds = index, shape.workers, shape.rounds
        self.next: Operation | None = None
        self._joint = joint
        self._memory = SteppedBytes(joint.content, shape.line, self.before)
        self.memory = struct_proxy(shape.memory, self._memory, self._memory.numbers)
        self.greenlet = greenlet(self._live)
        self.renew()

    def renew(self) -> None:
        self.round = 0
        self.local = SimpleNamespace()
        self.random = Random(f"explore/{self.index}")
        self.seen: list[tuple[str, str]] = []
        self.failed = ""

    def _live(self) -> None:
        while True:
            self._joint.hub.switch()
            try:
                for self.round in range(self.rounds):  # noqa: B020 - an attribute runs through the range
                    self._joint.shape.scenario.work(self)  # type: ignore[arg-type]
            except Abandoned:
                pass
            except Exception as error:
                self.failed = repr(error)
            self.next = None

    def before(self, operation: Operation) -> None:
        """Stop until the scheduler lets this step be taken."""
        if getcurrent() is self.greenlet:
            self.next = operation
            self._joint.hub.switch()

    def write_lock(self, field: Any = None, index: int | None = None, count: int = 1) -> Any:
        return self._hold(self._joint.shape.layout.extent(field, index, count), write=True)

    def read_lock(self, field: Any = None, index: int | None = None, count: int = 1) -> Any:
        return self._hold(self._joint.shape.layout.extent(field, index, count), write=False)

    @contextmanager
    def _hold(self, extent: tuple[int, int], *, write: bool) -> Any:
        lock = self._joint.shape.lock
        if lock == "none" or getcurrent() is not self.greenlet:
            yield
            return
        extent = (0, 0) if lock == "flock" else extent
        asks, gives = (Operation(kind, *extent, write=write) for kind in (LOCK, UNLOCK))
        self.before(asks)
        if self._joint.table.blocker(self.index, asks) is not None:
            raise Deadlock(errno.EDEADLK, "Resource deadlock avoided")
        self._joint.table.take(self.index, asks)
        try:
            yield
        except Abandoned:
            raise
        except BaseException:
            self._unlock(gives)
            raise
        self._unlock(gives)

    def _unlock(self, gives: Operation) -> None:
        self.before(gives)
        self._joint.table.give_back(self.index, gives)

    def bytes(self, field: Any, index: int | None = None, count: int = 1) -> BytesProxy:
        return BytesProxy(self._memory, *self._joint.shape.layout.extent(field, index, count))

    def damaged(self, kind: str, evidence: str = "") -> None:
        self.seen.append((kind, f"worker {self.index}, round {self.round}: {evidence}"))

    def pause(self) -> None:
        pass


class Joint:
    """The workers of one shape, their bytes and their lock; `run` takes one schedule from beginning to end."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.hub = getcurrent()
        self.content = bytearray(shape.layout.size)
        self.table = Bytewise(len(self.content), shape.lock)
        self.workers = [JointWorker(self, index) for index in range(shape.workers)]
        for worker in self.workers:
            worker.greenlet.switch()

    def choices(self) -> list[int]:
        """Who can go on: whoever asks for no lock, for a free one, or closes a ring of POSIX locks."""
        return [index for index in range(len(self.workers)) if self._can(index)]

    def _can(self, index: int) -> bool:
        operation = self.workers[index].next
        return operation is not None and (
            self._waits_for(index) is None or self._closes_ring(index) or self._gives_up(index, operation)
        )

    def _gives_up(self, index: int, operation: Operation) -> bool:
        return operation.kind == LOCK and self.table.gives_up(index, operation)

    def _waits_for(self, index: int) -> int | None:
        operation = self.workers[index].next
        if operation is None or operation.kind != LOCK:
            return None
        return self.table.blocker(index, operation)

    def _closes_ring(self, index: int) -> bool:
        ring = [index]
        while (following := self._waits_for(ring[-1])) is not None and following not in ring:
            ring.append(following)
        return self.shape.lock == "fcntl" and following == index and len(ring) <= LONGEST_RING

    def run(self, pick: Callable[[list[int]], int]) -> Run:
        """Let the one that is picked among the choices go on, until there are none."""
        self._begin()
        schedule, steps, choices = bytearray(), [], []
        while possible := self.choices():
            worker = pick(possible)
            operation = self.workers[worker].next
            assert operation is not None
            choices.append(possible)
            schedule.append(worker)
            steps.append(Did.of(worker, operation))
            if self._gives_up(worker, operation):
                self.table.lost.add(worker)
            else:
                self.workers[worker].greenlet.switch()
        left = ["" if each.next is None else repr(each.next) for each in self.workers]
        run = Run(
            bytes(schedule),
            steps,
            choices,
            bytes(self.content),
            [each.seen for each in self.workers],
            [each.failed for each in self.workers],
            left,
        )
        self.end()
        return run

    def follow(self, schedule: bytes) -> Run:
        """The run of this schedule; each of its steps must be possible, and nobody can go on after it."""
        turns = iter(schedule)
        run = self.run(lambda possible: next(worker for worker in turns if worker in possible))
        assert run.schedule == schedule
        return run

    def _begin(self) -> None:
        scenario = self.shape.scenario
        self.content[:] = bytes(len(self.content))
        self.table.held.clear()
        self.table.lost.clear()
        scenario.prepare(self.shape.memory.from_buffer(self.content))
        for worker in self.workers:
            worker.renew()
            scenario.start(worker)  # type: ignore[arg-type]
        for worker in self.workers:
            worker.greenlet.switch()

    def end(self) -> None:
        """Unwind whoever still waits, so that each greenlet is ready for the next schedule."""
        for worker in self.workers:
            if worker.next is not None:
                worker.greenlet.throw(Abandoned)
