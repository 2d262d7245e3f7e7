"""Ask the kernel, from outside, which pages of its mappings a traced process has written since it was last asked.

The process is made to call userfaultfd(2) once; the tracer takes that descriptor over (pidfd_getfd(2)) and lets the
kernel protect the mappings with it, asynchronously: no page fault reaches anybody. Source: userfaultfd(2), and
PAGEMAP_SCAN in Documentation/admin-guide/mm/pagemap.rst (Linux 6.7).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import suppress
from fcntl import ioctl
from struct import iter_unpack, pack

from lab.errors import checked
from lab.processes import ptrace

from .levels import PAGEMAP_SCAN, UFFD_API, UFFDIO_API, USER_MODE_ONLY, WP_ASYNC, WP_UNPOPULATED

SYS_PIDFD_GETFD = 438
UFFDIO_REGISTER, UFFDIO_WRITEPROTECT = 0xC020AA00, 0xC018AA06
REGISTER_WP, PROTECT = 2, 1
WP_MATCHING, CHECK_ASYNC, IS_WRITTEN = 1, 2, 2
MOST_REGIONS = 256
PAGE = os.sysconf("SC_PAGESIZE")

Mapping = tuple[int, int, int, int]
"""A mapping: its address, its size, the number of its file, and the place in the file."""

_syscall = ctypes.CDLL(None, use_errno=True).syscall


class Pages:
    """The mappings of one process, protected by one userfaultfd."""

    def __init__(self, pid: int, tid: int) -> None:
        """Make and take over the descriptor; the thread is at the exit of a system call. Raises OSError."""
        numbers = ptrace.numbers_here()
        theirs = ptrace.inject(tid, numbers["userfaultfd"], os.O_CLOEXEC | USER_MODE_ONLY)
        try:
            process = os.pidfd_open(pid)
            try:
                self._faults = int(_syscall(ctypes.c_long(SYS_PIDFD_GETFD), process, theirs, 0))
            finally:
                os.close(process)
            checked(self._faults, "pidfd_getfd(2)")
        finally:
            ptrace.inject(tid, numbers["close"], theirs)
        self._pagemap = -1
        try:
            ioctl(self._faults, UFFDIO_API, pack("QQQ", UFFD_API, WP_ASYNC | WP_UNPOPULATED, 0))
            self._pagemap = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self.close()
            raise
        self._room = ctypes.create_string_buffer(24 * MOST_REGIONS)
        self.mappings: list[Mapping] = []

    def add(self, mapping: Mapping) -> None:
        """Protect a mapping. Raises OSError, as where the program may not write to it."""
        at, size = mapping[0], -(-mapping[1] // PAGE) * PAGE
        ioctl(self._faults, UFFDIO_REGISTER, pack("QQQQ", at, size, REGISTER_WP, 0))
        ioctl(self._faults, UFFDIO_WRITEPROTECT, pack("QQQ", at, size, PROTECT))
        self.mappings.append((at, size, *mapping[2:]))

    def remove(self, at: int, size: int) -> None:
        """Ask no more for the mappings that begin in this range."""
        self.mappings = [each for each in self.mappings if not at <= each[0] < at + size]

    def written(self) -> Iterator[tuple[int, int, int]]:
        """Yield the file, and start and end in it, of what was written since the last time, in whole pages."""
        for at, size, file, offset in self.mappings:
            with suppress(OSError):  # it was moved
                for start, end in self._scan(at, at + size):
                    yield file, start - at + offset, end - at + offset

    def _scan(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        while start < end:
            room, flags = ctypes.addressof(self._room), WP_MATCHING | CHECK_ASYNC
            question = bytearray(
                pack("12Q", 96, flags, start, end, 0, room, MOST_REGIONS, 0, 0, IS_WRITTEN, 0, IS_WRITTEN)
            )
            count = ioctl(self._pagemap, PAGEMAP_SCAN, question)
            yield from ((low, high) for low, high, _ in iter_unpack("QQQ", self._room.raw[: 24 * count]))
            walked = int.from_bytes(question[32:40], "little")
            if walked <= start:
                return
            start = walked

    def close(self) -> None:
        """Protect nothing any more."""
        for descriptor in (self._faults, self._pagemap):
            if descriptor >= 0:
                os.close(descriptor)
        self._faults = self._pagemap = -1
