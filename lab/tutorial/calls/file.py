"""The calls on the open file; its locks are among them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from lab.locking.kernel import call_range
from lab.memory import open_file

from .call import WORKS, Program, in_pages, literal

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
