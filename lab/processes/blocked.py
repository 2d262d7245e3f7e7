"""Tell whether a process is blocked on a lock, as far as that can be seen from outside: for all stepped processes.

The kernel says so where it can: the process sleeps in the kernel's lock code (proc_pid_wchan(5)), or /proc/locks lists
a request of it that waits. Where a server keeps the locks, or the kernel does not say, a process counts as blocked that
has slept in one place for some time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from contextlib import suppress

from lab.host.procfs import ASLEEP, listed_locks, process_stat, sleeps_in, switches_of

IN_THE_LOCK_CODE = frozenset({"fcntl_setlk", "locks_lock_inode_wait", "do_lock_file_wait", "posix_lock_inode_wait"})
"""The functions in which Linux lets a process wait for a lock that it keeps itself (fs/locks.c)."""

SETTLED_S = 0.25
"""The time, in seconds, that a process sleeps on a local filesystem before it counts as blocked.

It is used where the kernel does not say.
"""

LOOKS = 3
"""The list is read so often before it counts: while others lock, a line may come twice or not at all."""

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
