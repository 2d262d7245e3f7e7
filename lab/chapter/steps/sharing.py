"""Who sees a store: the file, and another process."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lab.regions.calls import MAP_PRIVATE, MAP_SHARED, PAGE, PROT_READ, PROT_WRITE
from lab.results import Observation

from ..calls import Load, Mmap, Msync, Open, Pread, Pwrite, Store
from ..step import Stage, Step

BOTH = PROT_READ | PROT_WRITE


def pointer(stage: Stage) -> Iterator[Observation]:
    """A store is read with pread(), and what pwrite() wrote is loaded."""
    program = stage.process(stage.file(b"a" * PAGE))
    yield program.does(Open(os.O_RDWR))
    yield program.does(Mmap(PAGE, BOTH))
    yield program.does(Store(0, "x"))
    yield program.does(Pread(0), "'x'")
    yield program.does(Pwrite(1, "y"))
    yield program.does(Load(1), "'y'")


def flush(stage: Stage) -> Iterator[Observation]:
    """Another process reads the file before and after the flush."""
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
    """A and B map shared, C maps privately; A stores, then C."""
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
        "Whether the bytes reached the disk cannot be seen from here; only after a power failure it would matter.",
    ),
)
STEPS = (
    Step(
        "sharing",
        "Stores through MAP_SHARED are seen by the other process and in the file, through MAP_PRIVATE by neither.",
        shared_or_private,
    ),
)
