"""Perform the operations of an actor in its own process: open, lock, unlock, close, fork, start a thread, execve(2)."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from lab.errors import LabError, error_line
from lab.locking import Action, Lock
from lab.memory import open_file
from lab.output import print_to_stderr
from lab.processes.actor import SteppedProcess
from lab.processes.rpc import Gone

from .races import insist

ERRNOS = {**errno.errorcode, errno.EDEADLK: "EDEADLK"}
"""Linux has two names for that number."""

OK = "ok"
GRANTED = "granted"
PENDING = "pending"

LEGIBLE = 120
"""Characters that are kept of the text of a lock's own exception."""

SAMPLES = 9
SAMPLE_NS = 4_000_000
"""The least time of one sample of the cost, so that the time of reading the clock itself does not matter."""

Answer = tuple[object, int]
"""The result of an operation, and when it was done, in ns of CLOCK_MONOTONIC."""

AFTER_EXEC = "lab-after-exec"
"""The name (proc_pid_comm(5)) of the program that execve(2) puts in an actor's place.

It stays alive and keeps the descriptors that it was left. It names itself, because the kernel lets go of a lock of a
descriptor that execve closed only on the way back to the program, when its command line is already the new one.
"""


class LockRequest(NamedTuple):
    """A range of one file, locked through one of the actor's opens of it, to write or to read. Both count from 0."""

    file: int = 0
    opened: int = 0
    start: int = 0
    length: int = 8
    write: bool = True


class File(NamedTuple):
    """A file that is locked, and the lock that was prepared for this file."""

    path: Path
    lock: Lock


class Operations:
    """One process's opens of the files, its locks, its second thread and its child."""

    def __init__(self, files: Sequence[File]) -> None:
        self._files = files
        self._opens: dict[tuple[int, int], int] = {}
        self._actions: dict[LockRequest, tuple[Action, Action]] = {}
        self._thread: Any = None
        self._from_thread: list[Answer] = []
        self._children: list[SteppedProcess] = []
        self._refusals = 0

    def perform(self, operation: str, *values: Any) -> Answer:
        """Do one operation; return its result and when it was done, on the clock that all processes share.

        What the lock prints goes to standard error: the caller's output is the comparison.
        """
        print_to_stderr()
        try:
            result = getattr(self, operation)(*values)
        except Exception as error:  # a lock may raise anything
            result = self._raised(error)
        return (OK if result is None else result), time.monotonic_ns()

    def _raised(self, error: Exception) -> str:
        """Return an exception as text, without the name of the folder, which is gone by the time it is read."""
        if isinstance(error, OSError) and error.errno in ERRNOS:
            return ERRNOS[error.errno]
        text = str(error) if isinstance(error, LabError) else f"raised {error_line(error)}"
        return text.replace(f"{self._files[0].path.parent}/", "")[:LEGIBLE]

    def lock(self, *values: Any) -> str:
        """Acquire the lock, however long it takes; a lock that gives up is requested again."""
        insist(self._pair(values)[0], self._refuse)
        return GRANTED

    def refusals(self) -> int:
        """Return how often a lock gave up and was requested again."""
        return self._refusals

    def _refuse(self) -> None:
        self._refusals += 1

    def unlock(self, *values: Any) -> int:
        """Release the lock; return the time just before."""
        release = self._pair(values)[1]
        begun = time.monotonic_ns()
        release()
        return begun

    def touch(self) -> None:
        """Open and close every file in the folder: the data, and what a lock keeps beside it."""
        for path in sorted({path for file in self._files for path in file.path.parent.iterdir() if path.is_file()}):
            with suppress(FileNotFoundError):
                os.close(open_file(path, os.O_RDWR))

    def cost(self, *values: Any) -> list[float]:
        """Return the nanoseconds that one lock and unlock takes, in samples."""
        acquire, release = self._pair(values)
        calls = 1
        while _timed(acquire, release, calls) < SAMPLE_NS:
            calls *= 2
        return [round(_timed(acquire, release, calls) / calls, 1) for _ in range(SAMPLES)]

    def start_thread(self, operation: str, *values: Any) -> int:
        """Begin an operation in a second thread; return its number in the kernel."""
        from threading import Thread

        self._from_thread.clear()
        self._thread = Thread(target=lambda: self._from_thread.append(self.perform(operation, *values)), daemon=True)
        self._thread.start()
        return int(self._thread.native_id)

    def thread_result(self, seconds: float) -> Answer | str:
        """Return the answer of the thread, or that it has not finished."""
        self._thread.join(seconds)
        return PENDING if self._thread.is_alive() else self._from_thread[0]

    def fork(self) -> int:
        """Fork a child that has copies of everything; return its pid."""
        self._children.append(SteppedProcess(self.perform))
        return self._children[-1].pid

    def ask_child(self, operation: str, *values: Any) -> None:
        """Begin an operation in the child."""
        self._children[-1].begin(operation, *values)

    def child_result(self, seconds: float) -> Answer | str:
        """Return the answer of the child, or that it has not finished."""
        try:
            return self._children[-1].result(seconds) or PENDING
        except Gone as gone:
            return f"exit {gone.code}", time.monotonic_ns()

    def close_and_exit(self) -> NoReturn:
        """Close every open of the files, and end."""
        for descriptor in self._opens.values():
            os.close(descriptor)
        os._exit(0)

    def exec(self, keep: bool) -> NoReturn:
        """Run another program in place of this one (execve(2)), with all descriptors left open, or with none."""
        for number in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208 - numbers, no paths
            with suppress(OSError):
                os.set_inheritable(number, keep or number <= sys.__stderr__.fileno())  # type: ignore[union-attr]
        program = f"open('/proc/self/comm', 'w').write('{AFTER_EXEC}'); import time; time.sleep(3600)"
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", program])  # noqa: S606 - no shell is wanted

    def _pair(self, values: Sequence[Any]) -> tuple[Action, Action]:
        request = LockRequest(*values)
        if request not in self._actions:
            file = self._files[request.file]
            self._actions[request] = file.lock.actions(
                self._descriptor(request), request.start, request.length, write=request.write
            )
        return self._actions[request]

    def _descriptor(self, request: LockRequest) -> int:
        place = request.file, request.opened
        if place not in self._opens:
            self._opens[place] = open_file(self._files[request.file].path, os.O_RDWR)
        return self._opens[place]


def _timed(acquire: Action, release: Action, calls: int) -> int:
    begun = time.perf_counter_ns()
    for _ in range(calls):
        acquire()
        release()
    return time.perf_counter_ns() - begun
