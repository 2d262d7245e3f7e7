"""Fork N workers, hold them at a start barrier, release them together, and reap them on every way out.

One pipe does it all. Each worker holds the write end from its fork to its death: the byte that it writes says "at the
barrier", and the end of file that the parent reads when the last holder is gone says "all ended", without a descriptor
a worker and without a signal handler. The start barrier is a second pipe, whose write end only the parent has: closing
it wakes all of them.
"""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from errno import EAGAIN
from functools import partial
from operator import itemgetter
from types import TracebackType
from typing import TYPE_CHECKING

from lab.host.procfs import RUNS, WAITS_FOR_DISK, cpu_s_of, is_stopped, process_stat, sleeps_in
from lab.output import flush_output

from .activity import note_hang
from .child import stops_held
from .crowd import AT_ONCE, check_room, fork_some, refusal
from .deadlines import TICK_S, is_readable
from .descendants import Descendants, Orphan, kill_tree
from .external import GroupReaper
from .namespaces import end_namespaces, fork_isolated

if TYPE_CHECKING:
    from resource import struct_rusage

Prepare = Callable[[int], Callable[[], None]]
"""A function that runs in the worker with its index before the barrier; what it returns is called after the release."""

TERM_GRACE_S = 0.5
KILL_GRACE_S = 2.0
LOOK_AGAIN_S = 0.0002
HARDLY_ANY = 0.1
"""The share of one processor below which workers that could run did not get to it, of all of them together."""


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of one worker: `code` 0 is normal, negative the signal (waitpid(2)), None still there after SIGKILL.

    Of one that is still there `pid` and `where`, the function of the kernel in which it sleeps, are known. `late` says
    that it was still at work at the time limit, `stopped` that a signal had stopped it then (SIGSTOP). The figures are
    getrusage(2) of the worker since its fork, but the peak, which starts from what it inherited.
    """

    index: int
    code: int | None
    late: bool = False
    user_s: float = 0.0
    system_s: float = 0.0
    voluntary_switches: int = 0
    involuntary_switches: int = 0
    minor_faults: int = 0
    peak_rss_bytes: int = 0
    pid: int = 0
    where: str = ""
    stopped: bool = False


def cpus_for(pin: str) -> Callable[[int], set[int] | None]:
    """Return the processors of worker i: none leaves the choice to the kernel, spread deals out, one shares one."""
    allowed = sorted(os.sched_getaffinity(0))
    choices: dict[str, Callable[[int], set[int] | None]] = {
        "none": lambda index: None,
        "spread": lambda index: {allowed[index % len(allowed)]},
        "one": lambda index: {allowed[0]},
    }
    return choices[pin]


@contextmanager
def _no_collection() -> Iterator[None]:
    """Prevent garbage collection within the block, here and in children: it would touch, and so copy, whole pages.

    Children are forked with it off and leave it off.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class WorkerPool:
    """Forks its workers on entering the `with` block and leaves none behind on leaving it."""

    def __init__(
        self,
        count: int,
        prepare: Prepare,
        cpus: Callable[[int], set[int] | None],
        *,
        isolate: bool = False,
        before: Callable[[range], None] = lambda _: None,
    ) -> None:
        """Prepare the pool.

        Its workers join the group of the `GroupReaper` that the caller is in; else the first of them leads a new one.
        With `isolate` each is in a pid namespace of its own. `before` is called with the indexes of those that are
        forked next.
        """
        self._count = count
        self._prepare = prepare
        self._cpus = cpus
        self._isolate = isolate
        self._before = before
        self._firsts: set[int] = set()
        self._group = GroupReaper.kept_group()
        self._descendants = Descendants()
        self._orphans: list[Orphan] = []
        self._running: dict[int, int] = {}
        self._meanwhile: Callable[[], None] | None = None
        self._exits: list[Exit] = []
        self._stopped: set[int] = set()
        self._had_s = 0.0
        self._barrier = -1
        self._alive = -1

    def __enter__(self) -> WorkerPool:
        check_room(self._count)
        barrier, self._barrier = os.pipe()
        self._alive, alive = os.pipe()
        self._descendants.__enter__()
        try:
            try:
                with _no_collection():
                    self._fork_all(barrier, alive)
            finally:
                os.close(barrier)
                os.close(alive)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _fork_all(self, barrier: int, alive: int) -> None:
        """Fork the workers. Raises CannotRunError where one is refused."""

        def body(index: int) -> None:
            os.close(self._barrier)
            os.close(self._alive)
            cpus = self._cpus(index)
            if cpus:
                os.sched_setaffinity(0, cpus)
            run = self._prepare(index)
            os.write(alive, b".")
            os.read(barrier, 1)
            run()

        flush_output()  # what the workers print comes after it, and they have no copy to print
        index = number = 0
        while index < self._count and not number:
            following = range(index, min(self._count, index + (1 if self._isolate else AT_ONCE)))
            self._before(following)
            with stops_held():  # forked workers are recorded here before an interrupt
                if self._isolate:
                    pids, number = self._fork_isolated(partial(body, index))
                else:
                    pids, self._group, number = fork_some(body, index, len(following), self._group)
                self._running.update(zip(pids, range(index, self._count), strict=False))
                index += len(pids)
        if number:
            raise refusal(number, index, self._count)

    def _fork_isolated(self, body: Callable[[], None]) -> tuple[list[int], int]:
        """Fork a worker in a namespace of its own; return its pid, and the error for which it was refused, else 0."""
        try:
            made = fork_isolated(body, group=self._group)
        except OSError as error:
            return [], error.errno or EAGAIN
        self._group = made.group
        self._firsts.add(made.first)
        return [made.pid], 0

    def gather(self, time_limit_s: float, *, apart: Collection[int] = ()) -> None:
        """Wait until every worker stands at the barrier or has ended before it, at most for the time limit.

        Those apart are not waited for: they never come, having become other programs before.
        """
        ready = gone = 0
        deadline = time.monotonic() + time_limit_s
        while ready + gone < self._count - len(apart) and time.monotonic() < deadline:
            arrived = os.read(self._alive, 65_536) if is_readable(self._alive, TICK_S) else b""
            ready += len(arrived)
            if not arrived:
                self._reap()
                gone = sum(ended.index not in apart for ended in self._exits)

    def release(self) -> int:
        """Release the workers; return CLOCK_MONOTONIC in ns, taken just before."""
        now = time.monotonic_ns()
        barrier, self._barrier = self._barrier, -1
        os.close(barrier)
        return now

    def gone(self) -> list[Exit]:
        """Return how those workers ended that have ended by now."""
        self._reap()
        return self._exits

    @property
    def exits(self) -> Sequence[Exit]:
        """Return the exits of those that have been reaped, without a look for others."""
        return self._exits

    @property
    def orphans(self) -> Sequence[Orphan]:
        """Return the processes that outlived the workers that had started them, and were killed.

        It is called once all workers have ended.
        """
        return self._orphans

    @property
    def pids(self) -> dict[int, int]:
        """Return the indexes of those that have not been reaped, by process id."""
        return dict(self._running)

    def stalled(self, during_s: float) -> bool:
        """Return True where the machine keeps a worker from its work now, as it did for about so long.

        It waits for a disk, or could run while all that are left had hardly any of a processor since the last look.
        """
        before, self._had_s = self._had_s, sum(map(cpu_s_of, self._running))
        starved = self._had_s - before < HARDLY_ANY * during_s
        states = {stat.state for pid in self._running if (stat := process_stat(pid))}
        return WAITS_FOR_DISK in states or (starved and RUNS in states)

    def send(self, pid: int, number: signal.Signals) -> None:
        """Send a signal to this worker; nothing happens once it has been reaped."""
        if pid in self._running:
            os.kill(pid, number)

    def kill(self, pid: int) -> None:
        """Kill this worker with all that it has started; nothing happens once it has been reaped."""
        if pid in self._running:
            kill_tree(pid)

    def wait(
        self,
        time_limit_s: float,
        *,
        meanwhile: Callable[[], None] | None = None,
        halfway: Callable[[], object] | None = None,
        goes_on: Callable[[], bool] | None = None,
    ) -> list[Exit]:
        """Return how each worker ended, in the order of their indexes; those late are ended: SIGTERM, then SIGKILL.

        At the time limit `goes_on` is asked whether they are slow and do not hang: while it says so, they have that
        time once more. `halfway` is called after half of the first time limit.
        `meanwhile` is called again and again until then, and passes some time itself: for workers that became other
        programs, whose end the pipe does not show.
        """
        self._meanwhile = meanwhile
        late = not self._ended(time_limit_s / 2)
        if late and halfway:
            halfway()
        late = late and not self._ended(time_limit_s / 2)
        while late and goes_on and goes_on():
            late = not self._ended(time_limit_s)
        if late:
            self._stopped = {index for pid, index in self._running.items() if is_stopped(pid)}
            self._signal(signal.SIGTERM)
            if not self._ended(TERM_GRACE_S, late=True):
                self._signal(signal.SIGKILL)
                self._ended(KILL_GRACE_S, late=True)
        left = self._left_behind()
        self._orphans += self._descendants.end(but=[*self._end_namespaces(), *(each.pid for each in left)])
        ended = [replace(each, stopped=True) if each.index in self._stopped else each for each in self._exits]
        return sorted(ended + left, key=lambda each: each.index)

    def _left_behind(self) -> list[Exit]:
        """Give up the workers that do not end on SIGKILL: an uninterruptible sleep may last for ever."""
        left, self._running = self._running, {}
        exits = [Exit(index, None, late=True, pid=pid, where=sleeps_in(pid)) for pid, index in left.items()]
        for each in exits:
            note_hang(f"the end of worker {each.index}, asleep in {each.where}")
        return exits

    def _end_namespaces(self) -> set[int]:
        """End the workers' namespaces; return the first processes of those that do not end."""
        left, self._firsts = self._firsts, set()
        return end_namespaces(left, KILL_GRACE_S)

    def _ended(self, timeout_s: float, *, late: bool = False) -> bool:
        """Reap all workers; return True once none is left.

        The end of the pipe says that no process that could write to it lives, or that a worker closed what is not its
        own; so any worker left then is waited for by looking, never by blocking.
        """
        deadline = time.monotonic() + timeout_s
        look_again = self._meanwhile
        while not look_again and self._running and (left_s := deadline - time.monotonic()) > 0:
            if not is_readable(self._alive, min(TICK_S, left_s)):
                self._reap(late=late)  # what a worker has forked may hold the pipe, and live on
            elif not os.read(self._alive, 65_536):
                break
        self._reap(late=late)
        while self._running and time.monotonic() < deadline:
            look_again() if look_again else time.sleep(LOOK_AGAIN_S)
            self._reap(late=late)
        return not self._running

    def _reap(self, *, late: bool = False) -> int:
        """Reap those that have ended; return how many there were."""
        count = 0
        while self._running and self._reap_one(late=late):
            count += 1
        return count

    def _reap_one(self, *, late: bool) -> bool:
        """Reap the next that has ended; return False where there is none."""
        with stops_held():  # a reaped worker is removed here before an interrupt
            told = self._next_ended()
            if told is None:
                return False
            pid, status, usage = told
            self._firsts.discard(pid)
            if pid in self._running:  # else a worker had started it, in the same group
                self._exits.append(
                    Exit(
                        self._running.pop(pid),
                        os.waitstatus_to_exitcode(status),
                        late,
                        usage.ru_utime,
                        usage.ru_stime,
                        usage.ru_nvcsw,
                        usage.ru_nivcsw,
                        usage.ru_minflt,
                        usage.ru_maxrss * 1024,
                    )
                )
        return True

    def _next_ended(self) -> tuple[int, int, struct_rusage] | None:
        """Return the result of wait4(2) for the next that ended.

        It waits for the group, or else for each worker, which may have left the group.
        """
        with suppress(ChildProcessError):
            told = os.wait4(-self._group, os.WNOHANG)
            if told[0]:
                return told
        return next(filter(itemgetter(0), (os.wait4(pid, os.WNOHANG) for pid in self._running)), None)

    def _signal(self, number: signal.Signals) -> None:
        """Signal all workers that are left; SIGTERM at once, so that none goes on because another has ended.

        SIGKILL goes to each by itself: it would end the reaper of the group too, which blocks all others.
        """
        together = number == signal.SIGTERM
        if together:
            with suppress(ProcessLookupError):
                os.killpg(self._group, number)
        for pid in self._running:  # our child and not reaped, so it exists, if only as a zombie
            if not together or os.getpgid(pid) != self._group:
                os.kill(pid, number)

    def _end(self) -> None:
        """Kill and reap the workers that are left, then close the pipes; after a normal end none is left."""
        with stops_held():  # a second stop takes effect when all are gone
            if self._running:
                self._signal(signal.SIGKILL)
                self._ended(KILL_GRACE_S, late=True)
            self._orphans += self._descendants.end(but=[*self._end_namespaces(), *self._running])
            self._descendants.__exit__(None, None, None)
            for descriptor in (self._barrier, self._alive):
                if descriptor >= 0:
                    os.close(descriptor)
            self._barrier = self._alive = -1
