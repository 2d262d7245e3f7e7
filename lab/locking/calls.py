"""Make the lock calls one by one, with whatever numbers the caller gives, for programs of lock calls.

They go to the C library directly. The `fcntl` module repeats a call that a signal interrupted (PEP 475); code that
leaves it by raising in the handler cannot know whether the lock was granted just before.
"""

from __future__ import annotations

import ctypes
import fcntl
import os

from lab.errors import checked

from .kernel import F_OFD_SETLKW, FLOCK

RANGE_COMMANDS = {
    "F_GETLK": fcntl.F_GETLK,
    "F_SETLK": fcntl.F_SETLK,
    "F_SETLKW": fcntl.F_SETLKW,
    "F_OFD_GETLK": F_OFD_SETLKW - 2,
    "F_OFD_SETLK": F_OFD_SETLKW - 1,
    "F_OFD_SETLKW": F_OFD_SETLKW,
    "F_UNKNOWN": 9999,
}
"""The commands of fcntl(2): the three of POSIX, the three of Linux 3.15, and one that no kernel has."""

TYPES = (fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK)
OPERATIONS = (fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN)


_library = ctypes.CDLL(None, use_errno=True)


def call_range(descriptor: int, command: str, kind: int, start: int, length: int, whence: int, pid: int) -> bytes:
    """Make one fcntl(2) lock call, by the name of its command; return struct flock as the kernel returns it.

    The kind is 0 to read, 1 to write, 2 to unlock; any other number, and any whence, goes to the kernel as it is.
    Raises OSError, EINTR too.
    """
    asked = FLOCK.pack(TYPES[kind] if kind in (0, 1, 2) else kind, whence, start, length, pid)
    answer = ctypes.create_string_buffer(asked, FLOCK.size)
    checked(_library.fcntl(descriptor, RANGE_COMMANDS[command], answer))
    return answer.raw


def conflict(answer: bytes) -> tuple[int, int, int, int] | None:
    """Return kind (0 read, 1 write), start, length and process id in an F_GETLK's answer, None where nothing conflicts.

    Raises ValueError for an answer that is not counted from the start of the file (fcntl(2): l_whence is SEEK_SET).
    """
    kind, whence, start, length, pid = FLOCK.unpack(answer)
    if kind == fcntl.F_UNLCK:
        return None
    if whence != os.SEEK_SET:
        raise ValueError(f"l_whence {whence}")
    return TYPES.index(kind), start, length, pid


def call_whole(descriptor: int, kind: int, *, wait: bool) -> None:
    """Make one flock(2) call: kind 0 shared, 1 exclusive, 2 unlock, any other an operation as it is.

    Raises OSError, EINTR too.
    """
    operation = OPERATIONS[kind] if kind in (0, 1, 2) else kind
    checked(_library.flock(descriptor, operation if wait else operation | fcntl.LOCK_NB))
