"""The steps on files: access modes, offsets and lengths of mmap(), and what lies past the end of the file.

They show what the memory management unit allows, how mmap() fails, which modes, offsets and lengths open() and mmap()
allow, and where the file ends within a page and before the last page.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

from lab.memory.calls import MAP_PRIVATE, MAP_SHARED, PAGE, PROT_NONE, PROT_READ, PROT_WRITE
from lab.records import Observation
from lab.tutorial.calls import (
    WORKS,
    Load,
    Mmap,
    Mprotect,
    Msync,
    Munmap,
    Open,
    Pread,
    PythonStore,
    Refused,
    Size,
    Store,
    Truncate,
)
from lab.tutorial.process import Stage, Step


def read_only(stage: Stage) -> Iterator[Observation]:
    """Store through PROT_READ, in C and in Python; then request more access afterwards."""
    program = stage.process(stage.file(b"a" * PAGE))
    yield program.does(Open(os.O_RDONLY))
    yield program.does(Mmap(PAGE, PROT_READ))
    yield program.risks(Load(0), "'a'")
    yield program.risks(Store(0, "x"), "SIGSEGV")
    yield program.does(Mprotect(PAGE, PROT_READ | PROT_WRITE), "EACCES")
    yield program.does(PythonStore(), "TypeError")
    yield program.does(Pread(0), "'a'")


def no_access(stage: Stage) -> Iterator[Observation]:
    """Load through PROT_NONE; then change the protection."""
    program = stage.process(stage.file(b"a" * PAGE))
    yield program.does(Open(os.O_RDONLY))
    yield program.does(Mmap(PAGE, PROT_NONE))
    yield program.risks(Load(0), "SIGSEGV")
    yield program.does(Mprotect(PAGE, PROT_READ))
    yield program.risks(Load(0), "'a'")


def failed(stage: Stage) -> Iterator[Observation]:
    """Make mmap() fail in three ways, and look at what it returns."""
    program = stage.process(stage.file(b"a" * PAGE))
    yield program.does(Refused(PAGE, -1), "(void *) -1, EBADF")
    yield program.does(Open(os.O_RDONLY))
    yield program.does(Refused(0), "(void *) -1, EINVAL")
    yield program.does(Open(os.O_WRONLY))
    yield program.does(Refused(PAGE), "(void *) -1, EACCES")


ACCESS_STEPS = (
    Step("read-only", "A store through PROT_READ is a segmentation fault; the file stays as it is.", read_only),
    Step("no-access", "Through PROT_NONE not even a load gets through.", no_access),
    Step("failed", "mmap() fails with MAP_FAILED, which is (void *) -1 and not NULL, and errno says why.", failed),
)


REFUSED = "EACCES"
MODES = {"O_RDONLY": os.O_RDONLY, "O_WRONLY": os.O_WRONLY, "O_RDWR": os.O_RDWR}
PROTECTIONS = {"PROT_READ": PROT_READ, "PROT_WRITE": PROT_WRITE, "PROT_READ | PROT_WRITE": PROT_READ | PROT_WRITE}
ALLOWED = {("O_RDONLY", "PROT_READ"), *(("O_RDWR", protection) for protection in PROTECTIONS)}


def modes(stage: Stage) -> Iterator[Observation]:
    """Try all nine modes, then the one exception: a private mapping is written to in memory, not in the file."""
    program = stage.process(stage.file(b"a" * PAGE))
    for mode, number in MODES.items():
        for protection, bits in PROTECTIONS.items():
            program.do(Open(number))
            expected = WORKS if (mode, protection) in ALLOWED else REFUSED
            yield replace(program.does(Mmap(PAGE, bits), expected), row=mode, column=protection)
    yield program.does(Open(os.O_RDONLY))
    yield program.does(Mmap(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE))
    yield program.does(Store(0, "x"))
    yield program.does(Pread(0), "'a'")


def second_page(stage: Stage) -> Iterator[Observation]:
    """Make a file of two pages, the first of a's, the second of b's."""
    program = stage.process(stage.file(b"a" * PAGE + b"b" * PAGE))
    yield program.does(Open(os.O_RDONLY))
    yield program.does(Mmap(PAGE, PROT_READ, MAP_SHARED, PAGE))
    yield program.does(Load(0), "'b'")
    yield program.does(Pread(PAGE), "'b'")


def offset(stage: Stage) -> Iterator[Observation]:
    """Map at offsets that are no multiples of the page size, and at one that is."""
    program = stage.process(stage.file(b"a" * 2 * PAGE))
    yield program.does(Open(os.O_RDONLY))
    for start in (1, PAGE // 2, PAGE - 1, PAGE + 1):
        yield program.does(Mmap(PAGE, PROT_READ, MAP_SHARED, start), "EINVAL")
    yield program.does(Mmap(PAGE, PROT_READ, MAP_SHARED, PAGE))


def length(stage: Stage) -> Iterator[Observation]:
    """Map one byte, which maps a page; unmap one byte, which unmaps the page."""
    program = stage.process(stage.file(b"a" * (PAGE - 1) + b"z"))
    yield program.does(Open(os.O_RDONLY))
    yield program.does(Mmap(1, PROT_READ))
    yield program.risks(Load(PAGE - 1), "'z'")
    yield program.does(Munmap(0, 1))
    yield program.risks(Load(PAGE - 1), "SIGSEGV")


OPENING_STEPS = (
    Step(
        "modes",
        "The mode of open() bounds the protection that mmap() grants, and every mapping needs a file open for reading.",
        modes,
        "A private mapping of a file that is open for reading may be written to: its stores never reach the file.",
    ),
    Step("second-page", "A mapping may begin at a later page; data[0] is the first byte of that page.", second_page),
    Step("offset", "The offset must be a multiple of the page size.", offset),
    Step("length", "The length is rounded up to whole pages.", length),
)


BEYOND = 5
"""The number of bytes in the file's last page."""

ZERO = "'\\x00'"


def tail(stage: Stage) -> Iterator[Observation]:
    """End the file early in its second page; what is stored after its end is not in the file when it grows."""
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
    """Map two pages of a file of one byte; then make the file empty below a mapping."""
    program = stage.process(stage.file(b"a"))
    yield program.does(Open(os.O_RDWR))
    yield program.does(Mmap(2 * PAGE, PROT_READ | PROT_WRITE))
    yield program.risks(Load(0), "'a'")
    yield program.risks(Load(PAGE), "SIGBUS")
    yield program.risks(Store(PAGE, "x"), "SIGBUS")
    yield program.does(Truncate(0))
    yield program.risks(Load(0), "SIGBUS")


PAGE_STEPS = (
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
