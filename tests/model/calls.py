"""The calls of the tests that hold the model against the kernel, as the other processes make them.

It imports neither pytest nor hypothesis: each of those processes would import them too.
"""

from __future__ import annotations

import fcntl
import os
from functools import cache
from pathlib import Path

from lab.analysis.holds import END
from lab.locking.kernel import F_OFD_SETLKW, FLOCK

GET_OFD, SET_OFD = F_OFD_SETLKW - 2, F_OFD_SETLKW - 1
KINDS = {"read": fcntl.F_RDLCK, "write": fcntl.F_WRLCK, "unlock": fcntl.F_UNLCK}
MODES = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR}

Call = tuple[str, str, str, int, int]
"""One call: who, "set" or "get", "read", "write" or "unlock", start, length."""


def opened(path: str, mode: str) -> int:
    return os.open(path, MODES[mode] | os.O_CREAT)


def duplicated(number: int) -> int:
    return os.dup(number)


def closed(number: int) -> None:
    os.close(number)


def moved(number: int, position: int) -> None:
    os.lseek(number, position, os.SEEK_SET)


def locked(number: int, command: int, kind: int, start: int, length: int, whence: int, pid: int) -> list[int]:
    """The errno, and what the call left in struct flock; whence is numbered as by lseek(2)."""
    try:
        answer = fcntl.fcntl(number, command, FLOCK.pack(kind, whence, start, length, pid))
    except OSError as error:
        return [error.errno or -1]
    return [0, *FLOCK.unpack(answer)]


def flocked(number: int, operation: int) -> list[int]:
    """The errno of the call, which does not wait."""
    try:
        fcntl.flock(number, operation | fcntl.LOCK_NB)
    except OSError as error:
        return [error.errno or -1]
    return [0]


@cache
def descriptor(path: str) -> int:
    """The one descriptor that this process has of the file."""
    return os.open(path, os.O_RDWR)


def over_there(path: str, call: Call) -> list[object]:
    """One POSIX call of the other process that this runs in."""
    return by_the_kernel(descriptor(path), fcntl.F_SETLK, fcntl.F_GETLK, call)


def by_the_kernel(number: int, set_command: int, get_command: int, call: Call) -> list[object]:
    """The errno of the call and for a get what it reports, and what its owner holds afterwards."""
    _, command, kind, start, length = call
    code, *report = locked(
        number, set_command if command == "set" else get_command, KINDS[kind], start, length, os.SEEK_SET, 0
    )
    reported = [report[0], *report[2:]] if report and command == "get" else []
    return [[code, *reported], held_through(number)]


def held_through(number: int) -> list[list[int]]:
    """Start, end and type of the locks that were taken through the descriptor, as they stand (proc_pid_fdinfo(5))."""
    lines = Path(f"/proc/self/fdinfo/{number}").read_text().splitlines()
    locks = [line.split()[-5:] for line in lines if line.startswith("lock:")]
    return [[int(start), END if end == "EOF" else int(end) + 1, kind == "WRITE"] for kind, _, _, start, end in locks]
