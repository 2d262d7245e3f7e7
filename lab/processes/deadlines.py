"""Wait for a child, or limit a call in this process, with a deadline.

A child is observed from outside: it runs, sleeps or has ended (`Watched`), or makes no progress (`Standstill`). Code of
the user's that runs in this process is interrupted (`Limited`): the alarm clock (setitimer(2), SIGALRM) interrupts
whatever Python does, a sleep or an endless loop too, and rings again where that is caught. It is the main thread's; in
another thread nothing is limited.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from math import inf
from types import FrameType, TracebackType
from typing import Any

from lab.errors import UsageError
from lab.host.procfs import ENDED, process_stat, sleeps_in, switches_of


class Standstill:
    """The time for which a process has not run at all: at every look it slept in one and the same call."""

    def __init__(self) -> None:
        self._seen: tuple[int, int] | None = None
        self._since = 0.0

    def seconds(self, pid: int) -> float:
        """Look at the process; return the seconds since the first look that showed the same.

        It may be another process than before.
        """
        seen, now = (pid, switches_of(pid)), time.monotonic()
        if seen != self._seen:
            self._seen, self._since = seen, now
        return now - self._since


LOOK_AGAIN_S = 0.0002
TICK_S = 0.1


def is_readable(descriptor: int, timeout_s: float | None) -> bool:
    """Wait until there is something to read, at most so many seconds, None for ever; return False where there is not.

    It waits in ticks: a signal that comes just before poll(2) begins does not end that call, and Python handles it only
    afterwards. In one long call Ctrl-C would be lost until its end.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    ends = inf if timeout_s is None else time.monotonic() + timeout_s
    while not poll.poll(1000 * max(0.0, min(TICK_S, ends - time.monotonic()))):
        if time.monotonic() >= ends:
            return False
    return True


class Watched:
    """A child of this process that nothing else reaps, by its pid and a descriptor of it (pidfd_open(2), Linux 5.3)."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.code: int | None = None
        self.descriptor = os.pidfd_open(pid)

    def state(self) -> str:
        """Return the letter of its state; Z once it has ended."""
        stat = process_stat(self.pid)
        return stat.state if stat else ENDED

    def reaches(self, letter: str, timeout_s: float, *, wanted: bool) -> bool:
        """Wait until it is, or no longer is, in that state; return False after that time."""
        deadline = time.monotonic() + timeout_s
        while (self.state() == letter) != wanted and time.monotonic() < deadline:
            time.sleep(LOOK_AGAIN_S)
        return (self.state() == letter) == wanted

    def sleeps_in(self) -> str:
        """Return the kernel's function in which it sleeps; empty where the kernel does not say."""
        return sleeps_in(self.pid)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens where it has ended (pidfd_send_signal(2))."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, number)

    def wait(self, timeout_s: float) -> int | None:
        """Return its exit code, or minus the signal that ended it; None where it lives on after that time."""
        if self.code is None and is_readable(self.descriptor, timeout_s):
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)


_quick = import_module("_signal")
"""The calls without their enumerations: the explorer limits a hundred thousand calls."""

ALARM, REAL = int(_quick.SIGALRM), int(_quick.ITIMER_REAL)
AGAIN_S = 0.5
SHORTEST_S = 1e-6


class TooLong(BaseException):
    """The time is over. This is no Exception, so that only code that catches everything catches it."""


class Limited:
    """A time limit: TooLong is raised after so many seconds in the block; an earlier alarm clock resumes after it.

    Another function `rings` may be called then instead, which says itself whether it is too long, and is called again
    and again.
    """

    __slots__ = ("_before", "_begun", "_handler", "_limit_s", "_rings", "_set")

    def __init__(self, limit_s: float, rings: Callable[[int, FrameType | None], None] | None = None) -> None:
        self._limit_s = limit_s
        self._rings = rings or _rings
        self._set = False

    def __enter__(self) -> None:
        try:
            self._handler: Any = _quick.signal(ALARM, self._rings)
        except ValueError:  # not the main thread
            return
        self._set = True
        self._begun = time.monotonic()
        self._before: tuple[float, float] = _quick.setitimer(REAL, self._limit_s, AGAIN_S)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._set:
            return
        _quick.setitimer(REAL, 0)
        _quick.signal(ALARM, self._handler or _quick.SIG_DFL)
        left, interval = self._before
        if left:
            passed = time.monotonic() - self._begun
            _quick.setitimer(REAL, max(SHORTEST_S, left - passed), interval)


def _rings(number: int, frame: FrameType | None) -> None:
    if frame is None or frame.f_code not in SETTING:
        raise TooLong


LOADING_S = 30.0
"""The time, in seconds, that importing a file of the user's may take."""


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Limit the time in which a file of the user's is imported: a loop in it would go on for ever.

    Raises UsageError, which names `what`.
    """
    try:
        with Limited(LOADING_S):
            yield
    except TooLong:
        raise UsageError(f"{what}: is still being imported after {LOADING_S:g} s; fix the file") from None


SETTING = (Limited.__enter__.__code__, Limited.__exit__.__code__)
"""The code in which the clock is set and removed: an alarm that comes there comes too late."""
