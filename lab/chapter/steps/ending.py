"""How a mapping ends, and what ends without it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lab.regions.calls import PAGE, PROT_READ, PROT_WRITE
from lab.results import Observation

from ..calls import Close, Load, Mappings, Mmap, Munmap, Open, Pread, PythonUseAfterClose, Size, Store
from ..step import Stage, Step

BOTH = PROT_READ | PROT_WRITE


def unmap(stage: Stage) -> Iterator[Observation]:
    """munmap() of what is no page, then of the page; and the use of it after."""
    program = stage.process(stage.file(b"a" * PAGE))
    yield program.does(Open(os.O_RDWR))
    yield program.does(Mmap(PAGE, BOTH))
    yield program.does(Munmap(1, PAGE), "EINVAL")
    yield program.does(Munmap(0, PAGE))
    yield program.risks(Load(0), "SIGSEGV")
    yield program.does(PythonUseAfterClose(), "ValueError")
    yield program.does(Pread(0), "'a'")


def leave(stage: Stage) -> Iterator[Observation]:
    """A stores and exits without munmap() or msync(); B looks at what is left."""
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
    """The descriptor is closed right after mmap(); B reads what is stored then."""
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


STEPS = (
    Step("munmap", "munmap() releases the pages; whoever uses them after it is ended by SIGSEGV.", unmap),
    Step("exit", "A mapping goes when its process exits; the file stays, with what was stored.", leave),
    Step("close", "The mapping stays when the descriptor is closed.", close),
)
