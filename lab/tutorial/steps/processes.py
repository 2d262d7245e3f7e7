"""The steps on several processes: when a store is visible, how a mapping ends, and what fcntl() locks do.

A store is observed through the file and in another process; a mapping ends with munmap(), with its process, and not
with the descriptor. Two processes write one byte without and with fcntl() locks; then locks are released in several
ways.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from lab.memory.calls import MAP_PRIVATE, MAP_SHARED, PAGE, PROT_READ, PROT_WRITE
from lab.records import Observation
from lab.tutorial.calls import (
    Close,
    Fcntl,
    Load,
    Mappings,
    Mmap,
    Msync,
    Munmap,
    Open,
    Pread,
    Pwrite,
    PythonUseAfterClose,
    Size,
    Store,
)
from lab.tutorial.process import Process, Stage, Step

BOTH = PROT_READ | PROT_WRITE


def pointer(stage: Stage) -> Iterator[Observation]:
    """Store, and read it with pread(); write with pwrite(), and load it."""
    program = stage.process(stage.file(b"a" * PAGE))
    yield program.does(Open(os.O_RDWR))
    yield program.does(Mmap(PAGE, BOTH))
    yield program.does(Store(0, "x"))
    yield program.does(Pread(0), "'x'")
    yield program.does(Pwrite(1, "y"))
    yield program.does(Load(1), "'y'")


def flush(stage: Stage) -> Iterator[Observation]:
    """Read the file in another process before and after the flush."""
    path = stage.file(b"a" * PAGE)
    program, reader = stage.process(path, "A"), stage.process(path, "B")
    reader.do(Open(os.O_RDONLY))
    yield program.does(Open(os.O_RDWR))
    yield program.does(Mmap(PAGE, BOTH))
    yield program.does(Store(0, "x"))
    yield reader.does(Pread(0), "'x'")
    yield program.does(Msync(0, PAGE))
    yield reader.does(Pread(0), "'x'")
    yield program.does(Msync(1, PAGE), "EINVAL")


def shared_or_private(stage: Stage) -> Iterator[Observation]:
    """Map shared in A and B, privately in C; A stores, then C."""
    path = stage.file(b"a" * PAGE)
    mappers = {name: stage.process(path, name) for name in "ABC"}
    for name, process in mappers.items():
        process.do(Open(os.O_RDWR))
        yield process.does(Mmap(PAGE, BOTH, MAP_PRIVATE if name == "C" else MAP_SHARED))
    a, b, c = mappers.values()
    yield a.does(Store(0, "s"))
    yield b.does(Load(0), "'s'")
    yield b.does(Pread(0), "'s'")
    yield c.does(Store(1, "p"))
    yield c.does(Load(1), "'p'")
    yield b.does(Load(1), "'a'")
    yield b.does(Pread(1), "'a'")


FILE_STEPS = (
    Step("pointer", "A mapped file is the file: loads and stores through the pointer are reads and writes.", pointer),
    Step(
        "msync",
        "msync() flushes what was stored; whoever reads the file sees it before that already.",
        flush,
        "That the bytes are on the disk cannot be seen in the file, only after a power failure: see the step power.",
    ),
)
SHARING_STEPS = (
    Step(
        "sharing",
        "Stores through MAP_SHARED are seen by the other process and in the file, through MAP_PRIVATE by neither.",
        shared_or_private,
    ),
)


def unmap(stage: Stage) -> Iterator[Observation]:
    """Call munmap() with what is no page, then with the page; then use it."""
    program = stage.process(stage.file(b"a" * PAGE))
    yield program.does(Open(os.O_RDWR))
    yield program.does(Mmap(PAGE, BOTH))
    yield program.does(Munmap(1, PAGE), "EINVAL")
    yield program.does(Munmap(0, PAGE))
    yield program.risks(Load(0), "SIGSEGV")
    yield program.does(PythonUseAfterClose(), "ValueError")
    yield program.does(Pread(0), "'a'")


def leave(stage: Stage) -> Iterator[Observation]:
    """Store in A, which exits without munmap() or msync(); B looks at what is left."""
    path = stage.file(b"a" * PAGE)
    leaver, other = stage.process(path, "A"), stage.process(path, "B")
    yield leaver.does(Open(os.O_RDWR))
    yield leaver.does(Mmap(PAGE, BOTH))
    yield leaver.does(Store(0, "x"))
    yield leaver.does(Mappings(), "1")
    yield leaver.exits()
    yield other.does(Mappings(leaver.pid, "A"), "no such process")
    yield other.does(Open(os.O_RDONLY))
    yield other.does(Size(), "page")
    yield other.does(Pread(0), "'x'")


def close(stage: Stage) -> Iterator[Observation]:
    """Close the descriptor right after mmap(); B reads what is stored then."""
    path = stage.file(b"a" * PAGE)
    program, reader = stage.process(path, "A"), stage.process(path, "B")
    reader.do(Open(os.O_RDONLY))
    yield program.does(Open(os.O_RDWR))
    yield program.does(Mmap(PAGE, BOTH))
    yield program.does(Close())
    yield program.does(Pread(0), "EBADF")
    yield program.does(Load(0), "'a'")
    yield program.does(Store(0, "x"))
    yield reader.does(Pread(0), "'x'")


ENDING_STEPS = (
    Step("munmap", "munmap() releases the pages; whoever uses them after it is ended by SIGSEGV.", unmap),
    Step("exit", "A mapping goes when its process exits; the file stays, with what was stored.", leave),
    Step("close", "The mapping stays when the descriptor is closed.", close),
)


COUNTER = b"0"
WRITE_LOCK, UNLOCK = 1, 2
REFUSED = "EAGAIN or EACCES"
"""The error of a refused lock: POSIX.1-2008, fcntl(), allows either."""

TRY = Fcntl("F_SETLK", WRITE_LOCK)
WAIT = Fcntl("F_SETLKW", WRITE_LOCK)
GIVE_BACK = Fcntl("F_SETLK", UNLOCK)
FAR = 1000 * PAGE
TRY_FAR = Fcntl("F_SETLK", WRITE_LOCK, FAR, 1)
ADD_1 = Store(0)


def _two(stage: Stage) -> tuple[Process, Process]:
    """Start A and B, each with the file open by itself."""
    path = stage.file(COUNTER)
    both = stage.process(path, "A"), stage.process(path, "B")
    for process in both:
        process.do(Open(os.O_RDWR))
    return both


def _mapped(*processes: Process) -> Iterator[Observation]:
    """Start both, each of which maps the file for itself."""
    return (process.does(Mmap(PAGE, PROT_READ | PROT_WRITE)) for process in processes)


def race(stage: Stage) -> Iterator[Observation]:
    """Load in both before either stores; the turn passes from one to the other, which forces the order."""
    a, b = _two(stage)
    yield from _mapped(a, b)
    yield a.does(Load(0), "'0'")
    yield b.does(Load(0), "'0'")
    yield a.does(ADD_1)
    yield b.does(ADD_1)
    yield a.does(Load(0), "'1'")


def lock(stage: Stage) -> Iterator[Observation]:
    """Do the same two additions, each within the lock on the whole file."""
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
    """Exit in A while it holds the lock."""
    a, b = _two(stage)
    yield a.does(WAIT)
    yield b.does(TRY, REFUSED)
    yield a.exits()
    yield b.does(TRY)


def unlock(stage: Stage) -> Iterator[Observation]:
    """Release A's lock by F_SETLK, and once more, when there is nothing to release."""
    a, b = _two(stage)
    yield a.does(TRY)
    yield b.does(TRY, REFUSED)
    yield a.does(GIVE_BACK)
    yield b.does(TRY)
    yield a.does(GIVE_BACK)
    yield a.does(TRY, REFUSED)


def fork(stage: Stage) -> Iterator[Observation]:
    """Fork a child of A, which has A's mapping, and is refused A's lock."""
    a, _ = _two(stage)
    yield from _mapped(a)
    yield a.does(TRY)
    yield a.risks(Load(0), "'0'", who="A's child")
    yield a.risks(Store(0, "x"), "works", who="A's child")
    yield a.does(Load(0), "'x'")
    yield a.risks(TRY, REFUSED, who="A's child")
    yield a.does(TRY)


LOCKING_STEPS = (
    Step(
        "race",
        "Mapped files have no synchronisation of their own: of two unlocked additions one is lost.",
        race,
        "This order is forced here; how often it happens by itself, `lab race counter` counts.",
    ),
    Step(
        "lock",
        "F_SETLKW with F_WRLCK, SEEK_SET, 0, 0 locks the whole file: the second writer waits, no addition is lost.",
        lock,
        "l_len 0 reaches beyond the end of the file; F_SETLK is refused where F_SETLKW waits.",
    ),
    Step("death", "The kernel releases the locks of a process that exits.", death),
    Step("unlock", "F_UNLCK through F_SETLK releases the lock; it never waits.", unlock),
    Step(
        "fork",
        "A forked child inherits the mapping, but not the lock.",
        fork,
        "A POSIX record lock belongs to the process that took it; `lab list` names locks of another kind.",
    ),
)
