"""Make the ready locks of filelock, portalocker and fasteners, and one of a file made with O_EXCL.

Locks that poll are set to do so every millisecond: at their own 10 to 250 ms a race makes no progress. A lock that
needs a package imports it when the lock is made.
"""

from __future__ import annotations

import os
from functools import partial
from importlib import import_module
from time import sleep
from types import ModuleType
from typing import Any

from lab.errors import CannotRunError
from lab.locking.adapters import Adapted
from lab.locking.protocol import Abilities, Lock


def package(lock: str, name: str) -> ModuleType:
    """Import and return the package. Raises CannotRunError, with what to install, where it is missing or broken."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            raise CannotRunError(
                f"lock {lock}: needs the Python package {name}; pip install 'lock-race-lab[locks]'"
            ) from error
        raise _broken(lock, name, error) from error
    except Exception as error:
        raise _broken(lock, name, error) from error


def attribute(lock: str, name: str, attribute: str) -> Any:
    """Return what the package offers under this name. Raises CannotRunError where this version of it does not."""
    found = getattr(package(lock, name), attribute, None)
    if found is None:
        raise CannotRunError(
            f"lock {lock}: the {name} that is installed has no {attribute}; pip install -U 'lock-race-lab[locks]'"
        )
    return found


def _broken(lock: str, name: str, error: Exception) -> CannotRunError:
    return CannotRunError(
        f"lock {lock}: the Python package {name} cannot be imported ({type(error).__name__}: {error}); "
        "reinstall it: pip install --force-reinstall 'lock-race-lab[locks]'"
    )


POLL_S = 0.001


def filelock() -> Lock:
    """Make a lock of filelock.FileLock."""
    return Adapted(
        partial(attribute("filelock", "filelock", "FileLock"), poll_interval=POLL_S),
        "filelock",
        "filelock.FileLock: flock(2), asked for every 1 ms",
        abilities=Abilities(ranges=False, readers=False, threads=True, fork=True, survives_kill=True),
    )


def filelock_soft() -> Lock:
    """Make a lock of filelock.SoftFileLock."""
    return Adapted(
        partial(attribute("filelock-soft", "filelock", "SoftFileLock"), poll_interval=POLL_S),
        "filelock-soft",
        "filelock.SoftFileLock: the file exists, looked for every 1 ms",
        abilities=Abilities(ranges=False, readers=False, threads=True, fork=True, survives_kill=True),
    )


def filelock_rw() -> Lock:
    """Make a lock of filelock.ReadWriteLock; older versions have none."""
    return Adapted(
        partial(attribute("filelock-rw", "filelock", "ReadWriteLock"), is_singleton=False),
        "filelock-rw",
        "filelock.ReadWriteLock: the locks of an SQLite file, asked for as SQLite does",
        read="read_lock",
        write="write_lock",
        abilities=Abilities(ranges=False, readers=True, threads=True, fork=True, survives_kill=True),
    )


def portalocker() -> Lock:
    """Make a lock of portalocker.Lock, which here waits in the kernel: by default it gives up after 5 s."""
    flags = package("portalocker", "portalocker").LockFlags.EXCLUSIVE
    return Adapted(
        partial(attribute("portalocker", "portalocker", "Lock"), flags=flags),
        "portalocker",
        "portalocker.Lock: flock(2), waiting in the kernel",
        abilities=Abilities(ranges=False, readers=False, threads=True, fork=False, survives_kill=True),
    )


def portalocker_rlock() -> Lock:
    """Make a lock of portalocker.RLock, which here waits in the kernel."""
    flags = package("portalocker-rlock", "portalocker").LockFlags.EXCLUSIVE
    return Adapted(
        partial(attribute("portalocker-rlock", "portalocker", "RLock"), flags=flags),
        "portalocker-rlock",
        "portalocker.RLock: flock(2), waiting in the kernel; an object may take it again",
        abilities=Abilities(ranges=False, readers=False, threads=True, fork=False, survives_kill=True),
    )


class _Fastener:
    """A fasteners.InterProcessLock that looks every millisecond: the interval is an argument of acquire()."""

    def __init__(self, lock: Any) -> None:
        self.release = lock.release
        self.acquire = partial(lock.acquire, delay=POLL_S, max_delay=POLL_S)


class _RwFastener:
    """A fasteners.InterProcessReaderWriterLock that looks every millisecond."""

    def __init__(self, lock: Any) -> None:
        self.read_lock = partial(lock.read_lock, delay=POLL_S, max_delay=POLL_S)
        self.write_lock = partial(lock.write_lock, delay=POLL_S, max_delay=POLL_S)


def fasteners() -> Lock:
    """Make a lock of fasteners.InterProcessLock."""
    make = attribute("fasteners", "fasteners", "InterProcessLock")
    return Adapted(
        lambda path: _Fastener(make(path)),
        "fasteners",
        "fasteners.InterProcessLock: a POSIX record lock, asked for every 1 ms",
        abilities=Abilities(ranges=False, readers=False, threads=False, fork=True, survives_kill=True),
    )


def fasteners_rw() -> Lock:
    """Make a lock of fasteners.InterProcessReaderWriterLock."""
    make = attribute("fasteners-rw", "fasteners", "InterProcessReaderWriterLock")
    return Adapted(
        lambda path: _RwFastener(make(path)),
        "fasteners-rw",
        "fasteners.InterProcessReaderWriterLock: a POSIX record lock, asked for every 1 ms",
        read="read_lock",
        write="write_lock",
        abilities=Abilities(ranges=False, readers=True, threads=False, fork=True, survives_kill=True),
    )


LOOK_AGAIN_S = 0.0002


class LockFile:
    """A lock that is held by the process that made the file of this name."""

    def __init__(self, path: str) -> None:
        self._path = path

    def acquire(self) -> None:
        """Make the name; where it exists, wait and try again."""
        while True:
            try:
                self._make()
            except FileExistsError:
                self._wait()
            else:
                return

    def release(self) -> None:
        """Remove the name. Raises FileNotFoundError where it is gone."""
        os.unlink(self._path)  # noqa: PTH108 - the path is text here

    def _make(self) -> None:
        os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))

    def _wait(self) -> None:
        sleep(LOOK_AGAIN_S)


def lockfile() -> Lock:
    """Make a lock of a file made with O_EXCL."""
    return Adapted(
        LockFile,
        "lockfile",
        "a file made with O_CREAT | O_EXCL, looked for every 0.2 ms; stays when its maker is killed",
        abilities=Abilities(ranges=False, readers=False, threads=True, fork=True, survives_kill=False),
    )
