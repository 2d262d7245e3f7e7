"""Make the ready locks of filelock, portalocker and fasteners, one of a file made with O_EXCL, and those of semaphores.

Locks that poll are set to do so every millisecond: at their own 10 to 250 ms a race makes no progress. A lock that
needs a package imports it when the lock is made.

Semaphores count to 1, are made before the fork and inherited: they know neither files nor holders. Any process may
release one, so each excludes threads and forked children too. Only System V can undo what a killed process did to one
(semop(2), SEM_UNDO); of the others a killed holder keeps all others out for ever.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from importlib import import_module
from time import sleep, time_ns
from types import ModuleType
from typing import Any

from lab.errors import CannotRunError, UsageError
from lab.locking.adapters import Adapted
from lab.locking.protocol import Abilities, Action, Lock
from lab.locking.registry import READY, needs_package
from lab.processes import stops_held


def package(lock: str, name: str) -> ModuleType:
    """Import and return the package. Raises CannotRunError, with what to install, where it is missing or broken."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name:
            raise needs_package(lock, name) from error
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
        READY["filelock"].summary,
        abilities=Abilities(ranges=False, readers=False, threads=True, fork=True, survives_kill=True),
    )


def filelock_soft() -> Lock:
    """Make a lock of filelock.SoftFileLock."""
    return Adapted(
        partial(attribute("filelock-soft", "filelock", "SoftFileLock"), poll_interval=POLL_S),
        "filelock-soft",
        READY["filelock-soft"].summary,
        abilities=Abilities(ranges=False, readers=False, threads=True, fork=True, survives_kill=True),
    )


def filelock_rw() -> Lock:
    """Make a lock of filelock.ReadWriteLock; older versions have none."""
    return Adapted(
        partial(attribute("filelock-rw", "filelock", "ReadWriteLock"), is_singleton=False),
        "filelock-rw",
        READY["filelock-rw"].summary,
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
        READY["portalocker"].summary,
        abilities=Abilities(ranges=False, readers=False, threads=True, fork=False, survives_kill=True),
    )


def portalocker_rlock() -> Lock:
    """Make a lock of portalocker.RLock, which here waits in the kernel."""
    flags = package("portalocker-rlock", "portalocker").LockFlags.EXCLUSIVE
    return Adapted(
        partial(attribute("portalocker-rlock", "portalocker", "RLock"), flags=flags),
        "portalocker-rlock",
        READY["portalocker-rlock"].summary,
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
        READY["fasteners"].summary,
        abilities=Abilities(ranges=False, readers=False, threads=False, fork=True, survives_kill=True),
    )


def fasteners_rw() -> Lock:
    """Make a lock of fasteners.InterProcessReaderWriterLock."""
    make = attribute("fasteners-rw", "fasteners", "InterProcessReaderWriterLock")
    return Adapted(
        lambda path: _RwFastener(make(path)),
        "fasteners-rw",
        READY["fasteners-rw"].summary,
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
        READY["lockfile"].summary,
        abilities=Abilities(ranges=False, readers=False, threads=True, fork=True, survives_kill=False),
    )


KEPT = Abilities(ranges=False, readers=False, threads=True, fork=True, survives_kill=False)
UNDONE = Abilities(ranges=False, readers=False, threads=True, fork=True, survives_kill=True)

MakeSemaphore = Callable[[], AbstractContextManager[Any]]
"""A function that makes a free semaphore, with acquire() and release(), and removes it after the block."""


class Semaphore:
    """A semaphore as a lock, made once a trial, by `prepared`."""

    has_ranges = False
    excludes = True

    def __init__(self, name: str, summary: str, abilities: Abilities, make: MakeSemaphore) -> None:
        self.name = name
        self.summary = summary
        self.abilities = abilities
        self._make = make

    @contextmanager
    def prepared(self, path: str) -> Iterator[Lock]:
        """Make a new semaphore, which the workers inherit. Raises CannotRunError where there is none available."""
        with ExitStack() as stack:
            try:
                semaphore = stack.enter_context(self._make())
            except Exception as error:
                raise CannotRunError(
                    f"lock {self.name}: no semaphore available ({type(error).__name__}: {error}); choose another --lock"
                ) from error
            yield Adapted(lambda path: semaphore, self.name, self.summary, abilities=self.abilities)

    def actions(self, descriptor: int, start: int, length: int, *, write: bool) -> tuple[Action, Action]:
        """Raise UsageError: there is no semaphore yet."""
        raise UsageError(f"lock {self.name}: is made once a trial, before the fork: lab.locking.prepared(lock, path)")


@contextmanager
def _made(make: Callable[[], Any], remove: Callable[[Any], object]) -> Iterator[Any]:
    """Make it and remove it after the block: also where a stop (Ctrl-C, SIGTERM) came while it was made."""
    semaphore = None
    try:
        with stops_held():
            semaphore = make()
        yield semaphore
    finally:
        if semaphore is not None:
            remove(semaphore)


def multiprocessing() -> Lock:
    """Make a multiprocessing.Lock of the context `fork`.

    The module is imported only then, since it makes every fork slower.
    """

    def make() -> Any:
        return import_module("multiprocessing").get_context("fork").Lock()

    return Semaphore(
        "multiprocessing",
        READY["multiprocessing"].summary,
        KEPT,
        lambda: _made(make, lambda lock: None),
    )


def posix() -> Lock:
    """Make a POSIX semaphore (sem_open(3)), by posix_ipc."""
    calls = package("posix-semaphore", "posix_ipc")

    def make() -> Any:
        semaphore = calls.Semaphore(f"/lab-{os.getpid()}-{time_ns():x}", calls.O_CREX, initial_value=1)
        semaphore.unlink()
        return semaphore

    return Semaphore(
        "posix-semaphore",
        READY["posix-semaphore"].summary,
        KEPT,
        lambda: _made(make, lambda semaphore: semaphore.close()),
    )


def system_v() -> Lock:
    """Make a System V semaphore (semget(2)) with SEM_UNDO, by sysv_ipc.

    A SIGKILL of all processes leaves it in ipcs(1).
    """
    calls = package("sysv-semaphore", "sysv_ipc")

    def make() -> Any:
        semaphore = calls.Semaphore(calls.IPC_PRIVATE, calls.IPC_CREAT, initial_value=1)
        semaphore.undo = True
        return semaphore

    return Semaphore(
        "sysv-semaphore",
        READY["sysv-semaphore"].summary,
        UNDONE,
        lambda: _made(make, lambda semaphore: semaphore.remove()),
    )
