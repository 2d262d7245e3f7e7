"""Step a process: make it do one thing at a time, see whether it is blocked on a lock, and end it.

Requests and answers are JSON values, so that a step is written as a call: `process.do("lock", 0, 8)`.

Whether a process is blocked on a lock can be seen from outside, for all stepped processes alike (`LockWait`). The
kernel says so where it can: the process sleeps in the kernel's lock code (proc_pid_wchan(5)), or /proc/locks lists a
request of it that waits. Where a server keeps the locks, or the kernel does not say, a process counts as blocked that
has slept in one place for some time.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Self

from lab.host.procfs import ASLEEP, LOOKS, listed_locks, process_stat, sleeps_in, switches_of

from .rpc import ChildRpc

IN_THE_LOCK_CODE = frozenset({"fcntl_setlk", "locks_lock_inode_wait", "do_lock_file_wait", "posix_lock_inode_wait"})
"""The functions in which Linux lets a process wait for a lock that it keeps itself (fs/locks.c)."""

SETTLED_S = 0.25
"""The time, in seconds, that a process sleeps on a local filesystem before it counts as blocked.

It is used where the kernel does not say.
"""

Files = Callable[[], Collection[int]]


def listed_requests(pid: int, files: Collection[int] = ()) -> int:
    """Return how many requests of the process /proc/locks lists as waiting.

    A request for a lock of an open file description names no process: those on `files`, by inode, count too.
    """
    with suppress(OSError):
        listed = listed_locks("-> ")
        return sum(lock.waits and (lock.pid == pid or (lock.pid < 0 and lock.inode in files)) for lock in listed)
    return 0


class LockWait:
    """One call of a process that may block on a lock; it is made before the call begins.

    No other process may begin such a call on the same files meanwhile: a request of an open file description that
    comes to wait counts as this call's.
    """

    def __init__(self, pid: int, files: Files | None = None, thread: int | None = None) -> None:
        """Prepare to observe a call that may lock these inodes (`files`).

        Without them neither requests nor sleeps before the call are counted: the process has no other call that waits.
        """
        self._pid = pid
        self._files = files
        self._thread = thread
        self._before = max(self._requests() for _ in range(LOOKS)) if files else 0
        self._sleeps = self._sleeps_now() if files else 0
        self._begun = time.monotonic()
        self._place, self._since = "", 0.0

    def follow(self, thread: int) -> None:
        """Observe this thread of the process, which was started for the call."""
        self._thread, self._sleeps = thread, 0

    @property
    def seconds(self) -> float:
        """Return how long ago the call began."""
        return time.monotonic() - self._begun

    def is_blocked(self, settle_s: float) -> bool:
        """Return whether the kernel says so, or the process has slept in one place for so many seconds."""
        stat = process_stat(self._pid, self._thread)
        if stat is None or stat.state not in ASLEEP:
            return False
        place = sleeps_in(self._pid, self._thread)
        if place in IN_THE_LOCK_CODE or all(self._requests() > self._before for _ in range(LOOKS)):
            return True
        now = time.monotonic()
        if place != self._place or not self._since:
            self._place, self._since = place, now
        return now - self._since >= settle_s

    def restart(self) -> None:
        """Forget how long the process has slept: an event has happened that may wake it."""
        self._place, self._since = "", 0.0

    def polls(self, times: int) -> bool:
        """Return whether it has gone to sleep so often since the call began that it polls."""
        return self._sleeps_now() >= self._sleeps + times

    def _sleeps_now(self) -> int:
        return switches_of(self._pid, self._thread, voluntary=True)

    def _requests(self) -> int:
        return listed_requests(self._pid, self._files() if self._files else ())


LOOK_AGAIN_S = 0.0005


class SteppedProcess:
    """A process that performs one step after the other on request; it is forked now and killed with the block."""

    def __init__(self, perform: Callable[..., object]) -> None:
        """Fork the process. `perform` is called in it with the words of each step, and never returns None.

        Raises CannotRunError where there is no process available.
        """
        self._child = ChildRpc(lambda step: json.dumps(perform(*json.loads(step))).encode())
        self.pid = self._child.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.end()

    def do(self, *step: object) -> Any:
        """Return the result of a step that waits for no other process. Raises as `result`, and Unanswered."""
        return json.loads(self._child.ask(json.dumps(step).encode()))

    def begin(self, *step: object) -> None:
        """Begin a step; `result` returns its result."""
        self._child.send(json.dumps(step).encode())

    def result(self, timeout_s: float) -> Any:
        """Return the result of the step that was begun, None where there is none after that time.

        Raises Gone where the process ended, and CannotRunError where that was raised in it.
        """
        answer = self._child.answer(timeout_s)
        return None if answer is None else json.loads(answer)

    def try_step(self, *step: object, limit_s: float, settle_s: float = SETTLED_S) -> Any:
        """Begin a step and return its result, or None once it is blocked on a lock. Raises as `result`.

        Where the kernel does not say, it is blocked once it has slept for `settle_s`; in any case after `limit_s`.
        """
        wait = LockWait(self.pid)
        self.begin(*step)
        while (result := self.result(LOOK_AGAIN_S)) is None:
            if wait.is_blocked(settle_s) or wait.seconds > limit_s:
                return self.result(0)  # it may have ended just before it was looked at
        return result

    def stop(self) -> None:
        """Stop the process (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Continue the process (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process (SIGKILL), if it lives: `result` says so."""
        self._child.kill()

    def end(self) -> None:
        """Kill the process, if it lives, and reap it."""
        self._child.end()
