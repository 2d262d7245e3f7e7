"""What the tests of locks do in and to a second process: take a lock there, try it here, see who waits."""

from __future__ import annotations

import errno
import fcntl
import os
from functools import cache
from pathlib import Path

from lab.locking import Action, find_lock, kernel
from lab.locking.kernel import F_OFD_SETLKW, FLOCK
from tests.needs import need

TRY = {"fcntl": fcntl.F_SETLK, "ofd": F_OFD_SETLKW - 1}
REFUSED = (errno.EAGAIN, errno.EACCES)
"""Either may be the answer of F_SETLK to a conflict (POSIX.1-2008, fcntl())."""

CALLS = ["compiled", "python"]


def needs(call: str) -> None:
    """Skip where these calls are not built."""
    if call == "compiled":
        need("compiled")


_lock = cache(find_lock)
_releases: list[Action] = []
_opened: list[int] = []


def open_file(path: str) -> int:
    """Open the file in this process until `let_go`."""
    _opened.append(os.open(path, os.O_RDWR))
    return _opened[-1]


def let_go() -> None:
    """Release all that was taken, and close all that was opened."""
    while _releases:
        give_back()
    while _opened:
        os.close(_opened.pop())


def use_python_calls() -> None:
    """Have the locks of this process call fcntl and flock from Python, as where the compiled call is not built."""
    kernel.CALL, kernel.CALLS = kernel.python_call, kernel.python_calls


def take(name: str, path: str, start: int, length: int, write: bool) -> None:
    """Take the lock through a descriptor of its own, waiting for it."""
    take_through(open_file(path), name, start, length, write)


def take_through(descriptor: int, name: str, start: int, length: int, write: bool) -> None:
    """Take the lock through this descriptor, waiting for it."""
    acquire, release = _lock(name).actions(descriptor, start, length, write=write)
    acquire()
    _releases.append(release)


def listed_on(path: Path) -> set[tuple[str, ...]]:
    """The locks on the file, as proc_locks(5) has them; read again until nothing is new.

    Where others lock meanwhile a line may come twice, or not at all.
    """
    inode = path.stat().st_ino
    listed = _listed_once(inode)
    while more := _listed_once(inode) - listed:
        listed |= more
    return listed


def _listed_once(inode: int) -> set[tuple[str, ...]]:
    lines = [line.split()[1:] for line in Path("/proc/locks").read_text().splitlines()]
    return {tuple(line) for line in lines if any(part.endswith(f":{inode}") for part in line)}


def give_back() -> None:
    """Release the lock that was taken last."""
    _releases.pop()()


def refusal(name: str, descriptor: int, start: int, length: int, *, write: bool) -> int:
    """Ask for a range without waiting: the errno, or 0 when it was granted, and then it is given back."""
    try:
        if name == "flock":
            fcntl.flock(descriptor, (fcntl.LOCK_EX if write else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        else:
            for kind in (fcntl.F_WRLCK if write else fcntl.F_RDLCK, fcntl.F_UNLCK):
                fcntl.fcntl(descriptor, TRY[name], FLOCK.pack(kind, os.SEEK_SET, start, length, 0))
    except OSError as error:
        return error.errno or -1
    return 0


def waiters(path: Path) -> int:
    """How many requests wait for a lock on this file (proc_locks(5))."""
    inode = path.stat().st_ino
    lines = Path("/proc/locks").read_text().splitlines()
    return sum("->" in line and f":{inode} " in line for line in lines)
