"""Model inodes, open file descriptions and descriptor tables: all that can own a lock, and the closes that end it.

A POSIX lock is owned by the table of descriptors, which is the process as long as it does not share the table
(clone(2), CLONE_FILES); open file description locks and flock are owned by the description. All three compare
by identity. Requests to the lock calls and their answers are here too: struct flock, its geometry, errno.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import NamedTuple

from lab.analysis.holds import END, Span

from .record_locks import RecordLocks, WholeFileLock

READ, WRITE, UNLOCK = 0, 1, 2
"""F_RDLCK, F_WRLCK and F_UNLCK as Linux numbers them; for flock(2) LOCK_SH, LOCK_EX and LOCK_UN."""

FROM_START, FROM_POSITION, FROM_SIZE = 0, 1, 2
"""SEEK_SET, SEEK_CUR and SEEK_END (lseek(2))."""

LAST = END - 1
"""The last byte that can be locked, OFFSET_MAX of Linux."""


class Request(NamedTuple):
    """A struct flock of fcntl(2): l_type, l_start and l_len in bytes, l_whence, l_pid. Any field may be any int."""

    kind: int
    start: int = 0
    length: int = 0
    whence: int = FROM_START
    pid: int = 0


class Found(NamedTuple):
    """The report of F_GETLK: the holder's process id, -1 for an open file description, and its range from the start."""

    pid: int
    span: Span


class Answer(NamedTuple):
    """The result of a lock call: granted, refused with an errno, or, for a call that may wait, waiting.

    For a query (F_GETLK) `found` is the conflicting record, None when there is none.
    """

    errno: int = 0
    waits: bool = False
    found: Found | None = None

    @property
    def granted(self) -> bool:
        """Tell whether the call returned 0."""
        return not self.errno and not self.waits


GRANTED = Answer()
WAITS = Answer(waits=True)


def resolve(request: Request, position: int, size: int) -> Span:
    """Return the range that the request means; whence counts from `position` or `size`, in bytes of the file.

    A negative length means the bytes before the start. Raises OSError: EINVAL for a range that begins before
    byte 0, for an unknown whence and for an unknown kind, EOVERFLOW for one that ends beyond the last byte.
    Source: flock64_to_posix_lock() of Linux, fs/locks.c; POSIX.1-2008, fcntl().
    """
    base = {FROM_START: 0, FROM_POSITION: position, FROM_SIZE: size}.get(request.whence)
    if base is None:
        raise refusal(errno.EINVAL)
    start, length = base + request.start, request.length
    if start > LAST:
        raise refusal(errno.EOVERFLOW)
    if start < 0 or start + length < 0:
        raise refusal(errno.EINVAL)
    if start + length > END:
        raise refusal(errno.EOVERFLOW)
    if request.kind not in (READ, WRITE, UNLOCK):
        raise refusal(errno.EINVAL)
    if length < 0:
        start, length = start + length, -length
    return Span(start, length, request.kind == WRITE)


def refusal(number: int) -> OSError:
    """Return the error with this errno."""
    return OSError(number, errno.errorcode[number])


@dataclass(eq=False, slots=True)
class Inode:
    """A file, whatever its name: its size in bytes, the byte-range locks and the flock lock on it."""

    size: int = 0
    ranges: RecordLocks = field(default_factory=RecordLocks)
    whole: WholeFileLock = field(default_factory=WholeFileLock)


@dataclass(eq=False, slots=True)
class Description:
    """An open file description (open(2)): made by one open, shared by dup and fork, gone with its last descriptor."""

    inode: Inode
    readable: bool
    writable: bool
    appends: bool = False
    position: int = 0
    references: int = 0

    def range_of(self, request: Request) -> Span:
        """Return the range that a request through this description means; raise OSError as `resolve` does."""
        return resolve(request, self.position, self.inode.size)

    def check_mode(self, kind: int) -> None:
        """Raise OSError EBADF for a read lock without reading or a write lock without writing (fcntl(2))."""
        if (kind == READ and not self.readable) or (kind == WRITE and not self.writable):
            raise refusal(errno.EBADF)

    def unreference(self) -> None:
        """Remove one descriptor; the last one also releases the locks of the description."""
        self.references -= 1
        if not self.references:
            self.inode.ranges.drop(self)
            self.inode.whole.release(self)


class Descriptor(NamedTuple):
    """One number in a table: its description, and whether execve(2) closes it."""

    description: Description
    close_on_exec: bool


@dataclass(eq=False, slots=True)
class Table:
    """The descriptors of a process, of several under CLONE_FILES; `pid` is the process that it was made for."""

    pid: int
    users: int = 1
    descriptors: dict[int, Descriptor] = field(default_factory=dict)

    def add(self, description: Description, *, close_on_exec: bool = False) -> int:
        """Add a descriptor for the description, under the lowest free number, and return the number (open(2))."""
        number = next(n for n in range(len(self.descriptors) + 1) if n not in self.descriptors)
        self.descriptors[number] = Descriptor(description, close_on_exec)
        description.references += 1
        return number

    def description(self, number: int) -> Description:
        """Return the description of the descriptor; raise OSError EBADF."""
        if number not in self.descriptors:
            raise refusal(errno.EBADF)
        return self.descriptors[number].description

    def close(self, number: int) -> None:
        """Close one descriptor, and with it every POSIX lock that this table owns on the inode; raise OSError EBADF.

        It does not matter through which descriptor a lock was acquired. Source: fcntl(2), "Record locks are
        automatically released"; locks_remove_posix(), fs/locks.c.
        """
        description = self.description(number)
        del self.descriptors[number]
        description.inode.ranges.drop(self)
        description.unreference()

    def copy(self, pid: int) -> Table:
        """Return the table of a forked child: the same descriptions under the same numbers, and no lock (fork(2))."""
        for descriptor in self.descriptors.values():
            descriptor.description.references += 1
        return Table(pid, descriptors=dict(self.descriptors))

    def close_all(self, *, on_exec: bool = False) -> None:
        """Close every descriptor, or those marked close-on-exec."""
        for number, descriptor in list(self.descriptors.items()):
            if descriptor.close_on_exec or not on_exec:
                self.close(number)
