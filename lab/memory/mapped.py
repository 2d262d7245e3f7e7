"""Share the bytes of a file: mapped (mmap(2)), or by pread(2) and pwrite(2) where it cannot be mapped.

The worker that maps a file owns the descriptor and the mapping until it exits. They are never closed explicitly while
the worker lives: closing any descriptor of the file would release all of the process's POSIX locks on it (fcntl(2),
"Advisory record locking").

`Reopening` opens the file inside the lock, and writes back and closes it there: close-to-open consistency, made
explicitly. Where several hosts share a filesystem each has a page cache of its own, and many of these filesystems check
whether it is still fresh only when a file is opened. So the file is opened anew after each grant, to be mapped or for
pread(2) and pwrite(2), and written back (msync(2)), unmapped and closed before each unlock. The lock cannot be on that
file, whose closing would release it. It is on an empty file beside it, which stays open for as long as the worker
lives. Inside several locks at once the file is opened anew with each of them, and written back before each unlock: what
another lock protects may have changed until that very lock was granted.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from lab.compiled import load_compiled
from lab.errors import CannotRunError

from .folder import open_file, place_of
from .protocol import Backing, Held, OpenFile, Shared
from .workspace import LESS, companions, mapped, new_file, read_back

MAP_NORESERVE = 0x4000
"""The value on Linux, on all architectures but alpha, mips and sparc; `mmap` has the name only since Python 3.13."""

MADV_POPULATE_WRITE = 23
POPULATE_AT_MOST = 1 << 28


class Mapping(NamedTuple):
    """One process's open file and its view of the bytes: an `OpenFile` whose buffer stays."""

    descriptor: int
    buffer: mmap.mmap

    @property
    def guard(self) -> int:
        """Return the file itself: see `OpenFile`."""
        return self.descriptor

    def load(self, start: int, length: int) -> bytes:
        """Return a copy of these bytes of the page."""
        return self.buffer[start : start + length]

    def store(self, start: int, data: bytes | memoryview) -> None:
        """Copy these bytes to the page."""
        self.buffer[start : start + len(data)] = data

    def sync(self, start: int, length: int) -> None:
        """Write back the pages of these bytes (msync(2), MS_SYNC)."""
        first = start // mmap.PAGESIZE * mmap.PAGESIZE
        self.buffer.flush(first, (start + length if length else len(self.buffer)) - first)

    def around(self, held: Held) -> Held:
        """Return the lock as it is: what is mapped stays mapped."""
        return held

    def abandon(self) -> None:
        """Close the descriptor; the mapping goes with the last view of it."""
        os.close(self.descriptor)

    def close(self) -> None:
        """Unmap and close; no view of the buffer may be left (BufferError)."""
        self.buffer.close()
        os.close(self.descriptor)


class FileBacking(Backing):
    """A backing that shares the bytes of a file; `flags` are those of mmap(2).

    `beside` are the suffixes of the empty files that it needs beside the file, to be made and removed with it.
    """

    __slots__ = ("beside", "flags")

    def __init__(
        self, name: str, summary: str, flags: int, beside: tuple[str, ...] = (), *, shares: bool = True
    ) -> None:
        super().__init__(name, summary, shares=shares)
        self.flags = flags
        self.beside = beside

    @contextmanager
    def share(self, path: Path, content: bytes | bytearray, *, sparse: bool = False) -> Iterator[Shared]:
        """Make the file itself: see `Backing.share`."""
        with new_file(path, content, sparse=sparse), companions(path, self.beside):
            yield SharedFile(self, path, len(content))

    def open(self, path: Path | str, size: int) -> OpenFile:
        """Open the file, of this size, as the backing does. Raises CannotRunError where the filesystem refuses."""
        return self.map(path, size)

    def map(self, path: Path | str, size: int) -> Mapping:
        """Open the file and map its first `size` bytes for reading and writing.

        Raises CannotRunError where the filesystem refuses (ENODEV: it cannot map files).
        """
        descriptor = open_file(path, os.O_RDWR)
        try:
            return Mapping(descriptor, mapped(descriptor, size, self.flags))
        except BaseException as error:
            os.close(descriptor)
            if not isinstance(error, OSError):
                raise
            if error.errno == errno.ENODATA:
                raise CannotRunError(f"{Path(path).parent}: {error.strerror} made there; give another --dir") from error
            raise CannotRunError(
                f"{Path(path).parent}: this filesystem refuses the mapping of backing {self.name} ({error.strerror}); "
                "try another --dir"
            ) from error


class SharedFile(NamedTuple):
    """`Shared`: the file that a backing shares, by the name under which it was made."""

    backing: FileBacking
    path: Path
    size: int

    def open(self, path: Path | str) -> OpenFile:
        """Open the file by this name, as the backing does."""
        return self.backing.open(path, self.size)

    def read_back(self) -> bytearray:
        """Return the bytes left in the file: see `lab.memory.read_back`."""
        return read_back(self.path, self.size)


AT_FDCWD = -100
_built = load_compiled("lab.processes._crowd", "open_again")


def open_ahead(shared: Shared, path: Path | str) -> tuple[Mapping, Callable[[], None]] | None:
    """Open the file before a fork, for children that each open and map it themselves in the same place.

    What was built over the buffer, which has no file yet, and on the descriptor, is then the child's own without being
    built again. Each child calls the function; it raises OSError where the file cannot be opened or mapped, or is
    another one by now. Returns None where a backing does more than that, and without the compiled part.
    """
    if _built is None or not isinstance(shared, SharedFile) or type(shared.backing) is not FileBacking:
        return None
    buffer, (name, within) = anonymous(shared.size), place_of(path)
    address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    where = AT_FDCWD if within is None else within
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    made = Mapping(open_file(path, flags), buffer)
    again = partial(_built.open_again, where, os.fsencode(name), flags, made.descriptor, address)
    return made, partial(again, shared.size, shared.backing.flags)


def anonymous(size: int, *, populated: int = 0) -> mmap.mmap:
    """Map memory that this process shares with the children that it forks, zeroed; pages cost nothing until touched.

    The first `populated` bytes are touched at once, where the kernel can (madvise(2), Linux 5.14) and they are not
    huge: a process that writes there later then allocates nothing. Raises CannotRunError where there is too little.
    """
    try:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | MAP_NORESERVE)
    except (OSError, OverflowError) as error:
        raise CannotRunError(f"{size:,} bytes of shared memory: refused; {LESS}") from error
    if 0 < populated <= POPULATE_AT_MOST:
        with suppress(OSError):
            memory.madvise(MADV_POPULATE_WRITE, 0, populated)
    return memory


class Stream:
    """An `OpenFile` without any mapping. One call reads or writes all, unless the kernel transfers less."""

    __slots__ = ("descriptor",)

    buffer = None

    def __init__(self, path: Path | str) -> None:
        self.descriptor = open_file(path, os.O_RDWR)

    @property
    def guard(self) -> int:
        """Return the file itself: see `OpenFile`."""
        return self.descriptor

    def load(self, start: int, length: int) -> bytes:
        """Return the bytes, by pread(2).

        Raises OSError where the file ends before them: a mapping would kill (SIGBUS).
        """
        found = os.pread(self.descriptor, length, start)
        while len(found) < length:
            more = os.pread(self.descriptor, length - len(found), start + len(found))
            if not more:
                raise OSError(errno.ENODATA, f"the file ends at byte {start + len(found):,}, in the middle of a load")
            found += more
        return found

    def store(self, start: int, data: bytes | memoryview) -> None:
        """Store these bytes, by pwrite(2)."""
        done = os.pwrite(self.descriptor, data, start)
        while done < len(data):
            done += os.pwrite(self.descriptor, data[done:], start + done)

    def sync(self, start: int, length: int) -> None:
        """Write back the file (fdatasync(2)); it has no parts for that."""
        os.fdatasync(self.descriptor)

    def around(self, held: Held) -> Held:
        """Return the lock as it is: nothing is kept here that could be stale."""
        return held

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)

    abandon = close


class Streamed(FileBacking):
    """The backing of streams."""

    __slots__ = ()

    def open(self, path: Path | str, size: int) -> Stream:
        """Open the file, of any size, for nothing is mapped."""
        return Stream(path)


SUFFIX = ".lock"


class Reopening:
    """An `OpenFile` that is opened anew with each lock; outside of locks it is opened at the first access."""

    __slots__ = ("_open", "_opened", "guard")

    buffer = None

    def __init__(self, path: Path | str, opening: Callable[[], Mapping | Stream]) -> None:
        self._open = opening
        self._opened: Mapping | Stream | None = None
        self.guard = open_file(f"{path}{SUFFIX}", os.O_RDWR)
        try:
            self._present()
        except BaseException:
            os.close(self.guard)
            raise

    @property
    def descriptor(self) -> int:
        """Return the descriptor of the file as it is open now."""
        return self._present().descriptor

    def load(self, start: int, length: int) -> bytes:
        """Return a copy of these bytes."""
        return self._present().load(start, length)

    def store(self, start: int, data: bytes | memoryview) -> None:
        """Store these bytes."""
        self._present().store(start, data)

    def sync(self, start: int, length: int) -> None:
        """Write back as the open file does."""
        self._present().sync(start, length)

    def around(self, held: Held) -> Held:
        """Open anew once it is held, write back before it is released; where that fails, it is released too."""
        return _Within(held, self)

    def renew(self) -> None:
        """Write back, and open the file anew."""
        self.write_back()
        self._present()

    def write_back(self) -> None:
        """Write back and close the file, if it is open.

        What is mapped gets msync(2), munmap(2) and close(2), what is only open close(2).
        """
        opened, self._opened = self._opened, None
        if opened:
            try:
                if isinstance(opened, Mapping):
                    opened.buffer.flush()
            finally:
                opened.close()

    def close(self) -> None:
        """Write back, and close both files."""
        try:
            self.write_back()
        finally:
            os.close(self.guard)

    abandon = close

    def _present(self) -> Mapping | Stream:
        if self._opened is None:
            self._opened = self._open()
        return self._opened


class _Within:
    """A lock that opens the file anew inside it.

    The lock is recorded from outside of this: what is done here is done under it.
    """

    __slots__ = ("_file", "_held")

    def __init__(self, held: Held, file: Reopening) -> None:
        self._held = held
        self._file = file

    def __enter__(self) -> None:
        self._held.__enter__()
        try:
            self._file.renew()
        except BaseException:
            self._held.__exit__(None, None, None)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.write_back()
        finally:
            self._held.__exit__(kind, error, trace)


class Remapped(FileBacking):
    """The backing of files that are opened and mapped anew inside each lock."""

    __slots__ = ()

    def open(self, path: Path | str, size: int) -> Reopening:
        """Open and map the file, and open the one beside it."""
        return Reopening(path, lambda: self.map(path, size))


class RemappedStream(FileBacking):
    """The backing of files that are opened anew inside each lock, for pread(2) and pwrite(2)."""

    __slots__ = ()

    def open(self, path: Path | str, size: int) -> Reopening:
        """Open the file, and the one beside it."""
        return Reopening(path, lambda: Stream(path))
