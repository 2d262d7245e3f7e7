"""What the memory management unit lets through, and how mmap() fails."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lab.regions.calls import PAGE, PROT_NONE, PROT_READ, PROT_WRITE
from lab.results import Observation

from ..calls import Load, Mmap, Mprotect, Open, Pread, PythonStore, Refused, Store
from ..step import Stage, Step


def read_only(stage: Stage) -> Iterator[Observation]:
    """A store through PROT_READ, in C and in Python; then asking for more after the fact."""
    program = stage.process(stage.file(b"a" * PAGE))
    yield program.does(Open(os.O_RDONLY))
    yield program.does(Mmap(PAGE, PROT_READ))
    yield program.risks(Load(0), "'a'")
    yield program.risks(Store(0, "x"), "SIGSEGV")
    yield program.does(Mprotect(PAGE, PROT_READ | PROT_WRITE), "EACCES")
    yield program.does(PythonStore(), "TypeError")
    yield program.does(Pread(0), "'a'")


def no_access(stage: Stage) -> Iterator[Observation]:
    """A load through PROT_NONE; then the protection is changed."""
    program = stage.process(stage.file(b"a" * PAGE))
    yield program.does(Open(os.O_RDONLY))
    yield program.does(Mmap(PAGE, PROT_NONE))
    yield program.risks(Load(0), "SIGSEGV")
    yield program.does(Mprotect(PAGE, PROT_READ))
    yield program.risks(Load(0), "'a'")


def failed(stage: Stage) -> Iterator[Observation]:
    """Three ways to fail, and what mmap() returns then."""
    program = stage.process(stage.file(b"a" * PAGE))
    yield program.does(Refused(PAGE, -1), "(void *) -1, EBADF")
    yield program.does(Open(os.O_RDONLY))
    yield program.does(Refused(0), "(void *) -1, EINVAL")
    yield program.does(Open(os.O_WRONLY))
    yield program.does(Refused(PAGE), "(void *) -1, EACCES")


STEPS = (
    Step("read-only", "A store through PROT_READ is a segmentation fault; the file stays as it is.", read_only),
    Step("no-access", "Through PROT_NONE not even a load gets through.", no_access),
    Step("failed", "mmap() fails with MAP_FAILED, which is (void *) -1 and not NULL, and errno says why.", failed),
)
