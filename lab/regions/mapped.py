"""Mapped files, shared and private (mmap(2)).

Who owns what: the worker that maps a file owns the descriptor and the mapping until it exits. They are
never closed by hand while the worker lives: closing any descriptor of the file would drop all of the
process's POSIX locks on it (fcntl(2), "Advisory record locking").
"""

from __future__ import annotations

import errno
import mmap
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lab.errors import CannotRunError

from .workspace import scratch

MAP_NORESERVE = 0x4000
"""Linux, all architectures but alpha, mips and sparc; named in `mmap` only since Python 3.13."""

MADV_POPULATE_WRITE = 23
POPULATE_AT_MOST = 1 << 28

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Mapping(NamedTuple):
    """One process's open file and the view that it has of the bytes."""

    descriptor: int
    buffer: mmap.mmap

    def close(self) -> None:
        """Unmap and close; nobody may still look at the buffer (BufferError)."""
        self.buffer.close()
        os.close(self.descriptor)


@dataclass(frozen=True, slots=True)
class Region:
    """A way to share the bytes of a file; `flags` are those of mmap(2)."""

    name: str
    summary: str
    flags: int

    def map(self, path: Path | str, size: int) -> Mapping:
        """Open the file and map its first `size` bytes for reading and writing.

        Raises CannotRunError where the filesystem refuses (ENODEV: it cannot map files).
        """
        descriptor = os.open(path, os.O_RDWR)
        try:
            return Mapping(descriptor, mmap.mmap(descriptor, size, self.flags))
        except BaseException as error:
            os.close(descriptor)
            if not isinstance(error, OSError):
                raise
            raise CannotRunError(
                f"{Path(path).parent}: this filesystem refuses a {self.name} mapping ({error.strerror}); "
                "try another --dir"
            ) from error


REGIONS = {
    region.name: region
    for region in (
        Region("shared", "MAP_SHARED: stores reach the file and every other mapping of it", mmap.MAP_SHARED),
        Region("private", "MAP_PRIVATE: stores stay in the worker's own copy of the page", mmap.MAP_PRIVATE),
    )
}


def probe(region: Region, directory: Path) -> None:
    """Map a new file in the directory once; raises CannotRunError where that is refused."""
    try:
        with scratch(directory) as path:
            os.truncate(path, 1)
            region.map(path, 1).close()
    except OSError as error:
        raise CannotRunError(f"{directory}: cannot make a file there ({error.strerror}); give another --dir") from error


def create(path: Path, content: bytes | bytearray, *, sparse: bool) -> None:
    """A new file with this content, its blocks reserved unless it is to be sparse.

    Reserved, because a store through a mapping into a block that the filesystem cannot find room for is
    answered with SIGBUS (mmap(2)), while posix_fallocate(3) says so beforehand. Raises CannotRunError.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if sparse:
                _fill_sparsely(descriptor, content)
            else:
                os.posix_fallocate(descriptor, 0, len(content))
                done = 0
                while done < len(content):  # write(2) takes at most 2 GiB a call
                    done += os.pwrite(descriptor, memoryview(content)[done:], done)
        finally:
            os.close(descriptor)
    except OSError as error:
        remedy = "free some, or lower --rounds or --workers" if error.errno in NO_ROOM else "try another --dir"
        raise CannotRunError(
            f"{path.parent}: cannot make a file of {len(content):,} bytes ({error.strerror}); {remedy}"
        ) from error


def _fill_sparsely(descriptor: int, content: bytes | bytearray) -> None:
    """Write the pages that hold anything; the others stay holes."""
    os.ftruncate(descriptor, len(content))
    for start in range(0, len(content), mmap.PAGESIZE):
        page = content[start : start + mmap.PAGESIZE]
        if page.strip(b"\0"):
            os.pwrite(descriptor, page, start)


def read_back(path: Path, size: int) -> bytearray:
    """What is left in the file, read through a new descriptor; zeros where it became shorter.

    Read, not mapped: a file that somebody truncated must not kill the reader with SIGBUS. Raises CannotRunError where
    it is gone.
    """
    content = bytearray(size)
    try:
        with path.open("rb", buffering=0) as file, memoryview(content) as view:
            done = 0
            while got := file.readinto(view[done:]):  # read(2) gives at most 2 GiB a call
                done += got
    except OSError as error:
        raise CannotRunError(
            f"{path}: cannot be read back after the race ({error.strerror}); let nobody else touch it"
        ) from error
    return content


def anonymous(size: int, *, populated: int = 0) -> mmap.mmap:
    """Memory that this process shares with the children that it forks, zeroed; pages cost nothing until touched.

    The first `populated` bytes are touched at once, where the kernel can (madvise(2), Linux 5.14) and they are not
    huge: whoever writes there later then allocates nothing. Raises CannotRunError where there is not so much.
    """
    try:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | MAP_NORESERVE)
    except (OSError, OverflowError) as error:
        raise CannotRunError(f"{size:,} bytes of shared memory: refused; lower --rounds or --workers") from error
    if 0 < populated <= POPULATE_AT_MOST:
        with suppress(OSError):
            memory.madvise(MADV_POPULATE_WRITE, 0, populated)
    return memory
