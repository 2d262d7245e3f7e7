"""Make faults to the copies of a program while they run: stop, kill or signal them.

A copy is stopped first (SIGSTOP), and then looked at: what it holds does not change any more. Where the kernel lists
locks of the copies, that list says whether it holds one or waits. Else it counts as the holder if nothing in the folder
changes while it is stopped, because the others wait for it.

Every signal goes to a copy that the pool has not reaped. A stopped copy ends on SIGKILL as any other, so whatever ends
the trial ends it too.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from time import monotonic, sleep
from types import TracebackType

from lab.host.procfs import ASLEEP, caught_signals, is_stopped, process_stat
from lab.processes import WorkerPool
from lab.racing.fault_plan import until

from .launch import Start
from .samples import Samples

STOPS_S = 0.05
"""The time, in seconds, in which SIGSTOP stops a process; one in an uninterruptible sleep takes longer."""

QUIET_S, ASLEEP_S = 0.03, 1.0
"""The time, in seconds, without a change in the folder after which the stopped copy counts as the holder.

It counts from the stop, and goes on until all others sleep, at most for the second time: on a busy machine they may not
have run since.
"""

TRIES_S = 2.0
"""The time, in seconds, after which no holder is looked for any more."""

LOOK_S = 0.0002


class Meddler:
    """Makes one kind of fault in one trial: this one makes none.

    `made` is how often the fault was made. `note` says what was done last, and `refused` why nothing could be.
    Of a copy that is killed for good, and to be recovered from, `killed` is the index; `inside` says that it held a
    lock.
    """

    made = 0
    note = ""
    refused = ""
    killed: int | None = None
    inside = False

    def __init__(self, seed: str, file: Path, seconds: float = 0.0) -> None:
        """Prepare the faults of one trial on this file; a stop lasts so many seconds."""
        self._random = Random(seed)  # noqa: S311 - a plan, no secret
        self._file = file
        self._seconds = seconds
        self._due = self._given_up = float("inf")

    def __enter__(self) -> Meddler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End what still works for the faults."""

    def before_exec(self, index: int) -> None:
        """Prepare a copy, in its own process, just before it becomes the program."""

    def begin(self, pool: WorkerPool, samples: Samples, start: Start | None) -> None:
        """Know the processes, once they are forked."""
        self._pool = pool
        self._samples = samples
        self._start = start

    def look_at_start(self) -> None:
        """Do what is due before the release."""

    def release(self) -> None:
        """Note that the copies are released after this."""
        self._due = monotonic()
        self._given_up = self._due + TRIES_S

    def look(self) -> None:
        """Do what is due after the release."""

    def _is_due(self) -> bool:
        return self._due <= monotonic() < self._given_up

    def _copies(self) -> list[tuple[int, int]]:
        """Return process id and index of each copy that runs, in an order that is drawn anew."""
        copies = list(self._pool.pids.items())
        self._random.shuffle(copies)
        return copies

    def _stop(self, pid: int) -> bool:
        """Stop a copy; return False where it does not stop in time, or has ended."""
        self._pool.send(pid, signal.SIGSTOP)
        return until(lambda: is_stopped(pid) or pid not in self._pool.pids, STOPS_S) and is_stopped(pid)

    def _caught(self, wanted: Callable[[int], bool]) -> tuple[int, int] | None:
        """Return a copy that is stopped and is as wanted; all others run on."""
        for pid, index in self._copies():
            if self._stop(pid) and wanted(pid):
                return pid, index
            self._pool.send(pid, signal.SIGCONT)
        return None

    def _holds(self, pid: int) -> bool:
        """Return whether a stopped copy holds a lock."""
        if self._samples.names_copies:
            return any(seen.pid == pid and not seen.waits for seen in self._samples.observe())
        before = self._trace()
        changed = until(lambda: self._trace() != before, QUIET_S)
        others = [other for other in self._pool.pids if other != pid]
        return not changed and until(lambda: all(map(_sleeps, others)), ASLEEP_S) and self._trace() == before

    def _trace(self) -> list[int]:
        """Return figures that change when something in the folder does."""
        with suppress(OSError):
            return [word for path in (self._file.parent, self._file) for word in _figures(path)]
        return []


def _figures(path: Path) -> Sequence[int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


class Isolated(Meddler):
    """Nothing is left to do: the pool gives each copy a namespace of its own."""

    def begin(self, pool: WorkerPool, samples: Samples, start: Start | None) -> None:
        """Count the copies."""
        super().begin(pool, samples, start)
        self.made = len(pool.pids)


class Stopped(Meddler):
    """Once in the trial a copy that holds the lock is stopped for some seconds, and goes on."""

    _stopped: tuple[int, float] | None = None

    def look(self) -> None:
        """See `Meddler.look`."""
        if self._stopped:
            pid, until = self._stopped
            if monotonic() >= until:
                self._pool.send(pid, signal.SIGCONT)
                self._stopped = None
        elif not self.made and self._is_due() and (caught := self._caught(self._holds)):
            pid, index = caught
            self._stopped = pid, monotonic() + self._seconds
            self.made += 1
            self.note = f"copy {index} was stopped for {self._seconds:g} s"


class KilledHolder(Meddler):
    """Once in the trial a copy is killed while it holds a lock of the kernel."""

    def look(self) -> None:
        """See `Meddler.look`."""
        if not self.made and self._is_due() and self._samples.names_copies and (caught := self._caught(self._holds)):
            self._kill(*caught, "held")

    def _kill(self, pid: int, index: int, role: str) -> None:
        self._pool.send(pid, signal.SIGKILL)
        self.made += 1
        self.note = f"copy {index} was killed while it {role} the lock"


class KilledWaiter(KilledHolder):
    """Once in the trial a copy is killed while it waits for a lock of the kernel.

    It is not stopped before: that would end its request.
    """

    def look(self) -> None:
        """See `Meddler.look`."""
        if self.made or not self._is_due():
            return
        copies = self._pool.pids
        waiting = [seen.pid for seen in self._samples.observe() if seen.waits and seen.pid in copies]
        if waiting:
            pid = self._random.choice(waiting)
            self._kill(pid, copies[pid], "waited for")


HARMLESS = (signal.SIGWINCH, signal.SIGCHLD, signal.SIGURG)
"""Signals that do nothing by default (signal(7)): a program that handles one goes on after it."""

OTHERS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGIO)
"""Signals that a program may take as an order to end. They are sent where it handles no other."""

EVERY_S = 0.002
FREELY_S = 0.005
"""The time, in seconds, for which all copies that sleep get signals while the holder runs."""

BURST, APART_S = 6, 0.0003
"""So many signals are sent to each copy that waits, so far apart: what requests its lock again waits again."""

WAITING_S = 0.02
"""The time, in seconds, in which all others come to wait for a stopped copy, if it holds what they need.

On a busy machine they may take longer; then another copy is tried.
"""

SENT = 3000
"""So many signals are sent in a trial at most."""


class Signalled(Meddler):
    """Copies that wait get signals that they handle: all for a moment, then those that wait for one that is stopped.

    What is interrupted (EINTR) and goes on as if it had the lock finds the holder still inside.
    """

    _signals: Sequence[signal.Signals] = ()

    def release(self) -> None:
        """See `Meddler.release`."""
        super().release()
        if self._start:
            self._look_for_signals()

    def look(self) -> None:
        """See `Meddler.look`."""
        if not self._due <= monotonic() or self.made >= SENT:
            return
        if not self._signals:
            self._look_for_signals()
        copies = self._copies()
        if not self._signals or len(copies) < 2:
            return
        number = self._random.choice(self._signals)
        until_s = monotonic() + FREELY_S
        while monotonic() < until_s:
            self._signal(number, copies)
            sleep(LOOK_S)
        (holder, _), *others = copies
        if self._stop(holder) and until(lambda: all(_sleeps(pid) for pid, _ in others), WAITING_S):
            for _ in range(BURST):
                self._signal(number, others)
                sleep(APART_S)
        self._pool.send(holder, signal.SIGCONT)
        self._due = monotonic() + EVERY_S

    def _signal(self, number: signal.Signals, copies: Sequence[tuple[int, int]]) -> None:
        """Send the signal to each copy that sleeps."""
        for pid, index in copies:
            if _sleeps(pid):
                self._pool.send(pid, number)
                self.note = f"copy {index} got {number.name} while it waited"
                self.made += 1

    def _look_for_signals(self) -> None:
        for pid, _ in self._copies()[:1]:
            caught = caught_signals(pid)
            harmless = [each for each in HARMLESS if each in caught]
            self._signals = harmless or [each for each in OTHERS if each in caught]
            self.refused = "" if self._signals else "it handles no signal"

    @property
    def is_order(self) -> bool:
        """Return whether the program may take these signals as an order."""
        return bool(self._signals) and not set(self._signals) & set(HARMLESS)


def _sleeps(pid: int) -> bool:
    stat = process_stat(pid)
    return stat is not None and stat.state in ASLEEP
