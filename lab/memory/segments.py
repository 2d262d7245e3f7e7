"""These backings share memory instead of a file: System V, POSIX and anonymous shared memory.

Locks are acquired on an empty file at the trial's path. The process that forks the workers makes the memory, and it is
gone with the last process that has it: it has no name that could be left behind, or only for a moment, so that a
SIGKILL of all of them leaves no file in /dev/shm and no segment in ipcs(1).

Anonymous memory (mmap(2) with MAP_SHARED | MAP_ANONYMOUS) has neither a name nor an id: only children of its maker
have it, at the same address.

POSIX shared memory (shm_open(3), mmap(2)) has a name, under /dev/shm on Linux, and lives until shm_unlink(3). So this
one loses its name right after it was made; the object stays for as long as a process has it open or mapped, and the
workers map the descriptor that they inherit. Between the two calls stops are held; only a SIGKILL in the few
microseconds there would leave a file in /dev/shm. Its room is reserved by posix_fallocate(3): /dev/shm has a limit, and
a store to a page for which it has no room would be answered with SIGBUS.

A System V segment (shmget(2), shmat(2)) lives until it is removed by IPC_RMID or ipcrm(1). So this one is removed right
after it was made: it has no key (IPC_PRIVATE), its maker is attached, and Linux destroys a segment only once it is
marked and no process is attached any more. Until then others attach by its id, which Linux guarantees and POSIX does
not (shmctl(2), IPC_RMID; shmat(2), Notes). Between the two calls stops are held; only a SIGKILL in the few microseconds
there would leave a segment.
"""

from __future__ import annotations

import mmap
import os
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from time import time_ns
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from lab.errors import CannotRunError
from lab.processes import stops_held

from .folder import open_file
from .mapped import anonymous
from .protocol import Backing, Held, Shared
from .workspace import LESS, map_file, new_file, written_pages

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Memory(NamedTuple):
    """The memory as the process that made it has it.

    `attach` gives a process its own way to it, and what to call when the process no longer looks there.
    """

    whole: WriteableBuffer
    attach: Callable[[], tuple[WriteableBuffer, Callable[[], object]]]


class Attachment:
    """An `OpenFile`: one process's open lock file, and the memory as the process sees it."""

    __slots__ = ("_detach", "_view", "buffer", "descriptor")

    def __init__(self, descriptor: int, buffer: WriteableBuffer, detach: Callable[[], object]) -> None:
        self.descriptor = descriptor
        self.buffer = buffer
        self._view = memoryview(buffer)
        self._detach = detach

    @property
    def guard(self) -> int:
        """Return the lock file: see `OpenFile`."""
        return self.descriptor

    def load(self, start: int, length: int) -> bytes:
        """Return a copy of these bytes."""
        return bytes(self._view[start : start + length])

    def store(self, start: int, data: bytes | memoryview) -> None:
        """Copy these bytes to the memory."""
        self._view[start : start + len(data)] = data

    def sync(self, start: int, length: int) -> None:
        """Do nothing: this memory has no file."""

    def around(self, held: Held) -> Held:
        """Return the lock as it is: the memory stays where it is."""
        return held

    def abandon(self) -> None:
        """Close the lock file; the memory stays attached until the process ends."""
        os.close(self.descriptor)

    def close(self) -> None:
        """Detach, and close the lock file.

        A look at the buffer of a System V segment after that is a segmentation fault; of others BufferError, raised
        here.
        """
        self._view.release()
        self._detach()
        os.close(self.descriptor)


class Segment:
    """`Shared`: memory of this many bytes, and the lock file that belongs to it."""

    def __init__(self, memory: Memory, size: int) -> None:
        self._memory = memory
        self._size = size

    def fill(self, content: bytes | bytearray, *, sparse: bool) -> None:
        """Store the first content; where it is sparse only the pages that hold anything are touched."""
        with memoryview(self._memory.whole) as view:
            for start, part in written_pages(content) if sparse else [(0, content)]:
                view[start : start + len(part)] = part

    def open(self, path: Path | str) -> Attachment:
        """Open the lock file by this name, and attach the memory."""
        descriptor = open_file(path, os.O_RDWR)
        try:
            return Attachment(descriptor, *self._memory.attach())
        except BaseException:
            os.close(descriptor)
            raise

    def read_back(self) -> bytearray:
        """Return the bytes of the memory."""
        with memoryview(self._memory.whole) as view:
            return bytearray(view[: self._size])


class SegmentBacking(Backing):
    """A backing of memory."""

    __slots__ = ()

    @abstractmethod
    def memory(self, size: int, *, sparse: bool) -> AbstractContextManager[Memory]:
        """Make memory of so many zeros, removed after the block. Raises CannotRunError."""

    @contextmanager
    def share(self, path: Path, content: bytes | bytearray, *, sparse: bool = False) -> Iterator[Shared]:
        """Make the memory, and an empty file to lock: see `Backing.share`."""
        with self.memory(len(content), sparse=sparse) as memory, new_file(path, b"", sparse=True):
            segment = Segment(memory, len(content))
            segment.fill(content, sparse=sparse)
            yield segment

    def refused(self, size: int, reason: object, remedy: str) -> CannotRunError:
        """Return the error for memory that is not available."""
        return CannotRunError(f"backing {self.name}: refused for {size:,} bytes ({reason}); {remedy}")

    def package(self, name: str) -> ModuleType:
        """Return the Python package that makes its calls, loaded when the backing is chosen. Raises CannotRunError."""
        try:
            return import_module(name)
        except ImportError as error:
            raise CannotRunError(
                f"backing {self.name}: needs the Python package {name} ({error}); "
                f"install it (pip install {name}), or choose another backing"
            ) from error


class Inherited(SegmentBacking):
    """The backing of anonymous memory."""

    __slots__ = ()

    @contextmanager
    def memory(self, size: int, *, sparse: bool) -> Iterator[Memory]:
        """Make one mapping, which all processes use; pages cost nothing until touched, sparse or not."""
        mapping = anonymous(size)
        try:
            yield Memory(mapping, lambda: (mapping, lambda: None))
        finally:
            mapping.close()


DIRECTORY = Path("/dev/shm")  # noqa: S108 - shm_overview(7)
POSIX_REMEDY = f"free some of /dev/shm or mount more, or {LESS}"


class Posix(SegmentBacking):
    """The backing of POSIX shared memory."""

    __slots__ = ()

    @contextmanager
    def memory(self, size: int, *, sparse: bool) -> Iterator[Memory]:
        """Make an object without a name."""
        descriptor = self._made(self.package("posix_ipc"), size)
        try:
            whole, unmap = self._sized(descriptor, size, sparse=sparse)
            try:
                yield Memory(whole, partial(self._mapped, descriptor, size))
            finally:
                unmap()
        finally:
            os.close(descriptor)

    def _made(self, package: ModuleType, size: int) -> int:
        """Call shm_open and shm_unlink; return the descriptor. Raises CannotRunError where there is no /dev/shm to
        write to.
        """
        try:
            with stops_held():
                made = package.SharedMemory(f"/lab-{os.getpid()}-{time_ns():x}", package.O_CREX, mode=0o600)
                made.unlink()
        except (package.Error, OSError, ValueError) as error:
            missing = "make /dev/shm writable" if DIRECTORY.is_dir() else "mount a tmpfs on /dev/shm"
            raise self.refused(size, error, f"{missing}, or choose another backing") from error
        return int(made.fd)

    def _sized(self, descriptor: int, size: int, *, sparse: bool) -> tuple[mmap.mmap, Callable[[], None]]:
        try:
            if sparse:
                os.ftruncate(descriptor, size)
            else:
                os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            raise self.refused(size, error.strerror, POSIX_REMEDY) from error
        return self._mapped(descriptor, size)

    def _mapped(self, descriptor: int, size: int) -> tuple[mmap.mmap, Callable[[], None]]:
        try:
            mapping = map_file(descriptor, size)
        except OSError as error:
            raise self.refused(size, error.strerror, POSIX_REMEDY) from error
        return mapping, mapping.close


SYSV_REMEDY = f"{LESS}, or raise kernel.shmmax, kernel.shmall or kernel.shmmni (sysctl)"


class SystemV(SegmentBacking):
    """The backing of System V segments."""

    __slots__ = ()

    @contextmanager
    def memory(self, size: int, *, sparse: bool) -> Iterator[Memory]:
        """Make a segment that is marked for removal already; pages cost nothing until touched, sparse or not."""
        package = self.package("sysv_ipc")
        segment = self._made(package, size)
        try:
            yield Memory(segment, partial(self._attached, package, segment.id, size))
        finally:
            segment.detach()

    def _made(self, package: ModuleType, size: int) -> Any:
        """Call shmget, shmat, and IPC_RMID. Raises CannotRunError beyond SHMMAX, SHMALL or SHMMNI.

        It uses IPC_CREAT alone, for with IPC_EXCL sysv_ipc fills the segment with spaces; without a key it is new all
        the same.
        """
        try:
            with stops_held():
                segment = package.SharedMemory(package.IPC_PRIVATE, package.IPC_CREAT, mode=0o600, size=size)
                segment.remove()
        except (package.Error, OSError, ValueError, MemoryError) as error:
            raise self.refused(size, error, SYSV_REMEDY) from error
        if segment.size != size:  # sysv_ipc 1.2 takes what does not fit into a size_t for no size at all
            segment.detach()
            raise self.refused(size, "more than a size_t holds", SYSV_REMEDY)
        return segment

    def _attached(self, package: ModuleType, identifier: int, size: int) -> tuple[Any, Callable[[], object]]:
        try:
            segment = package.attach(identifier)
        except (package.Error, OSError, ValueError, MemoryError) as error:
            raise self.refused(size, error, "let no other process remove it") from error
        return segment, segment.detach
