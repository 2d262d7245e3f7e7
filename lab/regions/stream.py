"""Traditional I/O: every load is a pread(2), every store a pwrite(2). Works where a file cannot be mapped (ENODEV)."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from .folder import open_file
from .mapped import FileRegion
from .protocol import Held


class Stream:
    """An `OpenFile` without any mapping. One call reads or writes all, unless the kernel gives or takes less."""

    __slots__ = ("descriptor",)

    buffer = None

    def __init__(self, path: Path | str) -> None:
        self.descriptor = open_file(path, os.O_RDWR)

    @property
    def guard(self) -> int:
        """The file itself: see `OpenFile`."""
        return self.descriptor

    def load(self, start: int, length: int) -> bytes:
        """The bytes, by pread(2). Raises OSError where the file ends before them: a mapping would kill (SIGBUS)."""
        found = os.pread(self.descriptor, length, start)
        while len(found) < length:
            more = os.pread(self.descriptor, length - len(found), start + len(found))
            if not more:
                raise OSError(errno.ENODATA, f"the file ends at byte {start + len(found):,}, in the middle of a load")
            found += more
        return found

    def store(self, start: int, data: bytes | memoryview) -> None:
        """Put them there, by pwrite(2)."""
        done = os.pwrite(self.descriptor, data, start)
        while done < len(data):
            done += os.pwrite(self.descriptor, data[done:], start + done)

    def around(self, held: Held) -> Held:
        """The lock as it is: nothing is kept here that could be stale."""
        return held

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.descriptor)

    abandon = close


class Streamed(FileRegion):
    """The region of streams."""

    __slots__ = ()

    def open(self, path: Path | str, size: int) -> Stream:
        """Open the file; of whatever size, for nothing is mapped."""
        return Stream(path)
