"""Open, map, write back and close, all inside the lock: close-to-open consistency made by hand.

Where several hosts share a filesystem each has a page cache of its own, and many of these filesystems look whether
it is still fresh only when a file is opened. So the file is opened and mapped anew after each grant, and written back
(msync(2)), unmapped and closed before each unlock. The lock cannot be on that file: closing any descriptor of it would
give up the process's POSIX locks on it (fcntl(2), "Advisory record locking"). It is on an empty one beside it, which
stays open for as long as the worker lives.

Inside several locks at once the file is opened anew with each of them, and written back before each unlock: what
another lock protects may have changed until that very lock was granted.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from .folder import open_file
from .mapped import FileRegion, Mapping
from .protocol import Held

SUFFIX = ".lock"


class Reopening:
    """An `OpenFile` whose mapping changes with each lock; outside of locks one is made when it is asked for."""

    __slots__ = ("_mapping", "_path", "_region", "_size", "guard")

    buffer = None

    def __init__(self, region: FileRegion, path: Path | str, size: int) -> None:
        self._region = region
        self._path = path
        self._size = size
        self._mapping: Mapping | None = None
        self.guard = open_file(f"{path}{SUFFIX}", os.O_RDWR)
        try:
            self._present()
        except BaseException:
            os.close(self.guard)
            raise

    @property
    def descriptor(self) -> int:
        """That of the present mapping."""
        return self._present().descriptor

    def load(self, start: int, length: int) -> bytes:
        """A copy of these bytes of the present mapping."""
        return self._present().load(start, length)

    def store(self, start: int, data: bytes | memoryview) -> None:
        """Copy them to the present mapping."""
        self._present().store(start, data)

    def around(self, held: Held) -> Held:
        """Open anew once it is held, write back before it is given back; where that fails, it is given back too."""
        return _Within(held, self)

    def renew(self) -> None:
        """Write back what is mapped, and open and map the file anew."""
        self.write_back()
        self._present()

    def write_back(self) -> None:
        """msync(2), munmap(2) and close(2) what is mapped, if anything is."""
        mapping, self._mapping = self._mapping, None
        if mapping:
            try:
                mapping.buffer.flush()
            finally:
                mapping.close()

    def close(self) -> None:
        """Write back, and close both files."""
        try:
            self.write_back()
        finally:
            os.close(self.guard)

    abandon = close

    def _present(self) -> Mapping:
        if self._mapping is None:
            self._mapping = self._region.map(self._path, self._size)
        return self._mapping


class _Within:
    """The lock is recorded from outside of this: what is done here is done under it."""

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


class Reopened(FileRegion):
    """The region of files that are opened anew inside each lock."""

    __slots__ = ()

    def open(self, path: Path | str, size: int) -> Reopening:
        """Open and map the file, and open the one beside it."""
        return Reopening(self, path, size)
