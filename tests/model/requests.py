"""Requests for locks as the tests of the model write them, and what a model of the kernel says of them."""

from __future__ import annotations

import errno

from lab.model.files import READ, UNLOCK, WAITS, WRITE, Answer, Request
from lab.model.kernel import Kernel

EAGAIN, EBADF, EDEADLK = Answer(errno.EAGAIN), Answer(errno.EBADF), Answer(errno.EDEADLK)
EINVAL, EOVERFLOW = Answer(errno.EINVAL), Answer(errno.EOVERFLOW)
ALL = Request(UNLOCK)
FILE = "file"
FD = 0
"""What the first open of a process returns."""


def read(start: int, length: int = 1) -> Request:
    return Request(READ, start, length)


def write(start: int, length: int = 1) -> Request:
    return Request(WRITE, start, length)


def ranges(kernel: Kernel, process: int = 1, number: int = FD) -> list[tuple[int, int]]:
    """Start and end of every byte-range lock on the file behind the descriptor."""
    return [record[1:3] for record in kernel.description(process, number).inode.ranges.records()]


def waits(kernel: Kernel, process: int, request: Request) -> None:
    assert kernel.posix_set(process, FD, request, wait=True) == WAITS


def contended(kernel: Kernel, *waiters: tuple[int, Request]) -> None:
    """Process 1 has the first 8 bytes, and these wait."""
    kernel.posix_set(1, FD, write(0, 8))
    for process, request in waiters:
        waits(kernel, process, request)
