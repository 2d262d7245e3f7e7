"""Something that may hang, done in a child with a deadline.

A child seen from outside: whether it runs, sleeps or has ended, and where in the kernel it sleeps.

Why a process does not go on: the place in the kernel in which it sleeps, or that it was stopped.

A limit on how long a call may take in this process: for code of the user's that runs where the lab itself does.

The alarm clock (setitimer(2), SIGALRM) breaks into whatever Python is at, a sleep or an endless loop too, and rings
again where that is caught. It is the main thread's; in another thread nothing is limited.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from signal import SIGKILL
from types import FrameType, TracebackType
from typing import Any

from lab.errors import CannotRunError, UsageError
from lab.host.procfs import ENDED, process_stat, sleeps_in, switches_of

from .child import detach_output, fork_child, stops_held


class Standstill:
    """How long a process has not run at all, as far as it was looked at: it sleeps in one and the same call."""

    def __init__(self) -> None:
        self._seen: tuple[int, int] | None = None
        self._since = 0.0

    def seconds(self, pid: int) -> float:
        """Look at it; the seconds since the first look that showed the same. It may be another one than before."""
        seen, now = (pid, switches_of(pid)), time.monotonic()
        if seen != self._seen:
            self._seen, self._since = seen, now
        return now - self._since


LOOK_AGAIN_S = 0.0002


class Watched:
    """A child of this process that nobody else reaps, by its pid and a descriptor of it (pidfd_open(2), Linux 5.3)."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.code: int | None = None
        self.descriptor = os.pidfd_open(pid)

    def state(self) -> str:
        """The letter of its state; Z once it has ended."""
        stat = process_stat(self.pid)
        return stat.state if stat else ENDED

    def reaches(self, letter: str, timeout_s: float, *, wanted: bool) -> bool:
        """Wait until it is, or no longer is, in that state; False after that time."""
        deadline = time.monotonic() + timeout_s
        while (self.state() == letter) != wanted and time.monotonic() < deadline:
            time.sleep(LOOK_AGAIN_S)
        return (self.state() == letter) == wanted

    def sleeps_in(self) -> str:
        """The function of the kernel in which it sleeps; empty where the kernel does not tell."""
        return sleeps_in(self.pid)

    def send(self, number: signal.Signals) -> None:
        """Signal it; nothing happens where it has ended (pidfd_send_signal(2))."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, number)

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code, or minus the signal that ended it (waitpid(2)); None where it lives on after that time."""
        if self.code is None:
            poll = select.poll()
            poll.register(self.descriptor, select.POLLIN)
            if poll.poll(timeout_s * 1000):
                self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)


LONGEST = 4096
"""Bytes of an answer: a pipe takes so much at once."""

KILLED_S = 0.5
"""A process that lives on for so long after SIGKILL sleeps uninterruptibly: it is left behind."""

TICK_S = 0.1


@dataclass(frozen=True, slots=True)
class Attempt:
    """How it came out: `answer` is what the child returned, None where it did not end well or in time.

    One that was late slept at `where`, the function of the kernel. It is `left` behind where SIGKILL does not end it.
    """

    answer: str | None
    late: bool = False
    pid: int = 0
    where: str = ""
    left: bool = False


def attempt_all(
    bodies: Sequence[Callable[[], str]], limit_s: float, given_up: Callable[[], bool] = lambda: False
) -> list[Attempt]:
    """Run each in a child of its own, all at once; each is killed after so many seconds, or once it is given up.

    Raises CannotRunError where fork(2) is refused.
    """
    deadline = time.monotonic() + limit_s
    running: list[_Running] = []
    try:
        for body in bodies:
            with stops_held():  # who has been forked is known here before anybody is interrupted
                running.append(_Running(body))
        for each in running:
            while each.process.wait(TICK_S) is None and time.monotonic() < deadline and not given_up():
                pass
        return [each.outcome() for each in running]
    except OSError as error:
        raise CannotRunError(f"fork refused ({error.strerror}); raise the limits (ulimit -u, -n)") from error
    finally:
        with stops_held():
            for each in running:
                each.end()


class _Running:
    """One child, and the pipe that its answer comes by."""

    def __init__(self, body: Callable[[], str]) -> None:
        self._answers, answers = os.pipe()

        def live() -> None:
            detach_output()
            os.write(answers, body().encode(errors="surrogateescape")[:LONGEST])

        try:
            pid = fork_child(live, group=0)
            try:
                self.process = Watched(pid)
            except OSError:
                os.kill(pid, SIGKILL)
                raise
        except BaseException:
            os.close(self._answers)
            raise
        finally:
            os.close(answers)
        self._outcome: Attempt | None = None

    def outcome(self) -> Attempt:
        """How it came out; where it has not ended, it is killed."""
        if self._outcome is None:
            code = self.process.wait(0)
            if code is None:
                where = self.process.sleeps_in()
                self.process.send(SIGKILL)
                left = self.process.wait(KILLED_S) is None
                self._outcome = Attempt(None, late=True, pid=self.process.pid, where=where, left=left)
            else:
                answer = None if code else os.read(self._answers, LONGEST).decode(errors="surrogateescape")
                self._outcome = Attempt(answer, pid=self.process.pid)
        return self._outcome

    def end(self) -> None:
        """Kill it where it lives, and give back what this process has of it."""
        self.outcome()
        self.process.close()
        os.close(self._answers)


_quick = import_module("_signal")
"""The calls without their enumerations: the explorer limits a hundred thousand calls."""

ALARM, REAL = int(_quick.SIGALRM), int(_quick.ITIMER_REAL)
AGAIN_S = 0.5
SHORTEST_S = 1e-6


class TooLong(BaseException):
    """The time is over; no Exception, so that only who catches everything catches it."""


class Limited:
    """Within the block TooLong is raised after so many seconds; a clock that was set before it goes on after it."""

    __slots__ = ("_before", "_begun", "_handler", "_limit_s", "_set")

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._set = False

    def __enter__(self) -> None:
        try:
            self._handler: Any = _quick.signal(ALARM, _rings)
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
"""How long a file of the user's may take to be imported."""


@contextmanager
def loading(what: str) -> Iterator[None]:
    """The limit within which a file of the user's is imported: a loop in it would go on for ever.

    Raises UsageError, which says of `what`.
    """
    try:
        with Limited(LOADING_S):
            yield
    except TooLong:
        raise UsageError(f"{what}: is still being imported after {LOADING_S:g} s; fix the file") from None


SETTING = (Limited.__enter__.__code__, Limited.__exit__.__code__)
"""Where the clock is set and put away: a ring that comes there comes too late."""
