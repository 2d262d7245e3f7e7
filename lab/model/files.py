"""Inodes, open file descriptions and descriptor tables: everything that can own a lock, and the closes that end it.

A POSIX lock is owned by the table of descriptors, which is the process as long as it does not share the table
(clone(2), CLONE_FILES); open file description locks and flock are owned by the description. All three compare
by identity.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import NamedTuple

from .holds import Span
from .record_locks import RecordLocks
from .requests import READ, WRITE, Request, refusal, resolve
from .whole_file import WholeFileLock


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
    position: int = 0
    references: int = 0

    def range_of(self, request: Request) -> Span:
        """The range that a request through this description means; raises OSError as `resolve` does."""
        return resolve(request, self.position, self.inode.size)

    def check_mode(self, kind: int) -> None:
        """Raise OSError EBADF for a read lock without reading or a write lock without writing (fcntl(2))."""
        if (kind == READ and not self.readable) or (kind == WRITE and not self.writable):
            raise refusal(errno.EBADF)

    def unreference(self) -> None:
        """One descriptor less; the last one takes the locks of the description along."""
        self.references -= 1
        if not self.references:
            self.inode.ranges.drop(self)
            self.inode.whole.release(self)


class Descriptor(NamedTuple):
    """One number in a table: what it stands for, and whether execve(2) closes it."""

    description: Description
    close_on_exec: bool


@dataclass(eq=False, slots=True)
class Table:
    """The descriptors of a process, of several under CLONE_FILES; `pid` is the process that it was made for."""

    pid: int
    users: int = 1
    descriptors: dict[int, Descriptor] = field(default_factory=dict)

    def add(self, description: Description, *, close_on_exec: bool = False) -> int:
        """A descriptor for the description, under the lowest free number (open(2))."""
        number = next(n for n in range(len(self.descriptors) + 1) if n not in self.descriptors)
        self.descriptors[number] = Descriptor(description, close_on_exec)
        description.references += 1
        return number

    def description(self, number: int) -> Description:
        """What the descriptor stands for; raises OSError EBADF."""
        if number not in self.descriptors:
            raise refusal(errno.EBADF)
        return self.descriptors[number].description

    def close(self, number: int) -> None:
        """Close one descriptor, and with it every POSIX lock that this table owns on the inode; raises OSError EBADF.

        It does not matter through which descriptor a lock was taken. Source: fcntl(2), "Record locks are
        automatically released"; locks_remove_posix(), fs/locks.c.
        """
        description = self.description(number)
        del self.descriptors[number]
        description.inode.ranges.drop(self)
        description.unreference()

    def copy(self, pid: int) -> Table:
        """The table of a forked child: the same descriptions under the same numbers, and no lock (fork(2))."""
        for descriptor in self.descriptors.values():
            descriptor.description.references += 1
        return Table(pid, descriptors=dict(self.descriptors))

    def close_all(self, *, on_exec: bool = False) -> None:
        """Close every descriptor, or those marked close-on-exec."""
        for number, descriptor in list(self.descriptors.items()):
            if descriptor.close_on_exec or not on_exec:
                self.close(number)
