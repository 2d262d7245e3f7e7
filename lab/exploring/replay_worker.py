"""Run the worker of a replay: a real process over the mapped file and the real lock, which waits for its turn.

The turn is a byte in a pipe. A worker that has it does as many steps as its turn has, goes on to before its next step,
and passes the turn to the next worker, without a way through the parent. Before each step it compares its operation
with the model's, and the bytes that it is about to load with those that the model had. The parent plans the steps and
turns of each worker, and exchanges messages with it.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby
from typing import Any, NamedTuple, NoReturn

from lab.errors import refusal
from lab.locking import Action, Deadlock, find_lock
from lab.memory import MAPPED
from lab.memory.named_files import NamedFiles
from lab.model.directory import Result
from lab.scenario.base import exception_text

from .behaviour import met_alone
from .operation import LOAD, LOCK, SPINS, FileCall, FileLock, Operation, SteppedBytes
from .worker import Shape, SteppedWorker
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


def told_results(results: Sequence[Hashable]) -> list[tuple[str, str]]:
    """Return the results of a worker's calls as reports."""
    return [("result", repr(each)) for each in results]


SILENT: dict[str, Any] = {"divergence": "", "digest": digest([]), "seen": [], "raised": ""}
"""The report of a worker that has nothing to say."""


def read_report(slot: memoryview) -> dict[str, Any]:
    """Return what a worker left in its slot: usually nothing."""
    length = int.from_bytes(slot[:4], "little")
    return json.loads(bytes(slot[4 : 4 + length])) if length else {**SILENT}


class Expected(NamedTuple):
    """One step of the model: its number in the schedule from 1, and what a load or a call meets."""

    number: int
    word: str
    start: int
    length: int
    write: bool
    met: Any
    refused: bool

    def fits(self, operation: Operation) -> bool:
        """Return True for the same operation on the same bytes."""
        return (operation.word, *operation.where, operation.write) == self[1:5]

    def is_met(self, result: Result) -> bool:
        """Return True where a call had this result: the same bytes, or the same error."""
        met: Result = self.met
        if isinstance(result, bytes) or isinstance(met, bytes):
            return result == met
        return min(result, 0) == min(met, 0)


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
        reports=tuple((*node.seen, *told_results(node.results)) for node in world.at),
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
    met = met_alone(operation, world.load)
    refused = operation.kind == LOCK and world.waits_for(worker) is not None
    return Expected(number, operation.word, *operation.where, operation.write, met, refused)


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


class GaveUp(BaseException):
    """The worker did otherwise than the model: the schedule cannot go on."""


class Replayed:
    """One worker. It uses the shared `board` to report to the parent.

    It leaves there the number of its present step, and, in the second half, that a lock was granted for which the
    parent had sent it into the kernel to wait.
    """

    def __init__(self, plan: Plan, index: int, path: str, pipes: Pipes, said: memoryview, board: memoryview) -> None:
        self._plan = plan
        self._index = index
        self._pipes = pipes
        self._said = said
        self._board = board
        self._workers = plan.shape.workers
        self._expected = plan.steps[index]
        self._turns = turns_of(plan, index)
        self._mapping = MAPPED.map(path, plan.shape.layout.size)
        self._files = NamedFiles(path) if plan.shape.directory else None
        self._view = memoryview(self._mapping.buffer)
        self._lock = find_lock(plan.shape.lock)
        self._seen: list[tuple[str, str]] = []
        memory = SteppedBytes(self._mapping.buffer, plan.shape.line, self.step)
        self._worker = SteppedWorker(plan.shape, index, memory, self._guard, self._seen, self._files)
        self._worker.paused = self._pause
        self._turn = self._left = self._taken = 0
        self._ready = False
        self._early: Operation | None = None
        self._first = b""
        self.acquires: dict[Operation, Action] = {}
        self._held: dict[Operation, Action] = {}

    def serve(self) -> None:
        """Perform one schedule after the other, until the parent is gone."""
        while message := os.read(self._pipes.reading[self._index], 1):
            if message == START:
                self._start()
                self._tell(DONE)
            else:
                self._perform(message)

    def _start(self) -> None:
        self._ready = True
        self._worker.renew()
        self._seen.clear()
        self._said[:4] = bytes(4)
        self._turn = self._taken = 0
        self._left = -1  # what start does is no step
        self._plan.shape.scenario.start(self._worker)  # type: ignore[arg-type]
        self._left = 0

    def _perform(self, message: bytes) -> None:
        """Perform all rounds of one schedule, with the first turn, or with the order to wait for the first lock."""
        if not self._ready:
            self._start()
        self._ready = False
        self._first = message
        failed = ""
        try:
            worker = self._worker
            for worker.round in range(worker.rounds):  # noqa: B020 - an attribute runs through the range
                self._plan.shape.scenario.work(worker)  # type: ignore[arg-type]
        except GaveUp:
            return
        except (Exception, SystemExit) as error:
            if refusal(error) and not getattr(error, "filename", None):
                raise  # the pipe of the turns failed, not the scenario
            failed = exception_text(error)
        if self._taken != len(self._expected):
            self._report(f"worker {self._index} ended after {self._taken} of its {len(self._expected)} steps {failed}")
            self._tell(DIVERGED)
            return
        for release in self._held.values():
            release()  # as the end of a process would
        self._held.clear()
        if self._seen or failed or self._worker.results:
            self._report("", failed)
        self._hand_over()

    def step(self, operation: Operation) -> Any:
        """Pass the turn before this access where it is used up, then compare the access with the model.

        Returns what a call returns.
        """
        if self._left < 0:
            return None
        self._worker.touched = True
        if self._taken == len(self._expected) and self._index not in self._plan.stuck:
            self._diverge(f"goes on with {operation!r} where the model had it end")
        if not self._left:
            if not self._first:
                self._hand_over()
            self._await_turn(operation)
        self._left -= 1
        expected = self._expected[self._taken]
        self._board[self._index] = expected.number
        self._taken += 1
        if not expected.fits(operation):
            self._diverge(f"is about to {operation!r} where the model had {expected.word} {expected.start}")
        if operation.kind == LOAD and self._view[operation.start : operation.end] != expected.met:
            met = bytes(self._view[operation.start : operation.end])
            self._diverge(f"loads {met.hex(' ')[:47]} from the file, the model has {expected.met.hex(' ')[:47]}")
        if not self._files or not isinstance(operation, FileCall):
            return None
        result = self._files.perform(operation.call)
        if not expected.is_met(result):
            self._diverge(f"meets {result!r} in {operation.word} {operation.call.about}, the model {expected.met!r}")
        return result

    def _pause(self) -> None:
        """Do the step of a pause where the model has one."""
        if self._left >= 0 and self._taken < len(self._expected) and self._expected[self._taken].word == SPINS.word:
            self.step(SPINS)

    def _await_turn(self, operation: Operation) -> None:
        """Wait for the turn; if ordered to wait for its lock in the kernel, do that first."""
        while (self._first or os.read(self._pipes.reading[self._index], 1)) == BLOCK:
            self._first = b""
            self._early = operation
            self.acquires[operation]()
            self._board[self._workers + self._index] = 1
        self._first = b""
        self._left = self._turns[self._turn][0]

    def _hand_over(self) -> None:
        following = self._turns[self._turn][1]
        self._turn += 1
        os.write(self._pipes.writing[following], GO if following != HUB else DONE)

    def _guard(self, lock: Operation, unlock: Operation) -> _Hold:
        descriptor, start, length = self._mapping.descriptor, lock.span.start, lock.span.length
        if self._files and isinstance(lock, FileLock):
            descriptor, start, length = self._files.descriptor(lock.call.slot), 0, 0
        acquire, release = self._lock.actions(descriptor, start, length, write=lock.write)
        return _Hold(self, lock, unlock, acquire, release)

    def unlock(self, lock: Operation, operation: Operation, release: Action) -> None:
        """Release a lock."""
        self.step(operation)
        release()
        self._held.pop(lock, None)

    def lock(self, operation: Operation, release: Action) -> None:
        """Acquire a lock as the model says: granted, or refused. Raises Deadlock where it is refused."""
        self.step(operation)
        self._held[operation] = release
        if self._early is operation:  # acquired while the parent made it wait
            self._early = None
            return
        refused = self._expected[self._taken - 1].refused
        try:
            self.acquires[operation]()
        except OSError as error:
            if error.errno != errno.EDEADLK or not refused:
                self._diverge(f"is refused {operation!r} by the kernel ({error.strerror}), the model grants it")
            del self._held[operation]
            raise Deadlock(errno.EDEADLK, error.strerror) from error
        if refused:
            self._diverge(f"is granted {operation!r} by the kernel, the model refuses it (EDEADLK)")

    def _diverge(self, what: str) -> NoReturn:
        self._report(
            f"at step {self._expected[min(self._taken, len(self._expected)) - 1].number} worker {self._index} {what}"
        )
        self._tell(DIVERGED)
        raise GaveUp

    def _report(self, divergence: str, failed: str = "") -> None:
        """Leave in shared memory the report to the parent: all reports in a digest, the first of them as text."""
        seen = [(kind, text[:SHOWN]) for kind, text in self._seen[:TOLD]]
        whole = digest([*self._seen, *told_results(self._worker.results)])
        told = {"divergence": divergence, "digest": whole, "seen": seen, "raised": failed[:SHOWN]}
        text = json.dumps(told).encode()
        self._said[4 : 4 + len(text)] = text
        self._said[:4] = len(text).to_bytes(4, "little")

    def _tell(self, message: bytes) -> None:
        os.write(self._pipes.writing[HUB], message)


class _Hold:
    __slots__ = ("_lock", "_release", "_unlock", "_worker")

    def __init__(self, worker: Replayed, lock: Operation, unlock: Operation, acquire: Action, release: Action) -> None:
        self._worker = worker
        self._lock = lock
        self._unlock = unlock
        self._release = release
        worker.acquires[lock] = acquire

    def __enter__(self) -> _Hold:
        self._worker.lock(self._lock, self._release)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        if kind is not GaveUp:
            self._worker.unlock(self._lock, self._unlock, self._release)


def turns_of(plan: Plan, index: int) -> Sequence[tuple[int, int]]:
    """Return the turns of one worker: how many steps, and the next worker.

    The next is the parent where others have to wait first.
    """
    turns = []
    for turn, following in zip(plan.turns, [*plan.turns[1:], None], strict=True):
        if turn.worker == index:
            turns.append((turn.steps, HUB if following is None or following.waiters else following.worker))
    return turns
