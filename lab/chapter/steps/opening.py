"""What open() and mmap() allow: modes, offsets, lengths."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

from lab.regions.calls import MAP_PRIVATE, MAP_SHARED, PAGE, PROT_READ, PROT_WRITE
from lab.results import Observation

from ..calls import WORKS, Load, Mmap, Munmap, Open, Pread, Store
from ..step import Stage, Step

REFUSED = "EACCES"
MODES = {"O_RDONLY": os.O_RDONLY, "O_WRONLY": os.O_WRONLY, "O_RDWR": os.O_RDWR}
PROTECTIONS = {"PROT_READ": PROT_READ, "PROT_WRITE": PROT_WRITE, "PROT_READ | PROT_WRITE": PROT_READ | PROT_WRITE}
ALLOWED = {("O_RDONLY", "PROT_READ"), *(("O_RDWR", protection) for protection in PROTECTIONS)}


def modes(stage: Stage) -> Iterator[Observation]:
    """All nine, then the one exception: a private mapping is written to in memory, not in the file."""
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
    """A file of two pages, the first of a's, the second of b's."""
    program = stage.process(stage.file(b"a" * PAGE + b"b" * PAGE))
    yield program.does(Open(os.O_RDONLY))
    yield program.does(Mmap(PAGE, PROT_READ, MAP_SHARED, PAGE))
    yield program.does(Load(0), "'b'")
    yield program.does(Pread(PAGE), "'b'")


def offset(stage: Stage) -> Iterator[Observation]:
    """Offsets that are no multiples of the page size, and one that is."""
    program = stage.process(stage.file(b"a" * 2 * PAGE))
    yield program.does(Open(os.O_RDONLY))
    for start in (1, PAGE // 2, PAGE - 1, PAGE + 1):
        yield program.does(Mmap(PAGE, PROT_READ, MAP_SHARED, start), "EINVAL")
    yield program.does(Mmap(PAGE, PROT_READ, MAP_SHARED, PAGE))


def length(stage: Stage) -> Iterator[Observation]:
    """One byte is asked for, and a page is mapped; one byte is given back, and the page is gone."""
    program = stage.process(stage.file(b"a" * (PAGE - 1) + b"z"))
    yield program.does(Open(os.O_RDONLY))
    yield program.does(Mmap(1, PROT_READ))
    yield program.risks(Load(PAGE - 1), "'z'")
    yield program.does(Munmap(0, 1))
    yield program.risks(Load(PAGE - 1), "SIGSEGV")


STEPS = (
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
