"""Two writers of one byte, without and with fcntl() locks; and who gives a lock back."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lab.regions.calls import PAGE, PROT_READ, PROT_WRITE
from lab.results import Observation

from ..calls import Fcntl, Load, Mmap, Open, Store
from ..process import Process
from ..step import Stage, Step

COUNTER = b"0"
WRITE_LOCK, UNLOCK = 1, 2
REFUSED = "EAGAIN or EACCES"
"""POSIX.1-2008, fcntl(): either of them."""

TRY = Fcntl("F_SETLK", WRITE_LOCK)
WAIT = Fcntl("F_SETLKW", WRITE_LOCK)
GIVE_BACK = Fcntl("F_SETLK", UNLOCK)
FAR = 1000 * PAGE
TRY_FAR = Fcntl("F_SETLK", WRITE_LOCK, FAR, 1)
ADD_1 = Store(0)


def _two(stage: Stage) -> tuple[Process, Process]:
    """A and B, each with the file open by itself."""
    path = stage.file(COUNTER)
    both = stage.process(path, "A"), stage.process(path, "B")
    for process in both:
        process.do(Open(os.O_RDWR))
    return both


def _mapped(*processes: Process) -> Iterator[Observation]:
    """Each maps the file for itself."""
    return (process.does(Mmap(PAGE, PROT_READ | PROT_WRITE)) for process in processes)


def race(stage: Stage) -> Iterator[Observation]:
    """Both load before either stores; the order is forced by handing over from one to the other."""
    a, b = _two(stage)
    yield from _mapped(a, b)
    yield a.does(Load(0), "'0'")
    yield b.does(Load(0), "'0'")
    yield a.does(ADD_1)
    yield b.does(ADD_1)
    yield a.does(Load(0), "'1'")


def lock(stage: Stage) -> Iterator[Observation]:
    """The same two additions, each within the lock on the whole file."""
    a, b = _two(stage)
    yield from _mapped(a, b)
    yield a.does(WAIT)
    yield a.does(Load(0), "'0'")
    yield b.does(TRY_FAR, REFUSED)
    yield b.begins(WAIT)
    yield a.does(ADD_1)
    yield a.does(GIVE_BACK)
    yield b.goes_on()
    yield b.does(Load(0), "'1'")
    yield b.does(ADD_1)
    yield b.does(GIVE_BACK)
    yield a.does(Load(0), "'2'")


def death(stage: Stage) -> Iterator[Observation]:
    """A exits with the lock."""
    a, b = _two(stage)
    yield a.does(WAIT)
    yield b.does(TRY, REFUSED)
    yield a.exits()
    yield b.does(TRY)


def unlock(stage: Stage) -> Iterator[Observation]:
    """A gives the lock back by F_SETLK, and once more, when there is nothing to give back."""
    a, b = _two(stage)
    yield a.does(TRY)
    yield b.does(TRY, REFUSED)
    yield a.does(GIVE_BACK)
    yield b.does(TRY)
    yield a.does(GIVE_BACK)
    yield a.does(TRY, REFUSED)


def fork(stage: Stage) -> Iterator[Observation]:
    """A's child has A's mapping, and is refused A's lock."""
    a, _ = _two(stage)
    yield from _mapped(a)
    yield a.does(TRY)
    yield a.risks(Load(0), "'0'", who="A's child")
    yield a.risks(Store(0, "x"), "works", who="A's child")
    yield a.does(Load(0), "'x'")
    yield a.risks(TRY, REFUSED, who="A's child")
    yield a.does(TRY)


STEPS = (
    Step(
        "race",
        "Mapped files have no synchronisation of their own: of two unlocked additions one is lost.",
        race,
        "This order is forced here; how often it happens by itself, `python -m lab race counter` counts.",
    ),
    Step(
        "lock",
        "F_SETLKW with F_WRLCK, SEEK_SET, 0, 0 locks the whole file: the second writer waits, no addition is lost.",
        lock,
        "l_len 0 reaches beyond the end of the file; F_SETLK is refused where F_SETLKW waits.",
    ),
    Step("death", "The kernel gives back the locks of a process that exits.", death),
    Step("unlock", "F_UNLCK through F_SETLK gives the lock back; it never waits.", unlock),
    Step(
        "fork",
        "A forked child inherits the mapping, but not the lock.",
        fork,
        "A POSIX record lock belongs to the process that took it; `python -m lab list` names locks of another kind.",
    ),
)
