"""The calls of the tour: each is written as in C, and makes just that call in the process in which it runs.

`page` stands for the page size, `fd` for the open file, `data` for the address of the last mapping and `c` for a char;
a struct flock is written as its l_type, l_whence, l_start and l_len.

A `Program` has the variables that the tutorial's examples name; bytes are written as in C.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from errno import errorcode
from pathlib import Path
from signal import Signals
from typing import Protocol

from lab.errors import out_of_descriptors
from lab.locking.kernel import call_range
from lab.memory import calls, open_file
from lab.memory.calls import PAGE, map_read_only
from lab.processes.rpc import ChildRpc, Gone

ACROSS = 16
HALF = ACROSS // 2


def literal(byte: int) -> str:
    """Return a character constant; unprintable characters, the quote and the backslash are escaped."""
    return "'\\''" if byte == ord("'") else f"'{repr(bytes([byte]))[2:-1]}'"


def dump(content: bytes, offset: int) -> Iterator[str]:
    """Return lines of 16 bytes: the offset of the first in hexadecimal, the bytes, and the text.

    A dot stands for a byte that is no printable character.
    """
    for start in range(0, len(content), ACROSS):
        line = content[start : start + ACROSS]
        halves = [line[:HALF].hex(" "), line[HALF:].hex(" ")]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line)
        yield f"{offset + start:08x}  {halves[0]:23}  {halves[1]:23}  |{text}|"


class NotMapped(Exception):  # noqa: N818 - a finding
    """The program has no mapping: the kernel refused it."""


@dataclass(slots=True)
class Program:
    """The variables of a program: the file by its name, the open file, where it is mapped, and a char.

    They are the program's own, as is its memory.
    """

    path: str
    fd: int = -1
    data: int | None = None
    c: int = 0

    def address(self, index: int) -> int:
        """Return the address of `data[index]`. Raises NotMapped."""
        if self.data is None:
            raise NotMapped
        return self.data + index


def how_it_ended(code: int) -> str:
    """Return an exit code, or the name of the signal, as text."""
    if code >= 0:
        return f"exit {code}"
    try:
        return Signals(-code).name
    except ValueError:  # of the real-time signals only the first and the last have names
        return f"signal {-code}"


WORKS = "works"
NOT_MAPPED = "not mapped"


class Call(Protocol):
    """One call; its `str` is the call as C writes it."""

    def perform(self, program: Program) -> str:
        """Make the call in this process and return its result. Raises OSError, NotMapped."""


def perform_call(call: Call, program: Program) -> str:
    """Return the result of the call in this process: a value, "works", or the name of an errno.

    Raises CannotRunError where no descriptor is left: that says nothing about the call.
    """
    try:
        return call.perform(program)
    except OSError as error:
        if refusal := out_of_descriptors(error):
            raise refusal from error
        return errorcode.get(error.errno or 0, str(error))
    except NotMapped:
        return NOT_MAPPED


def perform_in_child(call: Call, program: Program) -> str:
    """Return the result of the call in a child of this process; where the child dies of it, the name of the signal."""
    try:
        with ChildRpc(lambda _: perform_call(call, program).encode()) as child:
            return child.ask(b"?").decode()
    except Gone as gone:
        return how_it_ended(gone.code)


def in_pages(number: int) -> str:
    """Return a length or an offset as a C program writes it that got the page size from sysconf(3)."""
    pages, rest = divmod(number + PAGE // 2, PAGE)
    rest -= PAGE // 2
    if not pages or abs(rest) > PAGE // 4:
        return f"{number}" if number != PAGE // 2 else "page / 2"
    whole = "page" if pages == 1 else f"{pages} * page"
    return whole if not rest else f"{whole} {'+' if rest > 0 else '-'} {abs(rest)}"


MODES = {os.O_RDONLY: "O_RDONLY", os.O_WRONLY: "O_WRONLY", os.O_RDWR: "O_RDWR"}
KINDS = ("F_RDLCK", "F_WRLCK", "F_UNLCK")


@dataclass(frozen=True, slots=True)
class Open:
    """open(2)."""

    mode: int

    def __str__(self) -> str:
        return f'fd = open("foo", {MODES[self.mode]})'

    def perform(self, program: Program) -> str:
        """Open the file; the descriptor is the program's from now on, and the one that it had is closed."""
        before, program.fd = program.fd, open_file(program.path, self.mode)
        if before >= 0:
            os.close(before)
        return WORKS


@dataclass(frozen=True, slots=True)
class Close:
    """close(2)."""

    def __str__(self) -> str:
        return "close(fd)"

    def perform(self, program: Program) -> str:
        """Close the file; any lock that the process has on it is released too (fcntl(2))."""
        os.close(program.fd)
        return WORKS


@dataclass(frozen=True, slots=True)
class Pread:
    """pread(2) of one byte."""

    offset: int

    def __str__(self) -> str:
        return f"pread(fd, &c, 1, {in_pages(self.offset)})"

    def perform(self, program: Program) -> str:
        """Return the byte, or that the file ends before it."""
        found = os.pread(program.fd, 1, self.offset)
        return literal(found[0]) if found else "0 bytes"


@dataclass(frozen=True, slots=True)
class Pwrite:
    """pwrite(2) of one byte."""

    offset: int
    byte: str

    def __str__(self) -> str:
        return f"pwrite(fd, {literal(ord(self.byte))}, 1, {in_pages(self.offset)})".replace("'", '"')

    def perform(self, program: Program) -> str:
        """Return WORKS if it took the byte."""
        return WORKS if os.pwrite(program.fd, self.byte.encode(), self.offset) else "0 bytes"


@dataclass(frozen=True, slots=True)
class Size:
    """A call for the file's size, by fstat(2)."""

    def __str__(self) -> str:
        return "fstat(fd, &st), st.st_size"

    def perform(self, program: Program) -> str:
        """Return the size in bytes."""
        return in_pages(os.fstat(program.fd).st_size)


@dataclass(frozen=True, slots=True)
class Truncate:
    """ftruncate(2)."""

    size: int

    def __str__(self) -> str:
        return f"ftruncate(fd, {in_pages(self.size)})"

    def perform(self, program: Program) -> str:
        """Return WORKS if it returns 0."""
        os.ftruncate(program.fd, self.size)
        return WORKS


@dataclass(frozen=True, slots=True)
class Fcntl:
    """A POSIX record lock, by the name of its command: fcntl(2). The length 0 runs to the end and beyond."""

    command: str
    kind: int
    start: int = 0
    length: int = 0

    def __str__(self) -> str:
        return f"fcntl(fd, {self.command}, {{{KINDS[self.kind]}, SEEK_SET, {in_pages(self.start)}, {self.length}}})"

    def perform(self, program: Program) -> str:
        """Return WORKS once it is granted."""
        call_range(program.fd, self.command, self.kind, self.start, self.length, os.SEEK_SET, 0)
        return WORKS


@dataclass(frozen=True, slots=True)
class Mappings:
    """A look at /proc (proc(5)) for the number of mappings of the file in a process.

    The process is the caller, or one given by its pid and its name in the step.
    """

    pid: int = 0
    name: str = "self"

    def __str__(self) -> str:
        return f"grep -c foo /proc/{self.name}/maps"

    def perform(self, program: Program) -> str:
        """Return the number of mappings, or that there is no such process."""
        try:
            lines = Path(f"/proc/{self.pid or 'self'}/maps").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            return "no such process"
        folder, name = Path(program.path).parts[-2:]  # fresh names; what leads there may be a symbolic link
        return str(sum(line.endswith(f"/{folder}/{name}") for line in lines))


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
    """msync(2), which waits until the disk has it, or with MS_ASYNC does not."""

    start: int
    length: int
    flags: int = calls.MS_SYNC

    def __str__(self) -> str:
        name = "MS_SYNC" if self.flags == calls.MS_SYNC else "MS_ASYNC"
        return f"msync({_at(self.start)}, {in_pages(self.length)}, {name})"

    def perform(self, program: Program) -> str:
        """Return WORKS if it returns 0."""
        calls.msync(program.address(self.start), self.length, self.flags)
        return WORKS


@dataclass(frozen=True, slots=True)
class Fsync:
    """fsync(2), or fdatasync(2)."""

    name: str = "fsync"

    def __str__(self) -> str:
        return f"{self.name}(fd)"

    def perform(self, program: Program) -> str:
        """Return WORKS if it returns 0."""
        (os.fsync if self.name == "fsync" else os.fdatasync)(program.fd)
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
class Madvise:
    """madvise(2): no page is read ahead, so that each lies in a folio of its own."""

    length: int

    def __str__(self) -> str:
        return f"madvise(data, {in_pages(self.length)}, MADV_RANDOM)"

    def perform(self, program: Program) -> str:
        """Return WORKS if it returns 0."""
        calls.madvise(program.address(0), self.length)
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
