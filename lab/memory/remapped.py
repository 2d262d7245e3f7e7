"""Open the file inside the lock, and write back and close it there: close-to-open consistency, made explicitly.

Where several hosts share a filesystem each has a page cache of its own, and many of these filesystems check whether it
is still fresh only when a file is opened. So the file is opened anew after each grant, to be mapped or for pread(2) and
pwrite(2), and written back (msync(2)), unmapped and closed before each unlock. The lock cannot be on that file: closing
any descriptor of it would release the process's POSIX locks on it (fcntl(2), "Advisory record locking"). It is on an
empty file beside it, which stays open for as long as the worker lives.

Inside several locks at once the file is opened anew with each of them, and written back before each unlock: what
another lock protects may have changed until that very lock was granted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from .folder import open_file
from .mapped import FileBacking, Mapping, Stream
from .protocol import Held

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
