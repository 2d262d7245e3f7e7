"""The calls that map, and the loads and stores through a mapping.

Among them are two uses of Python's own mmap, which raises an exception where a C program is killed.
"""

from __future__ import annotations

from dataclasses import dataclass
from errno import errorcode

from lab.memory import calls
from lab.memory.calls import map_read_only

from .call import WORKS, Program, in_pages, literal

PROTECTIONS = {
    calls.PROT_NONE: "PROT_NONE",
    calls.PROT_READ: "PROT_READ",
    calls.PROT_WRITE: "PROT_WRITE",
    calls.PROT_READ | calls.PROT_WRITE: "PROT_READ | PROT_WRITE",
}
SHARING = {calls.MAP_SHARED: "MAP_SHARED", calls.MAP_PRIVATE: "MAP_PRIVATE"}


def _at(start: int) -> str:
    return f"data + {in_pages(start)}" if start else "data"


@dataclass(frozen=True, slots=True)
class Mmap:
    """mmap(2), at an address that the kernel chooses."""

    length: int
    prot: int
    flags: int = calls.MAP_SHARED
    offset: int = 0

    def __str__(self) -> str:
        length, offset = in_pages(self.length), in_pages(self.offset)
        return f"mmap(NULL, {length}, {PROTECTIONS[self.prot]}, {SHARING[self.flags]}, fd, {offset})"

    def perform(self, program: Program) -> str:
        """Map; the mapping is the program's `data` from now on."""
        program.data = calls.mmap(self.length, self.prot, self.flags, program.fd, self.offset)
        return WORKS


@dataclass(frozen=True, slots=True)
class Refused:
    """mmap(2) of no file or of no length, with what it returns, and errno."""

    length: int
    descriptor: int | None = None

    def __str__(self) -> str:
        descriptor = "fd" if self.descriptor is None else self.descriptor
        return f"mmap(NULL, {in_pages(self.length)}, PROT_READ, MAP_SHARED, {descriptor}, 0)"

    def perform(self, program: Program) -> str:
        """Return the result as a number, because NULL would be another one."""
        descriptor = program.fd if self.descriptor is None else self.descriptor
        address, code = calls.raw_mmap(self.length, calls.PROT_READ, calls.MAP_SHARED, descriptor)
        returned = "NULL" if address is None else "(void *) -1" if address == calls.MAP_FAILED else "an address"
        return f"{returned}, {errorcode.get(code, 'no errno')}"


@dataclass(frozen=True, slots=True)
class Munmap:
    """munmap(2)."""

    start: int
    length: int

    def __str__(self) -> str:
        return f"munmap({_at(self.start)}, {in_pages(self.length)})"

    def perform(self, program: Program) -> str:
        """Unmap; `data` is still the address, as in C."""
        calls.munmap(program.address(self.start), self.length)
        return WORKS


@dataclass(frozen=True, slots=True)
class Msync:
    """msync(2), waiting until the file has it."""

    start: int
    length: int

    def __str__(self) -> str:
        return f"msync({_at(self.start)}, {in_pages(self.length)}, MS_SYNC)"

    def perform(self, program: Program) -> str:
        """Return WORKS if it returns 0."""
        calls.msync(program.address(self.start), self.length)
        return WORKS


@dataclass(frozen=True, slots=True)
class Mprotect:
    """mprotect(2)."""

    length: int
    prot: int

    def __str__(self) -> str:
        return f"mprotect(data, {in_pages(self.length)}, {PROTECTIONS[self.prot]})"

    def perform(self, program: Program) -> str:
        """Return WORKS if it returns 0."""
        calls.mprotect(program.address(0), self.length, self.prot)
        return WORKS


@dataclass(frozen=True, slots=True)
class Load:
    """A load through the mapping."""

    index: int

    def __str__(self) -> str:
        return f"c = data[{in_pages(self.index)}]"

    def perform(self, program: Program) -> str:
        """Load the byte, which is the program's `c` from now on."""
        (program.c,) = calls.load(program.address(self.index))
        return literal(program.c)


@dataclass(frozen=True, slots=True)
class Store:
    """A store through the mapping; where no byte is given, of c + 1."""

    index: int
    byte: str = ""

    def __str__(self) -> str:
        return f"data[{in_pages(self.index)}] = {literal(ord(self.byte)) if self.byte else 'c + 1'}"

    def perform(self, program: Program) -> str:
        """Return WORKS if the process lives on."""
        calls.store(program.address(self.index), self.byte.encode() or bytes([program.c + 1]))
        return WORKS


@dataclass(frozen=True, slots=True)
class PythonStore:
    """A store to a read-only mapping."""

    def __str__(self) -> str:
        return "Python: mmap(fd, 0, access=ACCESS_READ)[0] = 120"

    def perform(self, program: Program) -> str:
        """Return the name of the exception."""
        with map_read_only(program.fd) as mapping:
            try:
                mapping[0] = 120
            except TypeError as error:
                return type(error).__name__
        return WORKS


@dataclass(frozen=True, slots=True)
class PythonUseAfterClose:
    """A load from a mapping that was unmapped."""

    def __str__(self) -> str:
        return "Python: mapping.close(); mapping[0]"

    def perform(self, program: Program) -> str:
        """Return the name of the exception."""
        mapping = map_read_only(program.fd)
        mapping.close()
        try:
            mapping[0]
        except ValueError as error:
            return type(error).__name__
        return WORKS
