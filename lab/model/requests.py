"""What a process asks of the lock calls and what it is answered: struct flock, its geometry, errno."""

from __future__ import annotations

import errno
from typing import NamedTuple

from .holds import END, Span

READ, WRITE, UNLOCK = 0, 1, 2
"""F_RDLCK, F_WRLCK and F_UNLCK as Linux numbers them; for flock(2) LOCK_SH, LOCK_EX and LOCK_UN."""

FROM_START, FROM_POSITION, FROM_SIZE = 0, 1, 2
"""SEEK_SET, SEEK_CUR and SEEK_END (lseek(2))."""

LAST = END - 1
"""The last byte that can be locked, OFFSET_MAX of Linux."""


class Request(NamedTuple):
    """struct flock of fcntl(2): l_type, l_start and l_len in bytes, l_whence, l_pid. Any int may stand in any place."""

    kind: int
    start: int = 0
    length: int = 0
    whence: int = FROM_START
    pid: int = 0


class Found(NamedTuple):
    """What F_GETLK reports: the holder's process id, -1 for an open file description, and its range from the start."""

    pid: int
    span: Span


class Answer(NamedTuple):
    """What a lock call came to: granted, refused with an errno, or, for a call that may wait, waiting.

    For a call that asks (F_GETLK) `found` is the record in the way, None when there is none.
    """

    errno: int = 0
    waits: bool = False
    found: Found | None = None

    @property
    def granted(self) -> bool:
        """True when the call returned 0."""
        return not self.errno and not self.waits


GRANTED = Answer()
WAITS = Answer(waits=True)


def resolve(request: Request, position: int, size: int) -> Span:
    """The range that the request means; position and size, of the file in bytes, are what whence counts from.

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
    """The error with this errno."""
    return OSError(number, errno.errorcode[number])
