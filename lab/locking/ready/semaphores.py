"""Make locks of semaphores that count to 1, made before the fork and inherited: they know neither files nor holders.

Any process may release one, so each excludes threads and forked children too. Only System V can undo what a killed
process did to one (semop(2), SEM_UNDO); of the others a killed holder keeps all others out for ever.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib import import_module
from time import time_ns
from typing import Any

from lab.errors import CannotRunError, UsageError
from lab.locking.adapters import Adapted
from lab.locking.protocol import Abilities, Action, Lock
from lab.processes import stops_held

from .libraries import package

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
        "multiprocessing.Lock: a POSIX semaphore, inherited",
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
        "a POSIX semaphore (sem_open), nameless at once, inherited",
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
        "a System V semaphore (semop, SEM_UNDO), inherited",
        UNDONE,
        lambda: _made(make, lambda semaphore: semaphore.remove()),
    )
