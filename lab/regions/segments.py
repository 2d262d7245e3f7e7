"""Regions whose bytes are memory and no file: System V, POSIX and anonymous shared memory.

Locks are taken on an empty file at the trial's path. The memory is made by the process that forks the workers, and is
gone with the last process that has it: it has no name that could be left behind, or only for a moment, so that a
SIGKILL of everybody leaves no file in /dev/shm and no segment in ipcs(1) (`lab.regions.posix`, `lab.regions.sysv`).
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from lab.errors import CannotRunError

from .files import new_file, written_pages
from .folder import open_file
from .protocol import Held, Shared
from .region import Region

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Memory(NamedTuple):
    """Memory as its maker has it.

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
        """The lock file: see `OpenFile`."""
        return self.descriptor

    def load(self, start: int, length: int) -> bytes:
        """A copy of these bytes."""
        return bytes(self._view[start : start + length])

    def store(self, start: int, data: bytes | memoryview) -> None:
        """Copy them there."""
        self._view[start : start + len(data)] = data

    def around(self, held: Held) -> Held:
        """The lock as it is: the memory stays where it is."""
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
        """The first content; of what is to be sparse only the pages that hold anything are touched."""
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
        """What the memory holds."""
        with memoryview(self._memory.whole) as view:
            return bytearray(view[: self._size])


@dataclass(frozen=True, slots=True)
class SegmentRegion(Region):
    """A region of memory."""

    @abstractmethod
    def memory(self, size: int, *, sparse: bool) -> AbstractContextManager[Memory]:
        """Memory of so many zeros, given back after the block. Raises CannotRunError."""

    @contextmanager
    def share(self, path: Path, content: bytes | bytearray, *, sparse: bool = False) -> Iterator[Shared]:
        """The memory, and an empty file to lock: see `Region.share`."""
        with self.memory(len(content), sparse=sparse) as memory, new_file(path, b"", sparse=True):
            segment = Segment(memory, len(content))
            segment.fill(content, sparse=sparse)
            yield segment

    def refused(self, size: int, reason: object, remedy: str) -> CannotRunError:
        """The error for memory that cannot be had."""
        return CannotRunError(f"region {self.name}: refused for {size:,} bytes ({reason}); {remedy}")

    def package(self, name: str) -> ModuleType:
        """The Python package that makes its calls, loaded when the region is chosen. Raises CannotRunError."""
        try:
            return import_module(name)
        except ImportError as error:
            raise CannotRunError(
                f"region {self.name}: needs the Python package {name} ({error}); "
                f"install it (pip install {name}), or choose another region"
            ) from error
