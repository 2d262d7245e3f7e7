"""Provide locks to compare with: no lock, a lock that grants falsely, and the kernel's locks requested without waiting.

Without waiting (F_SETLK, LOCK_NB) a request that is refused raises EAGAIN. A request made again and again is refused
many times while one waiting request is queued once, and every refusal is a chance to notice a false grant. The races
that use them are those of `lab.racing.perturb`.

A lock belongs to every process that shares the open file through which it was acquired. /proc/locks names the process
that requested it, which may have ended long ago. /proc/PID/fdinfo (proc_pid_fdinfo(5)) lists the locks of an open file
under every descriptor that refers to it, so also in a helper that inherited one.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from lab.host.procfs import ListedLock, command_of, descriptor_locks, processes

from .kernel import NATIVE, RANGE_COMMANDS, Fcntl, Ofd
from .protocol import Abilities, Action, Lock, nested

if TYPE_CHECKING:
    from random import Random


def _nothing() -> None:
    pass


class Unlocked:
    """A lock that excludes no process; workers do not even record holds under it."""

    name = "none"
    summary = "no lock: the same scenario races unprotected"
    has_ranges = False
    excludes = False
    abilities = Abilities(ranges=False, readers=False, threads=False, fork=False, survives_kill=False)

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """Return two calls that do nothing."""
        return _nothing, _nothing


class Leaky:
    """Wraps a lock so that each request is granted falsely, without any lock, with this probability."""

    has_ranges: bool
    excludes = True

    def __init__(self, lock: Lock, probability: float, random: Random) -> None:
        self.name = lock.name
        self.summary = f"{lock.summary}; grants falsely with probability {probability:g}"
        self.has_ranges = lock.has_ranges
        self.nested = nested(lock)
        self._lock = lock
        self._probability = probability
        self._draw = random.random

    def redrawn(self, random: Random) -> Leaky:
        """Return the same lock with random draws of its own, for a child: else it would repeat its parent's draws."""
        return Leaky(self._lock, self._probability, random)

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """Return the wrapped lock's actions; a falsely granted request releases nothing."""
        acquire, release = self._lock.actions(descriptor, start, length, write=write)
        draw, probability = self._draw, self._probability
        held = False

        def perhaps() -> None:
            nonlocal held
            held = draw() >= probability
            if held:
                acquire()

        def give_back() -> None:
            if held:
                release()

        return perhaps, give_back


class PolledFcntl(Fcntl):
    """POSIX record locks that do not wait."""

    command = RANGE_COMMANDS["F_SETLK"]


class PolledOfd(Ofd):
    """Open file description locks that do not wait."""

    command = RANGE_COMMANDS["F_OFD_SETLK"]


class PolledFlock:
    """flock(2) locks that do not wait; one range at a time, since the first unlock releases the whole file."""

    name = "flock"
    summary = "flock: the whole file, without waiting; owned by the open file"
    has_ranges = False
    excludes = True

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """Return flock(2) with LOCK_NB, and the unlock."""
        kind = fcntl.LOCK_NB | (fcntl.LOCK_EX if write else fcntl.LOCK_SH)
        if NATIVE:
            unlock = NATIVE.Call(descriptor, NATIVE.FLOCK, fcntl.LOCK_UN)
            return NATIVE.Call(descriptor, NATIVE.FLOCK, kind, 0, 0, unlock), unlock
        return partial(fcntl.flock, descriptor, kind), partial(fcntl.flock, descriptor, fcntl.LOCK_UN)


LEGIBLE = 60
"""Characters that are kept of a command line."""


def keepers_of(inodes: Collection[int], concerns: Callable[[int], bool]) -> list[str]:
    """Return each of these processes that has a lock on a file with one of these inode numbers: its id and command."""
    found = []
    for pid, _ in processes():
        if concerns(pid) and any(lock.inode in inodes for lock in _locks(pid)):
            command = command_of(pid) or "ended"
            found.append(f"process {pid} ({command if len(command) <= LEGIBLE else f'{command[:LEGIBLE]}...'})")
    return found


def _locks(pid: int) -> Iterator[ListedLock]:
    with suppress(PermissionError):
        yield from (lock for _, lock in descriptor_locks(pid))
