"""Run the worker of a replay: a real process over the mapped file and the real lock, which waits for its turn.

The turn is a byte in a pipe. A worker that has it does as many steps as its turn has, goes on to before its next step,
and passes the turn to the next worker, without a way through the parent. Before each step it compares its operation
with the model's, and the bytes that it is about to load with those that the model had.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Sequence
from typing import Any, NoReturn

from lab.errors import refusal
from lab.locking import Action, Deadlock, find_lock
from lab.memory import MAPPED
from lab.scenario.base import exception_text

from .operation import LOAD, NAMES, Operation, SteppedBytes
from .replay_protocol import BLOCK, DIVERGED, DONE, GO, HUB, SHOWN, START, TOLD, Pipes, Plan, digest
from .worker import SteppedWorker


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
        self._view = memoryview(self._mapping.buffer)
        self._lock = find_lock(plan.shape.lock)
        self._seen: list[tuple[str, str]] = []
        memory = SteppedBytes(self._mapping.buffer, plan.shape.line, self.step)
        self._worker = SteppedWorker(plan.shape, index, memory, self._guard, self._seen)
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
        if self._seen or failed:
            self._report("", failed)
        self._hand_over()

    def step(self, operation: Operation) -> None:
        """Pass the turn before this access where it is used up, then compare the access with the model."""
        if self._left < 0:
            return
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
            self._diverge(f"is about to {operation!r} where the model had {NAMES[expected.kind]} {expected.start}")
        if expected.kind == LOAD and self._view[operation.start : operation.end] != expected.met:
            met = bytes(self._view[operation.start : operation.end])
            self._diverge(f"loads {met.hex(' ')[:47]} from the file, the model has {expected.met.hex(' ')[:47]}")

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
        acquire, release = self._lock.actions(
            self._mapping.descriptor, lock.span.start, lock.span.length, write=lock.write
        )
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
        told = {"divergence": divergence, "digest": digest(self._seen), "seen": seen, "raised": failed[:SHOWN]}
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
