"""Where the file ends within a page, and pages past its end."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lab.regions.calls import PAGE, PROT_READ, PROT_WRITE
from lab.results import Observation

from ..calls import Load, Mmap, Msync, Open, Pread, Size, Store, Truncate
from ..step import Stage, Step

BEYOND = 5
"""Bytes of the file's last page."""

ZERO = "'\\x00'"


def tail(stage: Stage) -> Iterator[Observation]:
    """The file ends early in its second page; what is stored after its end does not come with a file that grows."""
    end = PAGE + BEYOND
    path = stage.file(b"a" * end)
    program = stage.process(path)
    yield program.does(Open(os.O_RDWR))
    yield program.does(Mmap(2 * PAGE, PROT_READ | PROT_WRITE))
    yield program.risks(Load(end - 1), "'a'")
    yield program.risks(Load(end), ZERO)
    yield program.risks(Load(2 * PAGE - 1), ZERO)
    yield program.does(Store(end, "x"))
    yield program.does(Load(end), "'x'")
    yield program.does(Msync(0, 2 * PAGE))
    other = stage.process(path)
    other.do(Open(os.O_RDONLY))
    yield other.does(Size(), f"page + {BEYOND}")
    yield other.does(Pread(end), "0 bytes")
    yield program.does(Truncate(2 * PAGE))
    yield other.does(Pread(end), ZERO)


def past_end(stage: Stage) -> Iterator[Observation]:
    """One byte of file, two pages of mapping; then no file at all below a mapping."""
    program = stage.process(stage.file(b"a"))
    yield program.does(Open(os.O_RDWR))
    yield program.does(Mmap(2 * PAGE, PROT_READ | PROT_WRITE))
    yield program.risks(Load(0), "'a'")
    yield program.risks(Load(PAGE), "SIGBUS")
    yield program.risks(Store(PAGE, "x"), "SIGBUS")
    yield program.does(Truncate(0))
    yield program.risks(Load(0), "SIGBUS")


STEPS = (
    Step(
        "tail",
        "Bytes past the end of the file in its last page read as zero, and changes to them are not written back.",
        tail,
        "ftruncate() makes the file longer at last, to see what lies behind its old end. POSIX has it that what was "
        "stored there shall never be written out (mmap()); where the page in memory is the file, as on tmpfs, it is.",
    ),
    Step(
        "past-end",
        "A whole page past the end of the file can be mapped, but not touched: SIGBUS.",
        past_end,
        "The same happens to a mapping whose file is cut off under it.",
    ),
)
