"""The locks of filelock, portalocker and fasteners; see their documentation for what they are.

Those that ask again and again are told to do so every millisecond: at their own 10 to 250 ms a race stands still.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..adapted import Adapted
from ..protocol import Abilities, Lock
from .package import attribute, package

POLL_S = 0.001


def filelock() -> Lock:
    """filelock.FileLock."""
    return Adapted(
        partial(attribute("filelock", "filelock", "FileLock"), poll_interval=POLL_S),
        "filelock",
        "filelock.FileLock: flock(2), asked for every 1 ms",
        abilities=Abilities(ranges=False, readers=False, threads=True, fork=True, survives_kill=True),
    )


def filelock_soft() -> Lock:
    """filelock.SoftFileLock."""
    return Adapted(
        partial(attribute("filelock-soft", "filelock", "SoftFileLock"), poll_interval=POLL_S),
        "filelock-soft",
        "filelock.SoftFileLock: the file exists, looked for every 1 ms",
        abilities=Abilities(ranges=False, readers=False, threads=True, fork=True, survives_kill=True),
    )


def filelock_rw() -> Lock:
    """filelock.ReadWriteLock; older versions have none."""
    return Adapted(
        partial(attribute("filelock-rw", "filelock", "ReadWriteLock"), is_singleton=False),
        "filelock-rw",
        "filelock.ReadWriteLock: the locks of an SQLite file, asked for as SQLite does",
        read="read_lock",
        write="write_lock",
        abilities=Abilities(ranges=False, readers=True, threads=True, fork=True, survives_kill=True),
    )


def portalocker() -> Lock:
    """portalocker.Lock, which here waits in the kernel: by default it gives up after 5 s."""
    flags = package("portalocker", "portalocker").LockFlags.EXCLUSIVE
    return Adapted(
        partial(attribute("portalocker", "portalocker", "Lock"), flags=flags),
        "portalocker",
        "portalocker.Lock: flock(2), waiting in the kernel",
        abilities=Abilities(ranges=False, readers=False, threads=True, fork=False, survives_kill=True),
    )


def portalocker_rlock() -> Lock:
    """portalocker.RLock, which here waits in the kernel."""
    flags = package("portalocker-rlock", "portalocker").LockFlags.EXCLUSIVE
    return Adapted(
        partial(attribute("portalocker-rlock", "portalocker", "RLock"), flags=flags),
        "portalocker-rlock",
        "portalocker.RLock: flock(2), waiting in the kernel; an object may take it again",
        abilities=Abilities(ranges=False, readers=False, threads=True, fork=False, survives_kill=True),
    )


class _Fastener:
    """A fasteners.InterProcessLock that asks every millisecond: the interval is an argument of acquire()."""

    def __init__(self, lock: Any) -> None:
        self.release = lock.release
        self.acquire = partial(lock.acquire, delay=POLL_S, max_delay=POLL_S)


class _RwFastener:
    """A fasteners.InterProcessReaderWriterLock that asks every millisecond."""

    def __init__(self, lock: Any) -> None:
        self.read_lock = partial(lock.read_lock, delay=POLL_S, max_delay=POLL_S)
        self.write_lock = partial(lock.write_lock, delay=POLL_S, max_delay=POLL_S)


def fasteners() -> Lock:
    """fasteners.InterProcessLock."""
    make = attribute("fasteners", "fasteners", "InterProcessLock")
    return Adapted(
        lambda path: _Fastener(make(path)),
        "fasteners",
        "fasteners.InterProcessLock: a POSIX record lock, asked for every 1 ms",
        abilities=Abilities(ranges=False, readers=False, threads=False, fork=True, survives_kill=True),
    )


def fasteners_rw() -> Lock:
    """fasteners.InterProcessReaderWriterLock."""
    make = attribute("fasteners-rw", "fasteners", "InterProcessReaderWriterLock")
    return Adapted(
        lambda path: _RwFastener(make(path)),
        "fasteners-rw",
        "fasteners.InterProcessReaderWriterLock: a POSIX record lock, asked for every 1 ms",
        read="read_lock",
        write="write_lock",
        abilities=Abilities(ranges=False, readers=True, threads=False, fork=True, survives_kill=True),
    )
