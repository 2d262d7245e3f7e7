"""Read one byte of a file through a mapping, as the tutorial's demo program does, in two halves: map, then load.

Between the halves any process may make the file shorter. A load from a page that is then wholly past the end is SIGBUS
(mmap(2)), so a child does it; a load from the rest of the last page is answered with zeros that the file does not have,
so the size is read again.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGBUS

from lab.errors import CannotRunError, UsageError
from lab.memory import calls
from lab.processes.rpc import ChildRpc, Gone

CHUNK = 1 << 15
"""The number of bytes that the child loads at a time."""

KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True, slots=True)
class Mapped:
    """A file, mapped whole and read-only, and its size at that time."""

    path: Path
    descriptor: int
    address: int
    size: int

    def load(self, offset: int, length: int = 1) -> Iterator[bytes]:
        """Yield the bytes from there on, in pieces, as many as the file has; a child loads them.

        Raises UsageError for an offset outside the file, CannotRunError where the file became too short for it.
        """
        if not 0 <= offset < self.size:
            raise UsageError(f"{self.path}: offset must be 0-{self.size - 1}, not {offset}")
        end = min(offset + length, self.size)
        with ChildRpc(self._answer) as child:
            for start in range(offset, end, CHUNK):
                yield self._load_by(child, start, min(end, start + CHUNK))

    def _load_by(self, child: ChildRpc, start: int, end: int) -> bytes:
        try:
            content = child.ask(f"{start} {end}".encode())
        except Gone as gone:
            raise self._failed(gone.code, start, end) from None
        size = os.fstat(self.descriptor).st_size
        if size < end:
            raise CannotRunError(
                f"{self.path}: was cut from {self.size} to {size} bytes while it was mapped: the load from offset "
                f"{max(start, size)} was answered with zeros that are not in the file; try again"
            )
        return content

    def _answer(self, question: bytes) -> bytes:
        start, end = map(int, question.split())
        return calls.load(self.address + start, end - start)

    def _failed(self, code: int, start: int, end: int) -> CannotRunError:
        where = f"offset {start}" if end == start + 1 else f"offsets {start}-{end - 1}"
        if code != -SIGBUS:
            return CannotRunError(f"{self.path}: the process that loads {where} ended with {code}; try again")
        size = os.fstat(self.descriptor).st_size
        why = (
            f"the file was cut from {self.size} to {size} bytes while it was mapped; try again"
            if size < end
            else "the page cannot be had from the disk; look into the kernel's log"
        )
        return CannotRunError(f"{self.path}: SIGBUS at the load from {where}: {why}")


@contextmanager
def mapped(path: Path) -> Iterator[Mapped]:
    """Open and map the file within the block.

    Raises UsageError for a path that is no file with bytes in it, CannotRunError where it may not or cannot be mapped.
    """
    descriptor = _open(path)
    try:
        size = os.fstat(descriptor).st_size
        if not size:
            raise UsageError(
                f"{path}: is empty, there is no byte to show: mmap refuses length 0 (EINVAL); "
                "give another (files of /proc have no size, whatever they hold: read those)"
            )
        address = _map(path, descriptor, size)
        try:
            yield Mapped(path, descriptor, address, size)
        finally:
            calls.munmap(address, size)
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    """Open a regular file for reading.

    Its status is read first, because opening other kinds of files may wait, or have an effect.
    """
    try:
        _check_kind(path, path.stat())
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except PermissionError as error:
        raise CannotRunError(f"{path}: may not be read ({error.strerror}); ask its owner") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a null byte in it
        message = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{path}: cannot be opened ({message}); give the name of a file") from error
    try:
        _check_kind(path, os.fstat(descriptor))
    except UsageError:
        os.close(descriptor)
        raise
    return descriptor


def _check_kind(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "no regular file")
        raise UsageError(f"{path}: is {kind}, and only a file has bytes at offsets; give the name of a file")


def _map(path: Path, descriptor: int, size: int) -> int:
    try:
        return calls.mmap(size, calls.PROT_READ, calls.MAP_SHARED, descriptor)
    except OSError as error:
        remedy = {
            errno.ENODEV: "this filesystem cannot map files; read it instead",
            errno.ENOMEM: "there is no room for it among the addresses; raise the limit (ulimit -v)",
        }.get(error.errno or 0, "copy it to another filesystem")
        name = errno.errorcode.get(error.errno or 0, "errno unknown")
        raise CannotRunError(f"{path}: mmap of {size} bytes is refused ({error.strerror}, {name}): {remedy}") from error
